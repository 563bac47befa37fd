//! The kernel file of the guest: how it is found, and what it contains.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::VmError;
use crate::program::read;

/// The field in the header of a bzImage that holds the position of its version text, counted from offset 0x200
/// (`Documentation/arch/x86/boot.rst`, `kernel_version`).
const VERSION_POINTER: usize = 0x20e;

/// The offset and the text of the mark of that header.
const MARK: (usize, &[u8]) = (0x202, b"HdrS");

/// A kernel that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The file.
    pub path: PathBuf,
    /// The first word of its version text, such as `6.1.0-13-cloud-amd64`.
    pub release: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

impl Kernel {
    /// The kernel in `path`: a file, or a folder into which a package was extracted, of which the newest readable kernel is
    /// taken. Without a path: the host's own kernel, or else the newest readable one that is installed.
    ///
    /// # Errors
    /// [`VmError::NoKernel`] if there is none, [`VmError::NotAKernel`], [`VmError::Unreadable`].
    pub fn find(path: Option<&Path>) -> Result<Self, VmError> {
        let none = |folder: &Path| VmError::NoKernel {
            folder: folder.to_owned(),
        };
        let root = Path::new("/");
        let path = match path {
            Some(folder) if folder.is_dir() => newest(folder, None).ok_or_else(|| none(folder))?,
            Some(file) => file.to_owned(),
            None => {
                let running = rustix::system::uname();
                newest(root, Some(&running.release().to_string_lossy())).ok_or_else(|| none(root))?
            }
        };
        let image = read(&path)?;
        let release = release(&image).ok_or_else(|| VmError::NotAKernel { path: path.clone() })?;
        let sha256 = Sha256::digest(&image)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Self { path, release, sha256 })
    }
}

/// The readable kernel of this release below a folder, or else the one of the newest release.
fn newest(root: &Path, release: Option<&str>) -> Option<PathBuf> {
    let mut kernels = kernels(root);
    kernels.sort_by_cached_key(|(name, _)| (release == Some(name.as_str()), numbers(name), name.clone()));
    let mut newest_first = kernels.into_iter().rev().map(|(_, path)| path);
    newest_first.find(|path| fs::File::open(path).is_ok())
}

/// The release and the file of each kernel below a folder, where packages put them: `boot/vmlinuz-RELEASE`, or, in Debian from
/// Linux 7.2 on, `usr/lib/modules/RELEASE/vmlinuz`.
fn kernels(root: &Path) -> Vec<(String, PathBuf)> {
    let names = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
    };
    let files = [root.to_owned(), root.join("boot")].into_iter().flat_map(names);
    let files = files.filter_map(|(name, path)| Some((name.strip_prefix("vmlinuz-")?.to_owned(), path)));
    let modules = names(root.join("usr/lib/modules"))
        .map(|(name, path)| (name, path.join("vmlinuz")))
        .filter(|(_, path)| path.exists());
    files.chain(modules).collect()
}

/// The numbers in a release: 6.12 is newer than 6.1.
fn numbers(release: &str) -> Vec<u64> {
    let digits = release.split(|character: char| !character.is_ascii_digit());
    digits.filter_map(|number| number.parse().ok()).collect()
}

fn release(image: &[u8]) -> Option<String> {
    if image.get(MARK.0..)?.get(..MARK.1.len())? != MARK.1 {
        return None;
    }
    let pointer = image.get(VERSION_POINTER..)?.first_chunk::<2>()?;
    let text = image.get(usize::from(u16::from_le_bytes(*pointer)) + 0x200..)?;
    let text = String::from_utf8_lossy(text.split(|byte| *byte == 0).next()?);
    text.split(' ').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(version: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[VERSION_POINTER..VERSION_POINTER + 2].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x300..0x300 + version.len()].copy_from_slice(version);
        image
    }

    #[test]
    fn the_release_is_read_from_the_header() {
        let image = image(b"6.1.0-13-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP\0");
        assert_eq!(release(&image).as_deref(), Some("6.1.0-13-cloud-amd64"));
    }

    #[test]
    fn the_newest_kernel_of_a_folder_is_taken_from_both_layouts() {
        let root = tempfile::TempDir::new().expect("space");
        let add = |name: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("space");
            fs::write(&path, b"").expect("space");
            path
        };
        let newest = |release| newest(root.path(), release);
        assert_eq!(newest(None), None);
        add("boot/initrd.img-9.1.0");
        let old = add("boot/vmlinuz-6.1.0-13");
        let later = add("boot/vmlinuz-6.12.9-1");
        assert_eq!(newest(None).as_ref(), Some(&later), "numbers are compared as numbers");
        assert_eq!(newest(Some("6.1.0-13")), Some(old));
        let latest = add("usr/lib/modules/7.3.1-cloud-amd64/vmlinuz");
        add("usr/lib/modules/8.0/modules.dep");
        assert_eq!(newest(None), Some(latest));
        assert_eq!(
            newest(Some("5.0")),
            newest(None),
            "another one where it is not installed"
        );
    }

    #[test]
    fn a_file_that_is_not_a_kernel_is_recognised() {
        assert_eq!(release(b"\x7fELF"), None);
        assert_eq!(release(&vec![0; 4096]), None);
    }
}
