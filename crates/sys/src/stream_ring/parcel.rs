//! The memory of a send or a read in flight.

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
