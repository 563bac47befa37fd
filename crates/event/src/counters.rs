//! What a set has done, in numbers.

macro_rules! calls {
    ($($call:ident = $name:literal,)*) => {
        /// The system calls that sets make.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Call {
            $($call,)*
        }

        /// The names of [`Call`], in its order.
        const CALL_NAMES: &[&str] = &[$($name,)*];
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
    IoUringEnter = "io_uring_enter",
    Ppoll = "ppoll",
    Pselect6 = "pselect6",
    Read = "read",
    RtSigpending = "rt_sigpending",
    RtSigtimedwait = "rt_sigtimedwait",
}

/// What a set has done since it was opened. All numbers only grow.
///
/// `events` = events that [`take`](crate::InterestSet::take) handed out + `stale_events` + those still in the caller's
/// batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Calls of [`next_events`](crate::InterestSet::next_events) that asked the kernel or a backlog.
    pub waits: u64,
    /// Events found, stale ones included.
    pub events: u64,
    /// Events dropped since their source had been withdrawn or no longer wanted them.
    pub stale_events: u64,
    /// Signals taken from the queue (real-time-signal mechanisms).
    pub signals: u64,
    /// Of those, signals thrown away unread since an overflow had made them old news.
    pub discarded_signals: u64,
    /// Times the kernel's queue had overflowed: `SIGIO`, or a full completion queue.
    pub overflows: u64,
    /// Sweeps over the whole interest set to recover from an overflow.
    pub rescans: u64,
    /// Times a [`Waker`](crate::Waker) was heard; several calls may be heard as one.
    pub wakeups: u64,
    calls: [u64; CALLS],
}

impl Counters {
    /// The system calls made, by name; names without a call are left out.
    pub fn syscalls(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CALL_NAMES
            .iter()
            .copied()
            .zip(self.calls)
            .filter(|&(_, count)| count > 0)
    }

    /// How many times the named system call was made.
    #[must_use]
    pub fn syscall(&self, name: &str) -> u64 {
        self.syscalls()
            .find_map(|(known, count)| (known == name).then_some(count))
            .unwrap_or(0)
    }

    #[inline]
    pub(crate) const fn count(&mut self, call: Call) {
        self.calls[call as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
