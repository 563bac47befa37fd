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

/// Renames the mailbox at `path` below `directory` if it has reached its bound with the message that ends at `end`.
pub(crate) fn rotate(directory: BorrowedFd<'_>, path: &str, end: u64) -> Result<(), Errno> {
    if end < MOST {
        return Ok(());
    }
    match renameat(directory, path, directory, format!("{path}.old")) {
        // Another message has done it.
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
    fn a_full_mailbox_gives_way_and_any_number_of_writers_may_say_so() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let directory = fs::File::open(place.path()).expect("the directory");
        fs::write(place.path().join("3"), b"old").expect("a mailbox");
        rotate(directory.as_fd(), "3", MOST - 1).expect("nothing to do");
        assert!(place.path().join("3").exists());
        for _ in 0..2 {
            rotate(directory.as_fd(), "3", MOST).expect("it is renamed, or was");
        }
        assert_eq!(fs::read(place.path().join("3.old")).expect("the old one"), b"old");
        assert!(!place.path().join("3").exists());
    }
}
