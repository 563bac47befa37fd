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
    /// The kernel in `path`. Without a path: the host's own kernel in `/boot`, or else the newest readable one there.
    ///
    /// # Errors
    /// [`VmError::NoKernel`] if there is none, [`VmError::NotAKernel`], [`VmError::Unreadable`].
    pub fn find(path: Option<&Path>) -> Result<Self, VmError> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => installed(Path::new("/boot")).ok_or(VmError::NoKernel)?,
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

fn installed(boot: &Path) -> Option<PathBuf> {
    let running = rustix::system::uname();
    let own = boot.join(format!("vmlinuz-{}", running.release().to_string_lossy()));
    let mut others: Vec<PathBuf> = fs::read_dir(boot)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
        })
        .collect();
    others.sort();
    std::iter::once(own)
        .chain(others.into_iter().rev())
        .find(|path| fs::File::open(path).is_ok())
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
    fn the_newest_installed_kernel_is_taken_and_none_from_an_empty_folder() {
        let boot = tempfile::TempDir::new().expect("space");
        assert_eq!(installed(boot.path()), None);
        for name in ["vmlinuz-6.1.0-12", "vmlinuz-6.1.0-13", "initrd.img-6.1.0-14"] {
            fs::write(boot.path().join(name), b"").expect("space");
        }
        assert_eq!(installed(boot.path()), Some(boot.path().join("vmlinuz-6.1.0-13")));
    }

    #[test]
    fn a_file_that_is_not_a_kernel_is_recognised() {
        assert_eq!(release(b"\x7fELF"), None);
        assert_eq!(release(&vec![0; 4096]), None);
    }
}
