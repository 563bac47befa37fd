//! What a ring is made of, and which of the kernel's newer ways it uses.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::{Builder, IoUring, opcode, squeue};
use rustix::thread::{CpuSet, sched_getaffinity};

use super::socket::{Sockets, Target};

/// A peer that has closed its end is an error and no signal.
const FLAGS: i32 = libc::MSG_NOSIGNAL;

/// Asks the notification to say whether the kernel has copied the bytes after all (`IORING_SEND_ZC_REPORT_USAGE`).
const REPORT_USAGE: u16 = 1 << 3;

/// How queued requests reach the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submission {
    /// By `io_uring_enter`.
    Enter,
    /// By a kernel thread that polls for requests and sleeps after it has found none for this time
    /// (`IORING_SETUP_SQPOLL`). If the calling thread may run on one CPU only, the kernel thread is bound to it.
    KernelThread {
        /// The time until it sleeps, in milliseconds.
        idle_ms: u32,
    },
}

/// When the kernel does the work that a request has left, such as a receive after data has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskWork {
    /// At once: a thread that runs in user space is interrupted for it. The kernel's default.
    Interrupt,
    /// When the thread next enters the kernel, for whatever reason (`IORING_SETUP_COOP_TASKRUN`, Linux 5.19).
    Cooperative,
    /// In [`enter`](super::StreamRing::enter) only (`IORING_SETUP_SINGLE_ISSUER` and `IORING_SETUP_DEFER_TASKRUN`, Linux 6.1). A
    /// kernel thread that submits excludes this; then the ring has a single issuer without it.
    #[default]
    Deferred,
}

/// How calls name the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RingDescriptor {
    /// By its descriptor, which each call looks up.
    #[default]
    Open,
    /// By its index among the ring descriptors that the thread has registered (`IORING_REGISTER_RING_FDS`, Linux 5.18).
    Registered,
}

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

/// The minimum wait: a call waits this long for [`completions`](Self::completions) of them, and after that for the first
/// (`io_uring_getevents_arg.min_wait_usec`, Linux 6.12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinWait {
    /// How long, in whole microseconds; 0 for no minimum.
    pub time: Duration,
    /// How many completions end it early.
    pub completions: u32,
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
    /// How requests are submitted.
    pub submission: Submission,
    /// When the kernel does its part.
    pub task_work: TaskWork,
    /// How calls name the ring.
    pub descriptor: RingDescriptor,
    /// Where accepted sockets go.
    pub sockets: Sockets,
    /// How received bytes are placed.
    pub placement: Placement,
    /// Whose memory sends are made from.
    pub send_memory: SendMemory,
    /// The minimum wait.
    pub min_wait: MinWait,
}

impl Shape {
    /// The ring's setup; `other` is a ring whose kernel thread submits for this one too.
    pub(super) fn builder(&self, other: Option<BorrowedFd<'_>>) -> Builder {
        let mut builder = IoUring::builder();
        builder
            .setup_clamp()
            .setup_cqsize(self.completions.max(self.submissions));
        match (self.submission, self.task_work) {
            (Submission::Enter, TaskWork::Deferred) => {
                builder.setup_single_issuer().setup_defer_taskrun();
            }
            (Submission::KernelThread { .. }, TaskWork::Deferred) => {
                builder.setup_single_issuer();
            }
            (_, TaskWork::Cooperative) => {
                builder.setup_coop_taskrun();
            }
            (_, TaskWork::Interrupt) => {}
        }
        if let Submission::KernelThread { idle_ms } = self.submission {
            builder.setup_sqpoll(idle_ms);
            if let Some(other) = other {
                builder.setup_attach_wq(other.as_raw_fd());
            } else if let Some(cpu) = only_cpu() {
                builder.setup_sqpoll_cpu(cpu);
            }
        }
        builder
    }
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

/// The CPU of the calling thread, if it may run on one CPU only.
fn only_cpu() -> Option<u32> {
    let set = sched_getaffinity(None).ok().filter(|set| set.count() == 1)?;
    let cpu = (0..CpuSet::MAX_CPU).find(|cpu| set.is_set(*cpu))?;
    u32::try_from(cpu).ok()
}
