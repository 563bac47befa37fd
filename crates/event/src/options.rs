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
    /// Polls network devices before a wait sleeps. Refused by mechanisms without it.
    pub busy_poll: Option<BusyPoll>,
    /// What to do after the queue of signals has overflowed. Used only by mechanisms with a
    /// [signal queue](crate::Mechanism::signal_queue).
    pub on_overflow: OnOverflow,
}
