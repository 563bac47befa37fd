//! Directories that are removed when the work that made them ends, however it ends.
//!
//! [`Scratch`] removes its directory when it is dropped. Work that is killed drops nothing, so the names of its directories are
//! also in a list that it shares with its [guard](crate::guard), which removes what is left.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, memfd_create};

/// The list, in memory that child processes share: paths, each followed by a zero byte.
static LIST: OnceLock<File> = OnceLock::new();

/// A directory of its own. It is removed with all that is in it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes the directory `c10k-scratch-PID` below `parent`, which has to exist.
    ///
    /// # Errors
    /// Those of `mkdir(2)`, also if the directory exists already: it is somebody else's. Those of a write to the list.
    pub fn make(parent: &Path) -> io::Result<Self> {
        let path = parent
            .canonicalize()?
            .join(format!("c10k-scratch-{}", std::process::id()));
        fs::create_dir(&path)?;
        let scratch = Self { path };
        if let Some(mut list) = LIST.get() {
            // In one write. A zero byte cannot be part of a path.
            list.write_all(&[scratch.path.as_os_str().as_bytes(), b"\0"].concat())?;
        }
        Ok(scratch)
    }

    /// Its absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is tried again by the guard.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Begins the list. To be called before the processes are made that share it.
pub(crate) fn begin_list() -> io::Result<()> {
    if LIST.get().is_none() {
        let list = memfd_create("c10k-scratch", MemfdFlags::CLOEXEC)?;
        // If another thread was first, its list is the list.
        let _ = LIST.set(File::from(list));
    }
    Ok(())
}

/// Removes every directory on the list that is still there. Nothing may write to them any more.
pub(crate) fn remove_listed() {
    let Some(list) = LIST.get() else { return };
    let length = list.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    if list.read_exact_at(&mut bytes, 0).is_err() {
        return;
    }
    for path in bytes.split(|&byte| byte == 0).filter(|path| !path.is_empty()) {
        // Most of them were removed by those that made them.
        let _ = fs::remove_dir_all(OsStr::from_bytes(path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_is_new_and_gone_afterwards() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let scratch = Scratch::make(parent.path()).expect("it is made");
        fs::create_dir(scratch.path().join("deep")).expect("there is room");
        fs::write(scratch.path().join("deep/file"), b"x").expect("there is room");
        let again = Scratch::make(parent.path()).expect_err("it is taken");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists() && parent.path().exists());
    }

    #[test]
    fn what_its_maker_leaves_behind_is_removed_from_the_list() {
        begin_list().expect("there is memory");
        let parent = tempfile::tempdir().expect("a temporary directory");
        let scratch = Scratch::make(parent.path()).expect("it is made");
        let path = scratch.path().to_owned();
        fs::write(path.join("file"), b"x").expect("there is room");
        // As in a process that is killed.
        std::mem::forget(scratch);
        remove_listed();
        assert!(!path.exists() && parent.path().exists());
        remove_listed();
    }
}
