//! Reads the clocks. No other file of this crate does; everything else takes instants as arguments.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use c10k_sys::scheduling::{Class, enter};
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

use crate::LoadError;

/// An instant, nanoseconds: of `CLOCK_MONOTONIC`, or of the server's clock, if [`use_server_clock`] was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

/// Whether this process uses the server's clock.
static IS_SERVER_CLOCK: AtomicBool = AtomicBool::new(false);

/// The last instant of the server's clock: the two clocks that it is made of are read one after the other.
static LAST_SERVER_NS: AtomicU64 = AtomicU64::new(0);

/// The shortest sleep on the server's clock. A shorter one would end before the kernel has let another process run, so the clock
/// would stand still and the instant would never come. A request can be late by as much.
const SHORTEST_SLEEP_NS: u64 = 10_000;

/// Makes this process use the *server's clock* from now on: `CLOCK_MONOTONIC` without the time in which this process ran. It
/// stands still while the generator runs, so on a machine with one CPU the generator costs the server no time. The process runs
/// before all others (`SCHED_FIFO`), so that it does nothing late.
///
/// Call it before the first run, in the thread that starts the runs: threads that run already keep their class. On a machine
/// with several CPUs the clock is wrong, because generator and server run at the same time. The kernel's limit for such
/// processes (`/proc/sys/kernel/sched_rt_runtime_us`) has to be off (-1) if the generator may need more than its share.
///
/// # Errors
/// [`LoadError::CoarseTimers`] if the kernel's timers have only its tick, [`LoadError::System`] if the process may not enter the
/// class.
pub fn use_server_clock() -> Result<(), LoadError> {
    let resolution = nanoseconds(clock_getres(ClockId::Monotonic));
    if resolution > SHORTEST_SLEEP_NS {
        return Err(LoadError::CoarseTimers {
            resolution: Duration::from_nanos(resolution),
        });
    }
    enter(Class::Fifo { priority: 1 }).map_err(|source| LoadError::System {
        operation: "running before all other processes for --clock server (SCHED_FIFO needs CAP_SYS_NICE)",
        source,
    })?;
    IS_SERVER_CLOCK.store(true, Ordering::Relaxed);
    Ok(())
}

/// Whether this process uses the server's clock.
pub(crate) fn is_server_clock() -> bool {
    IS_SERVER_CLOCK.load(Ordering::Relaxed)
}

impl Moment {
    /// The current time.
    #[must_use]
    pub fn now() -> Self {
        let monotonic = nanoseconds(clock_gettime(ClockId::Monotonic));
        if !is_server_clock() {
            return Self(monotonic);
        }
        let own = nanoseconds(clock_gettime(ClockId::ProcessCPUTime));
        let now = monotonic.saturating_sub(own);
        Self(LAST_SERVER_NS.fetch_max(now, Ordering::Relaxed).max(now))
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

    /// The time to sleep at `now` until this instant; zero if it has passed.
    #[must_use]
    pub fn from_now(self, now: Self) -> Duration {
        match self.since_ns(now) {
            1..SHORTEST_SLEEP_NS if is_server_clock() => Duration::from_nanos(SHORTEST_SLEEP_NS),
            ns => Duration::from_nanos(ns),
        }
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
