//! Which executable is measured: a study keeps to one file from its first cell to its last.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Inode, seconds and nanoseconds of its last change, size.
pub(crate) type Stamp = (u64, i64, i64, u64);

/// `None` where there is no such file.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.mtime(), file.mtime_nsec(), file.size()))
}

/// SHA-256 of a file, hexadecimal; `None` where it cannot be read.
pub(crate) fn sha256(path: &Path) -> Option<String> {
    let digest = Sha256::digest(std::fs::read(path).ok()?);
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
