//! `ppoll`: state notification over an array that is passed in at every call.

use crate::timeout;
use rustix::io::{Errno, Result};
use std::{
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};

/// Data to read.
pub const POLLIN: u16 = libc::POLLIN.cast_unsigned();
/// An exceptional condition, for instance out-of-band data.
pub const POLLPRI: u16 = libc::POLLPRI.cast_unsigned();
/// Space to write.
pub const POLLOUT: u16 = libc::POLLOUT.cast_unsigned();
/// An error condition; always reported.
pub const POLLERR: u16 = libc::POLLERR.cast_unsigned();
/// Both directions closed; always reported.
pub const POLLHUP: u16 = libc::POLLHUP.cast_unsigned();
/// Not an open descriptor; always reported.
pub const POLLNVAL: u16 = libc::POLLNVAL.cast_unsigned();
/// The peer closed its writing half.
pub const POLLRDHUP: u16 = libc::POLLRDHUP.cast_unsigned();

/// As [`POLLIN`]; most files set both.
pub const POLLRDNORM: u16 = libc::POLLRDNORM.cast_unsigned();
/// As [`POLLOUT`]; most files set both.
pub const POLLWRNORM: u16 = libc::POLLWRNORM.cast_unsigned();

/// One `struct pollfd`. It may outlive the borrow of its descriptor. Remove it before the descriptor is closed, or
/// expect [`POLLNVAL`], or events of another file with the same number.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct PollEntry(libc::pollfd);

impl PollEntry {
    /// An entry for `fd` that asks for `events`.
    #[must_use]
    pub fn new(fd: BorrowedFd<'_>, events: u16) -> Self {
        Self(libc::pollfd {
            fd: fd.as_raw_fd(),
            events: events.cast_signed(),
            revents: 0,
        })
    }

    /// An entry for a descriptor number, which may be closed. For callers that own the files but store only their
    /// numbers.
    #[must_use]
    pub fn of_number(fd: i32, events: u16) -> Self {
        Self(libc::pollfd {
            fd,
            events: events.cast_signed(),
            revents: 0,
        })
    }

    /// Replaces the events asked for.
    pub fn ask(&mut self, events: u16) {
        self.0.events = events.cast_signed();
    }

    /// The events asked for.
    #[must_use]
    pub fn asked(&self) -> u16 {
        self.0.events.cast_unsigned()
    }

    /// What the last call to [`poll`] found.
    #[must_use]
    pub fn found(&self) -> u16 {
        self.0.revents.cast_unsigned()
    }

    /// The descriptor's number.
    #[must_use]
    pub fn number(&self) -> i32 {
        self.0.fd
    }
}

/// `ppoll(entries, timeout)`: waits until an entry is ready and returns the number of ready entries. Without a timeout
/// it waits without a limit.
///
/// # Errors
/// `EINTR`; `EINVAL` with more entries than `RLIMIT_NOFILE`; `ENOMEM`. See `poll(2)`.
pub fn poll(entries: &mut [PollEntry], timeout: Option<Duration>) -> Result<usize> {
    let timeout = timeout.map(timeout::timespec);
    // SAFETY: the array is a live exclusive borrow of `entries.len()` pollfd structures (PollEntry is transparent), the
    // timeout is null or a live timespec that glibc copies, and no signal mask is passed.
    let ready = unsafe {
        libc::ppoll(
            entries.as_mut_ptr().cast(),
            entries.len() as libc::nfds_t,
            timeout::pointer(timeout.as_ref()),
            std::ptr::null(),
        )
    };
    usize::try_from(ready).map_err(|_| errno())
}

/// The error of the last libc call of this thread.
pub(crate) fn errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
