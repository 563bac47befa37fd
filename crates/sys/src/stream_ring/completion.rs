//! What a ring reports.

use std::os::fd::OwnedFd;

use rustix::io::Result;

use super::socket::Socket;
use crate::provided_buffers::Received;

/// A send in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendId(pub(super) u32);

/// One completion.
#[derive(Debug)]
pub enum Completion {
    /// The completion of an accept.
    Accepted {
        /// The connection. `ENFILE` if the ring's table of sockets was full; then the connection was closed.
        connection: Result<Socket>,
        /// Whether the request stays active (`IORING_CQE_F_MORE`).
        more: bool,
    },
    /// The completion of a receive.
    Received {
        /// The number of the request.
        data: u32,
        /// The buffer that was filled; `None` at the end of the stream. `ENOBUFS` if no buffer was free.
        outcome: Result<Option<Received>>,
        /// Whether the request stays active.
        more: bool,
    },
    /// The completion of a send.
    Sent {
        /// The number of the request.
        data: u32,
        /// The number of bytes sent, or the error.
        outcome: Result<Sent>,
        /// The first part of the data, given back. If the network still reads it (zero copy), this is a copy of what is left of
        /// it, or nothing.
        head: Vec<u8>,
        /// The position in `head` of the first byte that was not sent.
        from: usize,
    },
    /// The completion of a read from a file.
    Read {
        /// The number of the request.
        data: u32,
        /// The number of bytes read (0 at the end of the file), or the error.
        outcome: Result<usize>,
        /// The bytes that the caller passed, followed by the bytes read.
        bytes: Vec<u8>,
    },
    /// The completion of the open of a file.
    Opened {
        /// The number of the request.
        data: u32,
        /// The file: close-on-exec.
        file: Result<OwnedFd>,
    },
    /// The completion of a write, a sync, an advice, a close of a file, a sleep or a request for a file's size.
    Worked {
        /// The number of the request.
        data: u32,
        /// What that request says, or the error.
        outcome: Result<u64>,
        /// The bytes that the caller passed to a write; else nothing of use.
        bytes: Vec<u8>,
    },
    /// The completion of a [`shutdown`](super::StreamRing::shutdown).
    ShutDown {
        /// The number of the request.
        data: u32,
    },
    /// The completion of a [`close_direct`](super::StreamRing::close_direct): the place is free.
    Closed {
        /// The number of the request.
        data: u32,
    },
    /// The completion of a poll.
    Polled {
        /// The number of the request.
        data: u32,
    },
}

/// How many bytes of each part of a send were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Of `head`.
    pub head: usize,
    /// Of `tail`.
    pub tail: usize,
}

/// Notifications that the network has finished with the memory of a send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notifications {
    /// All.
    pub all: u64,
    /// Those of sends that the kernel has copied after all.
    pub copied: u64,
}
