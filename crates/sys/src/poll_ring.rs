//! An io_uring that only polls descriptors: `POLL_ADD`, once or multishot, and `POLL_REMOVE`.
//!
//! Requests of these kinds carry no pointer, so no memory has to outlive them; the kernel holds its own reference to
//! the polled file until the request has ended.

use crate::ring::{Queue, Ring, Setup, Submission, Wanted, errno};
use io_uring::{
    opcode,
    types::{Fd, Napi},
};
use rustix::io::{Errno, Result};
use std::{os::fd::RawFd, time::Duration};

/// When a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shots {
    /// It ends with its first completion.
    One,
    /// It ends when it is removed, or with a completion whose [`Completion::more`] is false.
    Many,
}

/// One completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The request's user data.
    pub data: u64,
    /// The conditions found (bits of `poll(2)`), or why the request failed.
    pub result: std::result::Result<u32, Errno>,
    /// Whether the request stays active (`IORING_CQE_F_MORE`).
    pub more: bool,
}

/// Busy polling: waits poll the network devices before they sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// The time to poll, in microseconds.
    pub microseconds: u32,
    /// Whether device interrupts stay off while polling.
    pub prefer: bool,
}

/// A ring for polling. It belongs to the thread that opened it. Calls of other threads fail with `EEXIST`
/// (`IORING_SETUP_SINGLE_ISSUER`), unless the [task work](crate::ring::TaskWork) is done as that of the kernel's default or as
/// cooperative work.
pub struct PollRing(Ring);

impl PollRing {
    /// `io_uring_setup(2)` with space for this many requests and this many completions. Both are rounded up to powers
    /// of two.
    ///
    /// # Errors
    /// `ENOSYS`: the kernel has no io_uring, or a seccomp profile hides it; `EPERM`: `kernel.io_uring_disabled` or a
    /// seccomp profile forbids it; `EINVAL`: the kernel is older than what the setup asks for, or a kernel thread is to submit, which
    /// takes requests some time after a wait that does not sleep, or a minimum wait is shorter than a microsecond or for no completion;
    /// `ENOMEM`: memory, or `RLIMIT_MEMLOCK` on old kernels; `EMFILE`; `EBUSY`: the thread has registered 16 rings.
    pub fn open(setup: Setup, submissions: u32, completions: u32) -> Result<Self> {
        if setup.submission != Submission::Enter {
            return Err(Errno::INVAL);
        }
        Ring::open(setup, submissions.min(completions), completions, None).map(Self)
    }

    /// `IORING_REGISTER_NAPI`, Linux 6.9.
    ///
    /// # Errors
    /// `EINVAL` before Linux 6.9, or if the kernel was built without busy polling.
    pub fn set_busy_poll(&self, parameters: BusyPoll) -> Result<()> {
        let mut napi = Napi::new()
            .set_busy_poll_timeout(parameters.microseconds)
            .set_prefer_busy_poll(parameters.prefer);
        self.0
            .queues
            .submitter()
            .register_napi(&mut napi)
            .map_err(|error| errno(&error))
    }

    /// Queues a `POLL_ADD`: `bits` are those of `poll(2)`. The kernel sees it with the next [`enter`](Self::enter), and
    /// the descriptor must be open then for it to succeed. Returns whether the queue had space.
    #[must_use]
    pub fn add(&mut self, fd: RawFd, bits: u32, data: u64, shots: Shots) -> bool {
        let entry = opcode::PollAdd::new(Fd(fd), bits)
            .multi(shots == Shots::Many)
            .build()
            .user_data(data);
        // SAFETY: a POLL_ADD refers to no memory; the descriptor is a number that the kernel checks.
        unsafe { self.0.queues.submission().push(&entry) }.is_ok()
    }

    /// `IORING_REGISTER_SYNC_CANCEL`: ends all requests and waits until they have ended; their completions are lost
    /// with the ring, which is about to be dropped. Without this, the kernel releases the polled files some time after
    /// the ring is closed.
    ///
    /// # Errors
    /// `ENOENT` if there was no request; `EEXIST` in another thread than the opener; `EINVAL` before Linux 6.0.
    pub fn cancel_all(&mut self) -> Result<()> {
        self.enter(0, Some(Duration::ZERO))?;
        let all = io_uring::types::CancelBuilder::any();
        self.0
            .queues
            .submitter()
            .register_sync_cancel(None, all)
            .map_err(|error| errno(&error))
    }

    /// Queues a `POLL_REMOVE` of the request with the user data `target`; its own completion carries `data`. Returns
    /// whether the queue had space.
    #[must_use]
    pub fn remove(&mut self, target: u64, data: u64) -> bool {
        let entry = opcode::PollRemove::new(target).build().user_data(data);
        // SAFETY: a POLL_REMOVE refers to no memory.
        unsafe { self.0.queues.submission().push(&entry) }.is_ok()
    }

    /// `io_uring_enter(2)`: submits what is queued, does the pending work, and waits for a completion if one is `wanted`, without a
    /// minimum wait. Without a timeout it waits without a limit.
    ///
    /// # Errors
    /// `ETIME` after the timeout; `EINTR`; `EBUSY` or `EAGAIN` if the kernel lacks resources; `EEXIST` in another
    /// thread than the opener.
    #[inline]
    pub fn enter(&mut self, wanted: u32, timeout: Option<Duration>) -> Result<()> {
        let wanted = if wanted > 0 { Wanted::One } else { Wanted::None };
        self.0.enter(wanted, timeout, Queue::Room).map(drop)
    }

    /// The same, and waits for as many completions as the ring's minimum wait says. A timeout of 0 does not wait.
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    #[inline]
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.0.enter(Wanted::Several, timeout, Queue::Room).map(drop)
    }

    /// Whether the ring holds completions. Makes no system call.
    #[inline]
    pub fn holds_completions(&mut self) -> bool {
        !self.0.queues.completion().is_empty()
    }

    /// Takes one completion from the ring. Makes no system call.
    #[inline]
    pub fn pop(&mut self) -> Option<Completion> {
        self.0.queues.completion().next().map(|entry| Completion {
            data: entry.user_data(),
            result: u32::try_from(entry.result()).map_err(|_| Errno::from_raw_os_error(-entry.result())),
            more: io_uring::cqueue::more(entry.flags()),
        })
    }

    /// Whether completions wait in the kernel for space in the ring (`IORING_SQ_CQ_OVERFLOW`); the next
    /// [`enter`](Self::enter) fetches them.
    #[inline]
    pub fn overflowed(&mut self) -> bool {
        self.0.overflowed()
    }
}
