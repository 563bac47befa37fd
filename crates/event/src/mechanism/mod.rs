//! The table of mechanisms, and what each has to provide.

pub(crate) mod dev_poll;
pub(crate) mod epoll;
pub(crate) mod io_uring;
pub(crate) mod poll;
pub(crate) mod rt_signal;
pub(crate) mod select;
pub(crate) mod signal_per_fd;

use crate::{
    Call, ChannelKind, Counters, DeclareError, Events, Fact, Interest, Key, OpenError, Options, Threading, Trigger,
    Unavailable, UnknownMechanism, Unsupported, WaitError, Wakeup, Watch,
};
use rustix::io::Errno;
use std::{
    fmt,
    ops::{Deref, DerefMut},
    os::fd::{BorrowedFd, RawFd},
    time::{Duration, Instant},
};

/// Every mechanism of this library, one row each; flags, lists, the contract suite and the documentation's tables are
/// made from it.
pub static MECHANISMS: &[&Descriptor] = &[
    &select::SELECT,
    &poll::POLL,
    &dev_poll::DEV_POLL,
    &rt_signal::RT_SIGNAL,
    &rt_signal::RT_SIGNAL_BATCH,
    &signal_per_fd::SIGNAL_PER_FD,
    &epoll::EPOLL_LEVEL,
    &epoll::EPOLL_EDGE,
    &epoll::EPOLL_ONESHOT,
    &io_uring::IO_URING_POLL,
];

/// One row of [`MECHANISMS`].
#[derive(Debug)]
pub struct Descriptor {
    /// The name that flags and records use.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// The triggers that it offers, the usual one first.
    pub triggers: &'static [Trigger],
    /// Which wake-ups it offers.
    pub wakeups: &'static [Wakeup],
    /// Which threads may use a set.
    pub threading: Threading,
    /// What it tells beyond readable and writable.
    pub tells: &'static [Fact],
    /// Whether the interface is a present-day imitation of one that Linux does not have.
    pub emulated: bool,
    /// The system calls that wait, in the kernel's names, the usual one first.
    pub waits: &'static [&'static str],
    /// The system calls that declare and withdraw, in the kernel's names.
    pub declares: &'static [&'static str],
    /// Whether it can run here.
    pub(crate) probe: fn() -> Result<(), Unavailable>,
    /// Opens the kernel's side of a set.
    pub(crate) open: fn(&Options) -> Result<Kernel, OpenError>,
}

/// A handle on one row of [`MECHANISMS`].
#[derive(Clone, Copy)]
pub struct Mechanism(&'static Descriptor);

impl Mechanism {
    /// The mechanism of this name.
    ///
    /// # Errors
    /// [`UnknownMechanism`], which lists the names there are.
    pub fn named(name: &str) -> Result<Self, UnknownMechanism> {
        Self::all()
            .find(|mechanism| mechanism.name() == name)
            .ok_or_else(|| UnknownMechanism { name: name.to_owned() })
    }

    /// All mechanisms, in the table's order.
    pub fn all() -> impl Iterator<Item = Self> {
        MECHANISMS.iter().copied().map(Self)
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

    /// The trigger that programs of this mechanism usually declare with.
    #[must_use]
    pub const fn default_trigger(self) -> Trigger {
        self.0.triggers[0]
    }

    /// Which threads may use a set.
    #[must_use]
    pub const fn threading(self) -> Threading {
        self.0.threading
    }

    /// What it tells beyond readable and writable.
    #[must_use]
    pub const fn tells(self) -> &'static [Fact] {
        self.0.tells
    }

    /// Whether the interface is a present-day imitation of one that Linux does not have.
    #[must_use]
    pub const fn emulated(self) -> bool {
        self.0.emulated
    }

    /// The system calls that wait, in the kernel's names, the usual one first.
    #[must_use]
    pub const fn waits(self) -> &'static [&'static str] {
        self.0.waits
    }

    /// The system calls that declare and withdraw, in the kernel's names.
    #[must_use]
    pub const fn declares(self) -> &'static [&'static str] {
        self.0.declares
    }

    /// Whether a set on this mechanism can be opened here and now; tried, not guessed.
    ///
    /// # Errors
    /// [`Unavailable`] says which call was refused, why, and what would lift it.
    pub fn probe(self) -> Result<(), Unavailable> {
        (self.0.probe)()
    }

    pub(crate) const fn of(descriptor: &'static Descriptor) -> Self {
        Self(descriptor)
    }

    pub(crate) fn backend(self, options: &Options) -> Result<Kernel, OpenError> {
        (self.0.open)(options)
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
pub(crate) fn names() -> String {
    Mechanism::all().map(Mechanism::name).collect::<Vec<_>>().join(", ")
}

/// The kernel's side of a set.
///
/// The set has checked before it calls: the descriptor is in the set once at most, the interest is not empty, and the
/// key of [`change`](Self::change) and [`remove`](Self::remove) is current. [`Key::WAKER`] is watched for reading, for
/// as long as the set lives, in the way that suits the mechanism best.
pub(crate) trait Backend: Send {
    /// The row that this is.
    fn descriptor(&self) -> &'static Descriptor;

    /// Watches a source; a condition that holds already is told by the waits that follow.
    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError>;

    /// Replaces the declaration of a watched source and arms it again; a condition that holds is told again.
    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError>;

    /// Stops watching a source. When this returns, the kernel holds no reference of the set to it.
    fn remove(&mut self, fd: BorrowedFd<'_>, key: Key, counters: &mut Counters) -> Result<(), DeclareError>;

    /// Forgets a source whose descriptor the caller has replaced: what was watched may be closed or live on elsewhere, and can
    /// no longer be named to the kernel. Nothing is to be done where the kernel forgets what is closed by itself.
    fn forget(&mut self, _number: RawFd, _key: Key, _counters: &mut Counters) {}

    /// Waits for events, once, and puts at most [`Events::room`] of them into the batch. No timeout waits for ever. Where the
    /// wait was interrupted, or ended for something that is no event, the answer is `EINTR`, and [`Kernel::wait`] repeats it.
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused>;

    /// Stops watching a source since the set is being dropped, in the process that opened it. Needed only where dropping
    /// the kernel's side is not enough.
    fn abandon(&mut self, _fd: BorrowedFd<'_>) {}

    /// The kind of file that can wake this mechanism.
    fn channel_kind(&self) -> ChannelKind {
        ChannelKind::Eventfd
    }
}

/// A wait that the kernel refused; fits a register, which a [`WaitError`] does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    call: Call,
    errno: Errno,
}

impl Refused {
    /// Says which call it was that failed.
    fn by(call: Call) -> impl Fn(Errno) -> Self + Copy {
        move |errno| Self { call, errno }
    }
}

impl From<Refused> for WaitError {
    #[cold]
    fn from(Refused { call, errno }: Refused) -> Self {
        Self::System {
            call: call.name(),
            errno,
        }
    }
}

/// A backend as a set holds it.
///
/// Short waits become part of the loop around them (`inline(always)`, all the way down to the system call): a function that
/// was called before a system call and returns after it cost as much as all else that the library adds to a wait. Everything
/// else goes through the trait's table of functions.
pub(crate) enum Kernel {
    DevPoll(dev_poll::DevPollSet),
    Epoll(epoll::Epoll),
    Other(Box<dyn Backend>),
}

impl Kernel {
    /// Waits for events and puts at most [`Events::room`] of them into the batch. No timeout waits for ever.
    #[inline(always)]
    pub(crate) fn wait(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
        counters: &mut Counters,
    ) -> Result<(), Refused> {
        if let Some(finite) = timeout
            && !finite.is_zero()
        {
            return wait_within(&mut **self, events, finite, counters);
        }
        loop {
            let outcome = match self {
                Self::DevPoll(backend) => backend.wait(events, timeout, counters),
                Self::Epoll(backend) => backend.wait(events, timeout, counters),
                Self::Other(backend) => backend.wait(events, timeout, counters),
            };
            match outcome {
                Err(Refused { errno: Errno::INTR, .. }) => {}
                outcome => return outcome,
            }
        }
    }

    /// Replaces a source's interest and trigger. Inlined as a wait is where a program does it once an event: to arm a oneshot
    /// source again.
    #[inline(always)]
    pub(crate) fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError> {
        match self {
            Self::Epoll(backend) => backend.change(fd, key, watch, counters),
            Self::DevPoll(_) | Self::Other(_) => (**self).change(fd, key, watch, counters),
        }
    }
}

impl Deref for Kernel {
    type Target = dyn Backend;

    #[inline]
    fn deref(&self) -> &Self::Target {
        match self {
            Self::DevPoll(backend) => backend,
            Self::Epoll(backend) => backend,
            Self::Other(backend) => &**backend,
        }
    }
}

impl DerefMut for Kernel {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::DevPoll(backend) => backend,
            Self::Epoll(backend) => backend,
            Self::Other(backend) => &mut **backend,
        }
    }
}

/// A backend whose waits cost more than a call, as the table's constructors give it.
fn boxed(backend: impl Backend + 'static) -> Kernel {
    Kernel::Other(Box::new(backend))
}

/// Refuses busy polling for mechanisms that have none.
fn refuse_busy_poll(descriptor: &'static Descriptor, options: &Options) -> Result<(), OpenError> {
    match options.busy_poll {
        Some(_) => Err(OpenError::UnsupportedOption {
            mechanism: descriptor.name,
            option: "busy polling",
        }),
        None => Ok(()),
    }
}

/// How the waker's channel is declared to mechanisms that know the level trigger.
pub(crate) const WAKER_WATCH: Watch = Watch::new(Interest::READABLE, Trigger::Level);

/// Repeats an interrupted wait with what is left of its timeout. Apart, so that the waits which need no clock are not
/// burdened with it.
#[inline(never)]
fn wait_within(
    backend: &mut dyn Backend,
    events: &mut Events,
    timeout: Duration,
    counters: &mut Counters,
) -> Result<(), Refused> {
    let started = Instant::now();
    let mut left = timeout;
    loop {
        match backend.wait(events, Some(left), counters) {
            Err(Refused { errno: Errno::INTR, .. }) => left = timeout.saturating_sub(started.elapsed()),
            outcome => return outcome,
        }
    }
}

/// Refuses what this mechanism does not offer, before the kernel is asked.
pub(crate) fn check(descriptor: &'static Descriptor, watch: Watch) -> Result<(), DeclareError> {
    let refuse = |what| {
        Err(DeclareError::Unsupported {
            mechanism: descriptor.name,
            what,
        })
    };
    if !descriptor.triggers.contains(&watch.trigger()) {
        return refuse(Unsupported::Trigger(watch.trigger()));
    }
    if !descriptor.wakeups.contains(&watch.wakeup()) {
        return refuse(Unsupported::ExclusiveWakeup);
    }
    if watch.wakeup() == Wakeup::Exclusive && watch.interest().contains(Interest::PRIORITY) {
        return refuse(Unsupported::ExclusiveWith("PRIORITY"));
    }
    Ok(())
}

/// Refuses a file that has no readiness, on every mechanism alike. epoll's own rule (`file_can_poll`) is the measure:
/// `poll(2)` and `select(2)` call such files always ready, io_uring completes at once, and signals never come.
pub(crate) fn require_readiness(
    descriptor: &'static Descriptor,
    fd: BorrowedFd<'_>,
    counters: &mut Counters,
) -> Result<(), DeclareError> {
    use rustix::fs::FileType;
    let refused = DeclareError::Unsupported {
        mechanism: descriptor.name,
        what: Unsupported::FileWithoutReadiness,
    };
    counters.count(Call::Fstat);
    let stat = rustix::fs::fstat(fd).map_err(|errno| DeclareError::System { call: "fstat", errno })?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket | FileType::Fifo => Ok(()),
        FileType::Directory | FileType::BlockDevice | FileType::Symlink => Err(refused),
        // Devices, anonymous files (eventfd, timerfd, another epoll set) and what the kernel shows as regular files
        // (/proc/self/mounts) may or may not have it: epoll knows.
        _ => epoll::accepts(fd, counters)?.then_some(()).ok_or(refused),
    }
}
