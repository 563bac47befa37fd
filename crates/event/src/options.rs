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
    /// What to do when that queue has overflowed. Only the real-time-signal mechanisms look at it.
    pub on_overflow: OnOverflow,
}
