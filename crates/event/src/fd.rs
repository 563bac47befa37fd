//! Descriptor numbers as indices.

use std::os::fd::RawFd;

/// A descriptor's number as an index.
pub(crate) fn index(fd: RawFd) -> usize {
    usize::try_from(fd).unwrap_or_else(|_| unreachable!("an open descriptor has no negative number, as {fd} is"))
}
