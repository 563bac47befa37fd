//! Opening files below a directory.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use c10k_http::{FileFacts, Unsent};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::Errno;

use crate::ServeError;
use crate::stats::Calls;

/// How often a path is resolved again after a rename interfered (openat2(2), `EAGAIN`).
const TRIES: usize = 8;

/// A directory whose files are served. Clones are the same directory.
#[derive(Debug, Clone)]
pub struct Root(Arc<OwnedFd>);

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Root {
    /// Opens the directory.
    ///
    /// # Errors
    /// [`ServeError::Root`].
    pub fn open(path: &Path) -> Result<Root, ServeError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, path, flags, Mode::empty())
            .map(|directory| Root(Arc::new(directory)))
            .map_err(|errno| ServeError::Root {
                path: path.to_owned(),
                cause: errno.into(),
            })
    }

    /// Opens a regular file. No path leads out of the directory: symbolic links are followed only if they stay below it, and
    /// the magic links of /proc never.
    ///
    /// The file is first located and then opened, since opening has effects on what is not a regular file: it wakes whoever
    /// waits at the other end of a FIFO, and a device may do anything.
    pub(crate) fn find(&self, path: &[u8], calls: &mut Calls) -> Result<(OwnedFd, FileFacts), Unsent> {
        let place = self.resolve(path, OFlags::PATH, calls)?;
        regular(&place, calls)?;
        // Another file may have got the name by now. Then that one is sent.
        let file = self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, calls)?;
        let found = regular(&file, calls)?;
        let seconds = u64::try_from(found.st_mtime).unwrap_or(0);
        let facts = FileFacts {
            size: u64::try_from(found.st_size).unwrap_or(0),
            modified: Duration::new(seconds, u32::try_from(found.st_mtime_nsec).unwrap_or(0)),
            identity: found.st_ino,
        };
        Ok((file, facts))
    }

    fn resolve(&self, path: &[u8], flags: OFlags, calls: &mut Calls) -> Result<OwnedFd, Unsent> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut outcome = Err(Errno::AGAIN);
        for _ in 0..TRIES {
            calls.openat2 += 1;
            outcome = openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
            if !matches!(outcome, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
        }
        outcome.map_err(|errno| match errno {
            Errno::ACCESS | Errno::PERM => Unsent::Forbidden,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => Unsent::Shortage,
            // It does not exist, or is a link that leads out.
            _ => Unsent::Missing,
        })
    }
}

/// The status of a file, if it is a regular one.
fn regular(file: &OwnedFd, calls: &mut Calls) -> Result<Stat, Unsent> {
    calls.fstat += 1;
    let found = fstat(file).map_err(|_| Unsent::Shortage)?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Ok(found),
        FileType::Directory => Err(Unsent::Directory),
        _ => Err(Unsent::Missing),
    }
}
