//! What all rings of io_uring have in common: how they are set up, and how they are entered.

mod registered;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{Builder, EnterFlags, IoUring};
use rustix::io::{Errno, Result};
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::timeout::LONGEST;
use registered::Registered;

/// How a ring is set up. The default is what a loop in one thread needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// How requests are submitted.
    pub submission: Submission,
    /// When the kernel does its part.
    pub task_work: TaskWork,
    /// How calls name the ring.
    pub descriptor: RingDescriptor,
    /// The minimum wait.
    pub min_wait: MinWait,
}

/// How queued requests reach the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Submission {
    /// By `io_uring_enter`.
    #[default]
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
    /// When it waits for completions, or asks for them (`IORING_SETUP_SINGLE_ISSUER` and `IORING_SETUP_DEFER_TASKRUN`, Linux 6.1). A
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

/// The minimum wait: a call waits this long for [`completions`](Self::completions) of them, and after that for the first
/// (`io_uring_getevents_arg.min_wait_usec`, Linux 6.12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinWait {
    /// How long, in whole microseconds, from 1; 0 for no minimum.
    pub time: Duration,
    /// How many completions end it early, from 1; without a minimum it does not count.
    pub completions: u32,
}

/// How many completions a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    None,
    One,
    /// As the [minimum wait](MinWait) says; one if there is none.
    Several,
}

/// Whether the queue has room for the requests that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    Room,
    Full,
}

/// A ring. It belongs to the thread that opened it. Calls of other threads fail with `EEXIST`
/// (`IORING_SETUP_SINGLE_ISSUER`), unless its work is done as [`TaskWork::Interrupt`] or [`TaskWork::Cooperative`] says.
pub(crate) struct Ring {
    pub(crate) queues: IoUring,
    registered: Option<Registered>,
    submission: Submission,
    min_wait: MinWait,
}

impl Setup {
    fn builder(&self, completions: u32, other: Option<BorrowedFd<'_>>) -> Builder {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_cqsize(completions);
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

impl Ring {
    /// `io_uring_setup(2)` with room for so many requests and completions; `other` is a ring whose kernel thread submits for this
    /// one too (`IORING_SETUP_ATTACH_WQ`).
    ///
    /// # Errors
    /// `ENOSYS`, `EPERM`, `EINVAL`, `ENOMEM`, `EMFILE`: [`ring_setup::remedy`](crate::ring_setup::remedy) gives the
    /// cause. `EINVAL` too where the kernel is older than what the setup asks for, or a kernel thread submits and the task work is
    /// cooperative, or a minimum wait is shorter than a microsecond or for no completion. `EBUSY` if the thread has registered 16
    /// rings.
    pub(crate) fn open(
        setup: Setup,
        submissions: u32,
        completions: u32,
        other: Option<BorrowedFd<'_>>,
    ) -> Result<Ring> {
        let MinWait {
            time,
            completions: least,
        } = setup.min_wait;
        // The kernel would wait for its completions without an end, or for nothing.
        if !time.is_zero() && (time < Duration::from_micros(1) || least == 0) {
            return Err(Errno::INVAL);
        }
        let queues = setup
            .builder(completions, other)
            .build(submissions)
            .map_err(|error| errno(&error))?;
        if !time.is_zero() && !queues.params().is_feature_min_timeout() {
            return Err(Errno::INVAL);
        }
        let registered = match setup.descriptor {
            RingDescriptor::Open => None,
            RingDescriptor::Registered => Some(Registered::register(&queues)?),
        };
        Ok(Ring {
            queues,
            registered,
            submission: setup.submission,
            min_wait: setup.min_wait,
        })
    }

    /// `io_uring_enter(2)`: submits what is queued, does the pending work, and waits. Without a timeout it waits without a limit; a
    /// timeout of 0 does not wait. Returns whether the kernel was called.
    ///
    /// # Errors
    /// `ETIME` after the timeout; `EINTR`; `EBUSY` or `EAGAIN` if the kernel lacks resources; `EEXIST` in another
    /// thread than the opener.
    #[inline]
    pub(crate) fn enter(&mut self, wanted: Wanted, timeout: Option<Duration>, queue: Queue) -> Result<bool> {
        let waits = wanted != Wanted::None && timeout != Some(Duration::ZERO);
        let collects = wanted == Wanted::Several && waits && !self.min_wait.time.is_zero();
        // Without a timeout, the kernel would end the wait with the minimum wait, although nothing has completed.
        let timeout = timeout.or(collects.then_some(LONGEST));
        let limit = timeout.map(|timeout| Timespec::from(timeout.min(LONGEST)));
        let mut arguments = match &limit {
            Some(limit) => SubmitArgs::new().timespec(limit),
            None => SubmitArgs::new(),
        };
        let least = if collects {
            // The kernel does not look at the timeout before.
            let time = timeout.map_or(self.min_wait.time, |timeout| self.min_wait.time.min(timeout));
            arguments = arguments.min_wait_usec(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
            self.min_wait.completions
        } else {
            u32::from(waits)
        };
        let mut flags = EnterFlags::EXT_ARG | EnterFlags::GETEVENTS;
        let queued = match self.submission {
            Submission::Enter => u32::try_from(self.queues.submission().len()).unwrap_or(u32::MAX),
            Submission::KernelThread { .. } => {
                let asleep = self.queues.submission().need_wakeup();
                if asleep {
                    flags |= EnterFlags::SQ_WAKEUP;
                }
                if queue == Queue::Full {
                    flags |= EnterFlags::SQ_WAIT;
                }
                // As the kernel would count them.
                let ready = self.queues.completion().len() >= least.max(1) as usize;
                if !asleep && queue == Queue::Room && (ready || !waits) && !self.overflowed() {
                    return Ok(false);
                }
                0
            }
        };
        // SAFETY: the flags say that the argument is an io_uring_getevents_arg, which is all that a SubmitArgs holds
        // (the crate's own submit_with_args passes it in the same way); it and the timespec that it points to are live
        // until the call returns; `queued` entries are in the ring, and whoever pushed them upholds what they point to.
        let entered = unsafe {
            match &self.registered {
                Some(registered) => registered.enter(queued, least, flags, &arguments),
                None => self
                    .queues
                    .submitter()
                    .enter(queued, least, flags.bits(), Some(&arguments))
                    .map(drop)
                    .map_err(|error| errno(&error)),
            }
        };
        entered.map(|()| true)
    }

    /// Whether completions wait in the kernel for space in the ring (`IORING_SQ_CQ_OVERFLOW`); the next
    /// [`enter`](Self::enter) fetches them.
    #[inline]
    pub(crate) fn overflowed(&mut self) -> bool {
        self.queues.submission().cq_overflow()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(registered) = &self.registered {
            registered.unregister();
        }
    }
}

/// The CPU of the calling thread, if it may run on one CPU only.
fn only_cpu() -> Option<u32> {
    let set = sched_getaffinity(None).ok().filter(|set| set.count() == 1)?;
    let cpu = (0..CpuSet::MAX_CPU).find(|cpu| set.is_set(*cpu))?;
    u32::try_from(cpu).ok()
}

/// The error of a call of the crate.
pub(crate) fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
