//! How a mailbox is bounded.
//!
//! Messages are appended by any number of threads and processes at once (`O_APPEND`). When a mailbox has reached 16 MiB, it is
//! renamed to `N.old`, which replaces the one before, and the next message begins a new one. Whoever has the old one open
//! still reads its message from there.

use std::os::fd::BorrowedFd;

use rustix::fs::renameat;
use rustix::io::Errno;

/// Bytes at which a mailbox is renamed.
const MOST: u64 = 16 << 20;

/// Renames the mailbox at `path` below `directory` if the message of so many bytes that ends at `end` has brought it to its bound, or
/// to a multiple of it. Only one message has: those that come behind it before the name is free do not rename it again.
pub(crate) fn rotate(directory: BorrowedFd<'_>, path: &str, length: usize, end: u64) -> Result<(), Errno> {
    let start = end.saturating_sub(length as u64);
    if start / MOST == end / MOST {
        return Ok(());
    }
    match renameat(directory, path, directory, format!("{path}.old")) {
        // Somebody else has removed it.
        Err(Errno::NOENT) => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_full_mailbox_gives_way_once_however_many_messages_follow_in_it() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let directory = fs::File::open(place.path()).expect("the directory");
        fs::write(place.path().join("3"), b"old").expect("a mailbox");
        rotate(directory.as_fd(), "3", 5, MOST - 1).expect("nothing to do");
        assert!(place.path().join("3").exists());
        rotate(directory.as_fd(), "3", 5, MOST + 2).expect("it is renamed");
        assert!(!place.path().join("3").exists());
        fs::write(place.path().join("3"), b"new").expect("a mailbox");
        rotate(directory.as_fd(), "3", 5, MOST + 7).expect("another message has done it");
        assert_eq!(fs::read(place.path().join("3")).expect("the new one"), b"new");
        assert_eq!(fs::read(place.path().join("3.old")).expect("the old one"), b"old");
    }
}
