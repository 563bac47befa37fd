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
    /// Its path in the guest.
    pub(crate) in_guest: PathBuf,
}

impl Module {
    /// The module in a file, which must be one for this kernel.
    ///
    /// # Errors
    /// [`VmError::Unreadable`], [`VmError::Module`].
    pub(crate) fn find(path: &Path, kernel: &Kernel) -> Result<Self, VmError> {
        let unfit = |why| VmError::Module {
            path: path.to_owned(),
            why,
        };
        let image = read(path)?;
        let release =
            release(&image).ok_or_else(|| unfit("it is not a kernel module (*.ko, not compressed)".to_owned()))?;
        if release != kernel.release {
            let own = &kernel.release;
            return Err(unfit(format!(
                "it is for Linux {release}, and the guest's kernel is {own}"
            )));
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self {
            image,
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
        let error = Module::find(&std::env::current_exe().expect("it runs"), &kernel).expect_err("an executable");
        assert!(error.to_string().contains("it is not a kernel module"), "{error}");
    }
}
