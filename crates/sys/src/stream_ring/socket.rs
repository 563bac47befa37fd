//! The sockets of a ring: descriptors of the process, or places in the ring's own table.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use io_uring::types::{DestinationSlot, Fd};
use io_uring::{IoUring, squeue};
use rustix::io::{Errno, Result};

use crate::ring::errno;

/// `IORING_REGISTER_MEM_REGION`, which came with Linux 6.13.
const REGISTER_MEM_REGION: libc::c_uint = 34;

/// Where accepted sockets go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sockets {
    /// Into the process's table: each is a descriptor.
    #[default]
    Descriptors,
    /// Into a table of the ring (`IORING_REGISTER_FILES2`, `IORING_FILE_INDEX_ALLOC`, Linux 5.19): requests find them without
    /// a reference to the process's table, and other calls cannot name them. Before Linux 6.13 a socket that was closed
    /// lives on until the requests that were in flight on other sockets have ended, so such kernels are refused.
    Direct {
        /// The size of the table; at most `RLIMIT_NOFILE` and 1,048,576. When it is full, an accepted connection is closed, and
        /// the accept fails with `ENFILE`.
        places: u32,
    },
}

/// An accepted socket.
#[derive(Debug)]
pub enum Socket {
    /// A descriptor: close-on-exec, blocking.
    Open(OwnedFd),
    /// A place in the ring's table, which only [`close_direct`](super::StreamRing::close_direct) makes free.
    Direct(Direct),
}

/// A place in the ring's table of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direct(pub(super) u32);

/// How a request names its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// By its descriptor.
    Descriptor(RawFd),
    /// By its place in the ring's table.
    Direct(Direct),
}

impl Sockets {
    /// What an accept says about the place of its connection. A direct one has no flag of a descriptor.
    pub(super) fn destination(self) -> (Option<DestinationSlot>, i32) {
        match self {
            Sockets::Descriptors => (None, libc::SOCK_CLOEXEC),
            Sockets::Direct { .. } => (Some(DestinationSlot::auto_target()), 0),
        }
    }
}

impl Socket {
    /// How requests name it.
    #[must_use]
    pub fn target(&self) -> Target {
        match self {
            Socket::Open(fd) => Target::Descriptor(fd.as_raw_fd()),
            Socket::Direct(place) => Target::Direct(*place),
        }
    }
}

impl From<RawFd> for Target {
    fn from(fd: RawFd) -> Target {
        Target::Descriptor(fd)
    }
}

impl Target {
    /// The number, for an entry that [`mark`](Self::mark) completes.
    pub(super) fn number(self) -> Fd {
        match self {
            Target::Descriptor(fd) => Fd(fd),
            // The table has at most 2²⁰ places.
            Target::Direct(Direct(place)) => Fd(place as RawFd),
        }
    }

    /// Says in an entry what its number is.
    pub(super) fn mark(self, entry: squeue::Entry) -> squeue::Entry {
        match self {
            Target::Descriptor(_) => entry,
            Target::Direct(_) => entry.flags(squeue::Flags::FIXED_FILE),
        }
    }
}

/// Gives a ring an empty table for direct sockets (`IORING_REGISTER_FILES2`).
///
/// # Errors
/// `EINVAL` before Linux 6.13; `EMFILE` if there are more places than `RLIMIT_NOFILE` or 1,048,576; `ENOMEM`.
pub(super) fn register_table(ring: &IoUring, places: u32) -> Result<()> {
    if !closes_at_once(ring) {
        return Err(Errno::INVAL);
    }
    ring.submitter()
        .register_files_sparse(places)
        .map_err(|error| errno(&error))
}

/// Whether the kernel closes a direct socket when it is removed from the table, although requests on others are in flight. Linux
/// does so since 6.13, which this call tells: there it fails with `EFAULT`, and before with `EINVAL`.
fn closes_at_once(ring: &IoUring) -> bool {
    let nowhere = usize::MAX;
    // SAFETY: the kernel refuses to read from an address that is not the process's.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring.as_raw_fd(),
            REGISTER_MEM_REGION,
            nowhere,
            1,
        )
    };
    returned == -1 && Errno::from_io_error(&std::io::Error::last_os_error()) == Some(Errno::FAULT)
}
