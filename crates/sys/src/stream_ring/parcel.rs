//! The memory of a request in flight.

use std::os::fd::{IntoRawFd, OwnedFd};

use io_uring::types::Timespec;

/// It is boxed so that the message does not move.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) data: u32,
    pub(super) head: Vec<u8>,
    pub(super) from: usize,
    /// The parts that the message points to, if there are two.
    pub(super) parts: [libc::iovec; 2],
    pub(super) message: libc::msghdr,
    pub(super) state: State,
    pub(super) held: Held,
}

/// What else a request in flight refers to.
#[derive(Debug)]
pub(super) enum Held {
    Nothing,
    /// The file that it closes.
    File(OwnedFd),
    /// How long it takes.
    Time(#[expect(dead_code, reason = "the kernel reads it")] Box<Timespec>),
}

impl Held {
    /// The request has completed. `ran`: it was not cancelled before the kernel took it up.
    pub(super) fn over(self, ran: bool) {
        if let (Held::File(file), true) = (self, ran) {
            // The kernel has closed it.
            let _ = file.into_raw_fd();
        }
    }
}

/// What the kernel still does with a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The request has not completed.
    InFlight,
    /// It has, and the completion was handed out; the network may still read the memory, until the notification.
    Lent,
}

impl Parcel {
    pub(super) fn empty() -> Box<Parcel> {
        let nothing = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        Box::new(Parcel {
            data: 0,
            head: Vec::new(),
            from: 0,
            parts: [nothing; 2],
            message: libc::msghdr {
                msg_name: std::ptr::null_mut(),
                msg_namelen: 0,
                msg_iov: std::ptr::null_mut(),
                msg_iovlen: 0,
                msg_control: std::ptr::null_mut(),
                msg_controllen: 0,
                msg_flags: 0,
            },
            state: State::InFlight,
            held: Held::Nothing,
        })
    }
}

/// A slice as the message describes it.
pub(super) fn part(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

/// The size in a `struct statx` that the kernel has written.
pub(super) fn size_in(statx: &[u8]) -> u64 {
    let from = std::mem::offset_of!(libc::statx, stx_size);
    let bytes = statx.get(from..from + size_of::<u64>());
    bytes.map_or(0, |bytes| u64::from_ne_bytes(bytes.try_into().unwrap_or_default()))
}
