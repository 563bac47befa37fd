//! Options of a set.

/// What the real-time-signal mechanisms do when the kernel's signal queue has overflowed and events were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OnOverflow {
    /// Drain the queue, look at every source with one zero-timeout `ppoll`, and deliver all that is ready.
    #[default]
    RescanPoll,
    /// The same with one zero-timeout `pselect6`.
    RescanSelect,
    /// Nothing: the lost events stay lost, and the program hangs as the paper describes (Chandra and Mosberger, USENIX
    /// 2001, section 3.3). For studies of that behaviour.
    None,
}

/// Busy polling of network devices: a wait looks at the receive queues of the sources' devices itself before it sleeps,
/// which spends CPU time to save the latency of an interrupt. Of no effect for the loopback interface. Offered by the
/// epoll mechanisms (`EPIOCSPARAMS`) and `io-uring-poll` (`IORING_REGISTER_NAPI`) on Linux 6.9 and later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// For how long; in microseconds, 0 to [`i32::MAX`]; the kernel refuses more.
    pub duration_us: u32,
    /// Whether the devices' interrupts stay off meanwhile.
    pub interrupts: Interrupts,
}

/// Device interrupts during busy polling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Interrupts {
    /// As always.
    #[default]
    Kept,
    /// Deferred while somebody polls.
    Deferred,
}

/// Options of a set, given to [`InterestSet::open_with`](crate::InterestSet::open_with).
///
/// An option that the chosen mechanism has no use for is ignored where it only sizes a resource that the mechanism does
/// not have, and refused where the program would believe in an effect that is not there
/// ([`OpenError::UnsupportedOption`](crate::OpenError::UnsupportedOption)).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// The length of the queue of pending signals: sets the process's soft limit `RLIMIT_SIGPENDING`, in signals. `None`
    /// leaves the limit alone. The kernel counts the queue per *user*, over all processes of that user. Only the
    /// real-time-signal mechanisms look at it.
    pub signal_queue: Option<u64>,
    /// The length of io_uring's completion queue, in entries, rounded up to a power of two; `None` is 4,096. When it is
    /// full the kernel keeps completions elsewhere until there is room; nothing is lost. Only `io-uring-poll` looks at it.
    pub completion_queue: Option<u32>,
    /// Poll the network devices for so long before a wait sleeps. Refused by mechanisms that cannot.
    pub busy_poll: Option<BusyPoll>,
    /// What to do when the queue of signals has overflowed. Only the real-time-signal mechanisms look at it.
    pub on_overflow: OnOverflow,
}
