//! What a ring is made of, and which of the kernel's newer ways it uses.

use io_uring::{opcode, squeue};

use super::socket::{Sockets, Target};
use crate::ring::Setup;

/// A peer that has closed its end is an error and no signal.
const FLAGS: i32 = libc::MSG_NOSIGNAL;

/// Asks the notification to say whether the kernel has copied the bytes after all (`IORING_SEND_ZC_REPORT_USAGE`).
const REPORT_USAGE: u16 = 1 << 3;

/// How received bytes are placed into buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Each completion takes one buffer whole.
    #[default]
    Whole,
    /// A completion may take several buffers (`IORING_RECVSEND_BUNDLE`, Linux 6.10).
    Bundle,
    /// A completion takes the part of a buffer that it needs, and the next one continues behind it (`IOU_PBUF_RING_INC`, Linux
    /// 6.12).
    Incremental,
}

/// Whose memory a send is made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendMemory {
    /// The kernel copies the bytes.
    #[default]
    Copied,
    /// The network device reads the caller's memory, if it can, and a notification says when it has finished
    /// (`IORING_OP_SEND_ZC`, Linux 6.0; `IORING_OP_SENDMSG_ZC`, Linux 6.1). Over loopback the kernel copies after all.
    ZeroCopy,
}

/// The sizes of a ring, and what it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The number of requests that can be queued, rounded up to a power of two.
    pub submissions: u32,
    /// The number of completions in the ring, rounded up to a power of two. Further completions wait in the kernel.
    pub completions: u32,
    /// The number of receive buffers, a power of two.
    pub buffers: u16,
    /// The size of each buffer, in bytes.
    pub buffer_size: usize,
    /// How it is set up.
    pub setup: Setup,
    /// Where accepted sockets go.
    pub sockets: Sockets,
    /// How received bytes are placed.
    pub placement: Placement,
    /// Whose memory sends are made from.
    pub send_memory: SendMemory,
}

impl SendMemory {
    /// A send of one part.
    pub(super) fn entry_of_one(self, target: Target, bytes: &[u8]) -> squeue::Entry {
        let socket = target.number();
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        target.mark(match self {
            SendMemory::Copied => opcode::Send::new(socket, bytes.as_ptr(), length).flags(FLAGS).build(),
            SendMemory::ZeroCopy => opcode::SendZc::new(socket, bytes.as_ptr(), length)
                .flags(FLAGS)
                .zc_flags(REPORT_USAGE)
                .build(),
        })
    }

    /// A send of the parts that a message points to.
    pub(super) fn entry_of_several(self, target: Target, message: *const libc::msghdr) -> squeue::Entry {
        let socket = target.number();
        target.mark(match self {
            SendMemory::Copied => opcode::SendMsg::new(socket, message).flags(FLAGS as u32).build(),
            SendMemory::ZeroCopy => opcode::SendMsgZc::new(socket, message)
                .flags(FLAGS as u32)
                .ioprio(REPORT_USAGE)
                .build(),
        })
    }
}
