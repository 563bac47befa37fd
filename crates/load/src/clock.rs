//! Reads the clocks. No other file of this crate does; everything else takes instants as arguments.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// An instant of `CLOCK_MONOTONIC`, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// The current time.
    #[must_use]
    pub fn now() -> Self {
        Self(nanoseconds(clock_gettime(ClockId::Monotonic)))
    }

    /// Nanoseconds from `earlier` to this instant; zero if `earlier` is later.
    #[must_use]
    pub fn since_ns(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant plus `duration`; saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        self.after_ns(duration_ns(duration))
    }

    /// This instant plus `ns` nanoseconds; saturates.
    #[must_use]
    pub fn after_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// The time from `now` until this instant; zero if it has passed.
    #[must_use]
    pub fn from_now(self, now: Self) -> Duration {
        Duration::from_nanos(self.since_ns(now))
    }
}

/// CPU time of the calling thread, nanoseconds.
#[must_use]
pub(crate) fn thread_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ThreadCPUTime))
}

/// A duration in nanoseconds, at most `u64::MAX` (585 years).
#[must_use]
pub(crate) fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn nanoseconds(time: Timespec) -> u64 {
    // Both clocks start at zero and count up, so neither field is negative.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
