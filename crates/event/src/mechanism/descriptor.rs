//! One row of the table of mechanisms, and the columns that it has.

use super::kernel::Kernel;
use crate::{
    DeclareError, Interest, OpenError, Options, ReadinessDetail, Threading, Trigger, Unsupported, Wakeup, Watch,
};

/// One row of [`MECHANISMS`](crate::MECHANISMS): everything that flags, lists, tests, benchmarks and the documentation
/// need to know about a mechanism.
#[derive(Debug)]
pub struct Descriptor {
    /// The name that flags and records use.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// The triggers that it offers, the usual one first.
    pub triggers: &'static [Trigger],
    /// The kinds of wake-up that it offers.
    pub wakeups: &'static [Wakeup],
    /// Which threads may use a set.
    pub threading: Threading,
    /// What it reports besides readable and writable.
    pub reports: &'static [ReadinessDetail],
    /// Whether it offers [busy polling](Options::busy_poll).
    pub busy_poll: bool,
    /// Whether it has a [ring](Options::ring) that can be set up in several ways.
    pub ring: bool,
    /// Whether the interface is an emulation of one that Linux does not have.
    pub emulated: bool,
    /// Which signals it queues; `None` if it does not learn of events by signals.
    pub signal_queue: Option<SignalQueue>,
    /// The system calls that wait, by the kernel's names, the usual one first.
    pub waits: &'static [&'static str],
    /// How many events one of these calls returns.
    pub events_per_call: EventsPerCall,
    /// The system calls of each operation.
    pub costs: Costs,
    /// The hand-written loop that the dispatch benchmark compares it with.
    pub hand_written: Option<HandWritten>,
    /// Opens the kernel's side of a set.
    pub(crate) open: fn(&'static Self, &Options) -> Result<Kernel, OpenError>,
}

/// Which signals the kernel queues for the events of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalQueue {
    /// One for each event: a busy source alone can fill the queue.
    PerEvent,
    /// One until the program takes it: a queue as long as the set never overflows.
    PerSource,
}

impl SignalQueue {
    /// The name in lower case, as in tables and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerEvent => "per event",
            Self::PerSource => "per source",
        }
    }
}

/// How many events one waiting system call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsPerCall {
    /// One, so a batch of events takes as many calls.
    One,
    /// As many as the batch has room for.
    Many,
}

impl EventsPerCall {
    /// The name in lower case, as in tables and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Many => "many",
        }
    }
}

/// How often an operation makes each system call, by the kernel's names. Calls that it does not make are left out.
pub type CallCounts = &'static [(&'static str, u64)];

/// The system calls of each operation on one socket. The `costs` test asserts them for every mechanism.
///
/// Three rare kinds of calls are not included: the checks of files that are not sockets, the calls that recover from an
/// overflow, and those with which a set on `aio-poll` grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// [`InterestSet::declare`](crate::InterestSet::declare).
    pub declare: CallCounts,
    /// [`InterestSet::modify`](crate::InterestSet::modify) from one non-empty interest to another.
    pub modify: CallCounts,
    /// [`InterestSet::withdraw`](crate::InterestSet::withdraw).
    pub withdraw: CallCounts,
    /// A wait that finds events, if no source was declared or armed since the wait before it.
    pub wait: CallCounts,
    /// A wait with a zero timeout that finds none, after one that found events.
    pub wait_in_vain: CallCounts,
    /// A wait whose timeout of a fraction of a millisecond passes.
    pub wait_until_timeout: CallCounts,
}

/// The loops that the dispatch benchmark has, each written by hand with a mechanism's own system calls, for the trigger
/// and the [`EventsPerCall`] of that mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandWritten {
    /// `pselect6` with bit maps.
    Select,
    /// `ppoll` with an array.
    Poll,
    /// `epoll_wait`.
    Epoll,
    /// Queued signals: `rt_sigtimedwait`, or `read` of a signalfd.
    Signals,
    /// Poll requests of io_uring.
    IoUring,
}

impl Descriptor {
    /// Refuses a declaration that this mechanism does not offer, before the kernel is called.
    pub(crate) fn check(&self, watch: Watch) -> Result<(), DeclareError> {
        let refuse = |what| {
            Err(DeclareError::Unsupported {
                mechanism: self.name,
                what,
            })
        };
        if !self.triggers.contains(&watch.trigger()) {
            return refuse(Unsupported::Trigger(watch.trigger()));
        }
        if !self.wakeups.contains(&watch.wakeup()) {
            return refuse(Unsupported::ExclusiveWakeup);
        }
        if watch.wakeup() == Wakeup::Exclusive {
            // A source without interest is not in the kernel, and an exclusive one cannot be modified.
            if watch.interest().is_none() {
                return refuse(Unsupported::ExclusiveWith("NONE"));
            }
            if watch.interest().contains(Interest::PRIORITY) {
                return refuse(Unsupported::ExclusiveWith("PRIORITY"));
            }
        }
        Ok(())
    }

    /// Opens the kernel's side of a set, unless an option asks for what this mechanism does not offer.
    pub(crate) fn open(&'static self, options: &Options) -> Result<Kernel, OpenError> {
        if options.busy_poll.is_some() && !self.busy_poll {
            return Err(OpenError::UnsupportedOption {
                mechanism: self.name,
                option: "busy polling",
            });
        }
        if options.ring.is_some() && !self.ring {
            return Err(OpenError::UnsupportedOption {
                mechanism: self.name,
                option: "the setup of a ring",
            });
        }
        (self.open)(self, options)
    }
}
