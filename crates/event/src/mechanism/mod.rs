//! The table of mechanisms. A mechanism is one file and one row; [`Backend`](backend::Backend) is what it implements.

mod aio_poll;
mod backend;
mod descriptor;
mod dev_poll;
mod dev_poll_kernel;
mod epoll;
#[cfg(feature = "fake-rows")]
mod fake;
mod file_kind;
mod io_uring;
mod kernel;
mod poll;
mod probe;
mod rt_signal;
mod select;
mod signal_per_fd;

pub(crate) use backend::Refused;
pub use descriptor::{CallCounts, Costs, Descriptor, EventsPerCall, HandWritten, SignalQueue};
pub(crate) use epoll::backend::Epoll;
pub(crate) use epoll::wait::Wait as EpollWait;
pub(crate) use kernel::Kernel;
pub use rt_signal::inherited::InheritedSignals;

use crate::{ReadinessDetail, Threading, Trigger, Unavailable};
use std::{fmt, io};

/// Every mechanism of this library, one row each. Flags, lists, the contract suite and the tables of the documentation
/// are made from it.
pub static MECHANISMS: &[&Descriptor] = &[
    &select::SELECT,
    &poll::POLL,
    &dev_poll::DEV_POLL,
    &dev_poll_kernel::DEV_POLL_KERNEL,
    &rt_signal::RT_SIGNAL,
    &rt_signal::RT_SIGNAL_BATCH,
    &signal_per_fd::SIGNAL_PER_FD,
    &epoll::EPOLL_LEVEL,
    &epoll::EPOLL_EDGE,
    &epoll::EPOLL_ONESHOT,
    &aio_poll::AIO_POLL,
    &io_uring::IO_URING_POLL,
    #[cfg(feature = "fake-rows")]
    &fake::FAKE_POLL,
];

/// A handle on one row of [`MECHANISMS`]. The default is `epoll-edge`.
#[derive(Clone, Copy)]
pub struct Mechanism(&'static Descriptor);

/// No mechanism has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no mechanism is called '{name}': use one of {}", names())]
pub struct UnknownMechanism {
    /// The name that was looked up.
    pub name: String,
}

impl Mechanism {
    /// The mechanism with this name.
    ///
    /// # Errors
    /// [`UnknownMechanism`], which lists the known names.
    pub fn named(name: &str) -> Result<Self, UnknownMechanism> {
        Self::all()
            .find(|mechanism| mechanism.name() == name)
            .ok_or_else(|| UnknownMechanism { name: name.to_owned() })
    }

    /// All mechanisms, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        MECHANISMS.iter().copied().map(Self)
    }

    /// The row, with all its columns.
    #[must_use]
    pub const fn descriptor(self) -> &'static Descriptor {
        self.0
    }

    /// The name that flags and records use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// What it is, in one line.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        self.0.summary
    }

    /// The triggers that it offers, the usual one first.
    #[must_use]
    pub const fn triggers(self) -> &'static [Trigger] {
        self.0.triggers
    }

    /// The trigger that programs usually declare with on this mechanism.
    #[must_use]
    pub const fn default_trigger(self) -> Trigger {
        self.0.triggers[0]
    }

    /// Which threads may use a set.
    #[must_use]
    pub const fn threading(self) -> Threading {
        self.0.threading
    }

    /// What it reports besides readable and writable.
    #[must_use]
    pub const fn reports(self) -> &'static [ReadinessDetail] {
        self.0.reports
    }

    /// Whether the interface is an emulation of one that Linux does not have.
    #[must_use]
    pub const fn emulated(self) -> bool {
        self.0.emulated
    }

    /// Which signals it queues; `None` if it does not learn of events by signals.
    #[must_use]
    pub const fn signal_queue(self) -> Option<SignalQueue> {
        self.0.signal_queue
    }

    /// The system calls that wait, by the kernel's names, the usual one first.
    #[must_use]
    pub const fn waits(self) -> &'static [&'static str] {
        self.0.waits
    }

    /// How many events one of these calls returns.
    #[must_use]
    pub const fn events_per_call(self) -> EventsPerCall {
        self.0.events_per_call
    }

    /// The system calls of each operation.
    #[must_use]
    pub const fn costs(self) -> &'static Costs {
        &self.0.costs
    }

    /// Whether this mechanism can run here and now: makes each of its system calls once, on a set with a pipe in it.
    ///
    /// # Errors
    /// [`Unavailable`] names the call that failed, the reason and the remedy.
    pub fn probe(self) -> Result<(), Unavailable> {
        probe::probe(self.0)
    }
}

impl From<UnknownMechanism> for io::Error {
    fn from(error: UnknownMechanism) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

impl Default for Mechanism {
    fn default() -> Self {
        Self(&epoll::EPOLL_EDGE)
    }
}

impl PartialEq for Mechanism {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Mechanism {}

impl fmt::Debug for Mechanism {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Mechanism").field(&self.name()).finish()
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// The names of all mechanisms, for messages.
fn names() -> String {
    Mechanism::all().map(Mechanism::name).collect::<Vec<_>>().join(", ")
}
