//! Kernel modules that the guest loads before it runs its plan.

use std::path::{Path, PathBuf};

use object::{Object as _, ObjectSection as _};

use crate::error::VmError;
use crate::kernel::Kernel;
use crate::program::read;

/// A module of a kernel.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    pub(crate) image: Vec<u8>,
    /// The release of its kernel.
    release: String,
    /// Its path in the guest.
    pub(crate) in_guest: PathBuf,
}

impl Module {
    /// Those of these files that are for this kernel. A file for another kernel is left out if there is one of the same name for
    /// this kernel.
    ///
    /// # Errors
    /// [`VmError::Unreadable`]; [`VmError::Module`] for a file that is no module, or only for another kernel.
    pub(crate) fn of_kernel(paths: &[PathBuf], kernel: &Kernel) -> Result<Vec<Self>, VmError> {
        let all = paths.iter().map(|path| Self::read(path));
        let all: Vec<Self> = all.collect::<Result<_, _>>()?;
        let fits = |module: &Self| module.release == kernel.release;
        for (path, module) in paths.iter().zip(&all) {
            let same_name = |other: &&Self| other.in_guest == module.in_guest;
            if !all.iter().filter(same_name).any(fits) {
                return Err(VmError::Module {
                    path: path.clone(),
                    why: format!(
                        "it is for Linux {}, and the guest's kernel is {}",
                        module.release, kernel.release
                    ),
                });
            }
        }
        Ok(all.into_iter().filter(fits).collect())
    }

    fn read(path: &Path) -> Result<Self, VmError> {
        let image = read(path)?;
        let release = release(&image).ok_or_else(|| VmError::Module {
            path: path.to_owned(),
            why: "it is not a kernel module (*.ko, not compressed)".to_owned(),
        })?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self {
            image,
            release,
            in_guest: Path::new("/modules").join(name),
        })
    }
}

/// The first word of `vermagic` among the texts of the section `.modinfo`.
fn release(image: &[u8]) -> Option<String> {
    let file = object::File::parse(image).ok()?;
    let texts = file.section_by_name(".modinfo")?.data().ok()?;
    texts.split(|byte| *byte == 0).find_map(|text| {
        let text = String::from_utf8_lossy(text);
        let magic = text.strip_prefix("vermagic=")?;
        magic.split(' ').next().map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_module_is_refused() {
        let kernel = Kernel {
            path: PathBuf::new(),
            release: "6.1.0-13".to_owned(),
            sha256: String::new(),
        };
        let own = std::env::current_exe().expect("it runs");
        let error = Module::of_kernel(&[own], &kernel).expect_err("an executable");
        assert!(error.to_string().contains("it is not a kernel module"), "{error}");
    }
}
