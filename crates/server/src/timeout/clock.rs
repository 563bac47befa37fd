//! A coarse clock, read without a system call.

use std::sync::OnceLock;
use std::time::Duration;

use c10k_http::Date;
use rustix::time::{ClockId, clock_gettime};

/// A moment, in ticks of 64 ms since the process made its first clock. 32 bits last for eight years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(pub(crate) u32);

/// The resolution of all deadlines.
pub(crate) const TICK: Duration = Duration::from_millis(TICK_MS);
const TICK_MS: u64 = 64;

/// A number of ticks after which a time has certainly passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticks(u32);

impl Ticks {
    pub(crate) fn covering(time: Duration) -> Ticks {
        let ticks = time.as_millis().div_ceil(u128::from(TICK_MS)) + 1;
        Ticks(u32::try_from(ticks).unwrap_or(u32::MAX))
    }
}

impl Tick {
    /// The first tick at which the time that `ticks` cover has certainly passed since this one.
    #[inline]
    pub(crate) fn after(self, ticks: Ticks) -> Tick {
        Tick(self.0.saturating_add(ticks.0))
    }
}

/// The second in which the process made its first clock. It is the same for all clocks, because connections, and so their
/// deadlines, may pass from one thread to another.
static START_S: OnceLock<i64> = OnceLock::new();

/// The current second and tick, as of the last [`refresh`](Clock::refresh).
#[derive(Debug)]
pub(crate) struct Clock {
    second: i64,
    start_s: i64,
    now: Tick,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        let start_s = *START_S.get_or_init(|| clock_gettime(ClockId::MonotonicCoarse).tv_sec);
        Clock {
            second: i64::MIN,
            start_s,
            now: Tick(0),
        }
    }

    /// Reads the time. Returns the date if a new second has begun.
    pub(crate) fn refresh(&mut self) -> Option<Date> {
        let monotonic = clock_gettime(ClockId::MonotonicCoarse);
        let ms = (monotonic.tv_sec - self.start_s) * 1000 + i64::from(monotonic.tv_nsec as i32 / 1_000_000);
        self.now = Tick(u32::try_from(ms / TICK_MS as i64).unwrap_or(u32::MAX));
        let second = clock_gettime(ClockId::RealtimeCoarse).tv_sec;
        if second == self.second {
            return None;
        }
        self.second = second;
        Some(Date::from_unix(u64::try_from(second).unwrap_or(0)))
    }

    pub(crate) fn now(&self) -> Tick {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tick_after_a_time_is_never_early_and_at_most_two_ticks_late() {
        for ms in [0, 1, 63, 64, 65, 250, 75_000] {
            let time = Duration::from_millis(ms);
            let ticks = Tick(7).after(Ticks::covering(time)).0 - 7;
            // A moment within tick 7 may be its last one.
            assert!(TICK * (ticks - 1) >= time, "{ms}");
            assert!(TICK * (ticks - 1) < time + TICK, "{ms}");
        }
        assert_eq!(Tick(7).after(Ticks::covering(Duration::MAX)), Tick(u32::MAX));
    }
}
