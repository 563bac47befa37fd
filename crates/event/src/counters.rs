//! Counts of what a set has done.

macro_rules! calls {
    ($($(#[$condition:meta])* $call:ident = $name:literal,)*) => {
        /// The system calls that sets make.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Call {
            $($(#[$condition])* $call,)*
        }

        /// The names of [`Call`], in its order.
        const CALL_NAMES: &[&str] = &[$($(#[$condition])* $name,)*];
        const CALLS: usize = CALL_NAMES.len();

        impl Call {
            /// The kernel's name.
            pub(crate) const fn name(self) -> &'static str {
                CALL_NAMES[self as usize]
            }
        }
    };
}

calls! {
    Fcntl = "fcntl",
    EpollCtl = "epoll_ctl",
    EpollPwait2 = "epoll_pwait2",
    EpollWait = "epoll_wait",
    Fstat = "fstat",
    Getpeername = "getpeername",
    Getsockopt = "getsockopt",
    IoCancel = "io_cancel",
    IoDestroy = "io_destroy",
    IoGetevents = "io_getevents",
    IoSetup = "io_setup",
    IoSubmit = "io_submit",
    Ioctl = "ioctl",
    #[cfg(feature = "io-uring")]
    IoUringEnter = "io_uring_enter",
    Ppoll = "ppoll",
    Pselect6 = "pselect6",
    Read = "read",
    RtSigpending = "rt_sigpending",
    RtSigtimedwait = "rt_sigtimedwait",
    Write = "write",
}

/// Counts of what a set has done since it was opened. They never decrease.
///
/// `events` = events returned by [`take`](crate::InterestSet::take) + `stale_events` + events left in the caller's batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Calls of [`next_events`](crate::InterestSet::next_events) that waited, or took events from a backlog.
    pub waits: u64,
    /// Events found, stale ones included.
    pub events: u64,
    /// Events dropped because their source had been withdrawn or its interest no longer included them.
    pub stale_events: u64,
    /// Signals taken from the queue, by mechanisms with a [signal queue](crate::Mechanism::signal_queue).
    pub signals: u64,
    /// Of those, signals discarded because an overflow had made them outdated.
    pub discarded_signals: u64,
    /// Overflows of the kernel's queue: `SIGIO`, or a full completion queue.
    pub overflows: u64,
    /// Rescans of the whole interest set after an overflow.
    pub rescans: u64,
    /// Wake-ups by a [`Waker`](crate::Waker); several calls may count as one.
    pub wakeups: u64,
    calls: [u64; CALLS],
}

impl Counters {
    /// The number of system calls by name; names without a call are left out.
    pub fn syscalls(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CALL_NAMES
            .iter()
            .copied()
            .zip(self.calls)
            .filter(|&(_, count)| count > 0)
    }

    /// The number of system calls of this name.
    #[must_use]
    pub fn syscall(&self, name: &str) -> u64 {
        self.syscalls()
            .find_map(|(known, count)| (known == name).then_some(count))
            .unwrap_or(0)
    }

    /// What was counted since `earlier`, which are former counters of the same set.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut values = self.values();
        for (value, before) in values.iter_mut().zip(earlier.values()) {
            *value = value.saturating_sub(before);
        }
        Self::of(values)
    }

    /// The sums of these and other counters, such as those of another set.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut values = self.values();
        for (value, more) in values.iter_mut().zip(other.values()) {
            *value += more;
        }
        Self::of(values)
    }

    #[inline]
    pub(crate) const fn count(&mut self, call: Call) {
        self.calls[call as usize] += 1;
    }

    /// How many counts there are.
    pub(crate) const COUNT: usize = CALLS + 8;

    /// All counts, in a fixed order.
    pub(crate) fn values(&self) -> [u64; Self::COUNT] {
        let mut values = [0; Self::COUNT];
        values[..CALLS].copy_from_slice(&self.calls);
        values[CALLS..].copy_from_slice(&[
            self.waits,
            self.events,
            self.stale_events,
            self.signals,
            self.discarded_signals,
            self.overflows,
            self.rescans,
            self.wakeups,
        ]);
        values
    }

    /// The inverse of [`values`](Self::values).
    pub(crate) fn of(values: [u64; Self::COUNT]) -> Self {
        let mut calls = [0; CALLS];
        calls.copy_from_slice(&values[..CALLS]);
        let mut rest = [0; 8];
        rest.copy_from_slice(&values[CALLS..]);
        let [
            waits,
            events,
            stale_events,
            signals,
            discarded_signals,
            overflows,
            rescans,
            wakeups,
        ] = rest;
        Self {
            waits,
            events,
            stale_events,
            signals,
            discarded_signals,
            overflows,
            rescans,
            wakeups,
            calls,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_made_from_their_values_are_the_same() {
        let mut values = [0; Counters::COUNT];
        for (value, number) in values.iter_mut().zip(1..) {
            *value = number;
        }
        assert_eq!(Counters::of(values).values(), values);
    }

    #[test]
    fn what_was_counted_since_and_before_is_all() {
        let mut before = Counters {
            waits: 3,
            ..Counters::default()
        };
        before.count(Call::Read);
        let mut now = before.clone();
        now.waits = 10;
        now.events = 2;
        now.count(Call::Read);
        now.count(Call::Write);
        let since = now.since(&before);
        assert_eq!((since.waits, since.events, since.syscall("read")), (7, 2, 1));
        assert_eq!(before.plus(&since), now);
    }

    #[test]
    fn calls_are_counted_by_name() {
        let mut counters = Counters::default();
        counters.count(Call::EpollCtl);
        counters.count(Call::Read);
        counters.count(Call::Read);
        assert_eq!(counters.syscalls().collect::<Vec<_>>(), [("epoll_ctl", 1), ("read", 2)]);
        assert_eq!(counters.syscall("read"), 2);
        assert_eq!(counters.syscall("ppoll"), 0);
    }
}
