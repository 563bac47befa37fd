//! Options of a set.

/// What the mechanisms on real-time signals do after the kernel's signal queue has overflowed and events were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OnOverflow {
    /// Drain the queue, poll all sources with one zero-timeout `ppoll`, and report those that are ready.
    #[default]
    RescanPoll,
    /// The same with one zero-timeout `pselect6`.
    RescanSelect,
    /// Nothing: the events stay lost, and the program hangs as the paper describes (Chandra and Mosberger, USENIX 2001,
    /// section 3.3). For studies of that behaviour.
    None,
}

/// Busy polling of network devices: before a wait sleeps, it checks the receive queues of the sources' devices itself. This
/// spends CPU time to avoid the latency of an interrupt. It has no effect on the loopback interface. Offered by the
/// epoll mechanisms (`EPIOCSPARAMS`) and `io-uring-poll` (`IORING_REGISTER_NAPI`) on Linux 6.9 and later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// How long to poll, in microseconds, 0 to [`i32::MAX`]; the kernel refuses more.
    pub duration_us: u32,
    /// Whether the interrupts of the devices are deferred during that time.
    pub interrupts: Interrupts,
}

/// Device interrupts during busy polling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Interrupts {
    /// Interrupts stay enabled.
    #[default]
    Kept,
    /// Interrupts are deferred while a program polls.
    Deferred,
}

/// How `io-uring-poll` sets up its ring. The default is what a set that one thread uses needs; the other values are the
/// ways of older kernels, and additions of newer ones.
///
/// A kernel thread that submits (`IORING_SETUP_SQPOLL`) is not offered: it would take a source that was just declared some time after
/// a wait with a zero timeout has found nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingSetup {
    /// When the kernel does what a request has left to do.
    pub task_work: TaskWork,
    /// How calls name the ring.
    pub descriptor: RingDescriptor,
    /// Waits collect events for a while. `None`: a wait ends with the first.
    pub min_wait: Option<MinWait>,
}

/// When the kernel does what a poll request has left to do after its source has become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TaskWork {
    /// At once: the thread is interrupted for it. The kernel's default.
    Interrupt,
    /// When the thread next enters the kernel (`IORING_SETUP_COOP_TASKRUN`, Linux 5.19).
    Cooperative,
    /// When the thread waits (`IORING_SETUP_SINGLE_ISSUER` and `IORING_SETUP_DEFER_TASKRUN`, Linux 6.1).
    #[default]
    Deferred,
}

/// How calls name a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum RingDescriptor {
    /// By its descriptor, which each call looks up.
    #[default]
    Open,
    /// By its index among the rings that the thread has registered, at most 16 (`IORING_REGISTER_RING_FDS`, Linux 5.18). If another
    /// thread drops the set, the kernel keeps the ring until the thread that opened it ends.
    Registered,
}

/// A minimum wait (Linux 6.12): a wait that may sleep lasts this long, or until so many requests have completed, or until its timeout has
/// passed. After that it ends with the first. Opening a set with a 0 in it fails
/// ([`OpenError::OptionOutOfRange`](crate::OpenError::OptionOutOfRange)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinWait {
    /// How long, in microseconds, from 1.
    pub duration_us: u32,
    /// How many completions end it early, from 1.
    pub completions: u32,
}

/// Options of a set, given to [`InterestSet::open_with`](crate::InterestSet::open_with).
///
/// An option that only sizes or names a resource is ignored by mechanisms without that resource. An option with any other effect is
/// refused by mechanisms that do not offer it ([`OpenError::UnsupportedOption`](crate::OpenError::UnsupportedOption)).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// The length of the queue of pending signals, in signals: the process's soft limit `RLIMIT_SIGPENDING` is set to it,
    /// and restored when the last set with this option is dropped. `None` does not change the limit. The kernel counts queued signals for each *user*, over all processes. Used only by
    /// mechanisms with a [signal queue](crate::Mechanism::signal_queue).
    pub signal_queue: Option<u64>,
    /// The number of the real-time signal that the set's sources send. `None` is the lowest one that the thread does not
    /// block, that has no handler, and that no other set of the thread uses. A named signal may be blocked or have a handler;
    /// the set then takes it, and the handler does not run in this thread. Used only by mechanisms with a
    /// [signal queue](crate::Mechanism::signal_queue).
    pub signal: Option<i32>,
    /// The length of io_uring's completion queue, in entries, rounded up to a power of two; `None` is 4,096. When it is
    /// full, the kernel keeps completions elsewhere until there is room, so nothing is lost. Used only by `io-uring-poll`.
    pub completion_queue: Option<u32>,
    /// How the ring of io_uring is set up. Refused by mechanisms other than `io-uring-poll`, and where the kernel is too old.
    pub ring: Option<RingSetup>,
    /// Polls network devices before a wait sleeps. Refused by mechanisms without it.
    pub busy_poll: Option<BusyPoll>,
    /// What to do after the queue of signals has overflowed. Used only by mechanisms with a
    /// [signal queue](crate::Mechanism::signal_queue).
    pub on_overflow: OnOverflow,
}
