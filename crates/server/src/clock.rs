//! Time, as coarse as a server needs it: read once a turn, without a system call.

use std::time::{Duration, Instant};

use c10k_http::Date;
use rustix::time::{ClockId, clock_gettime};

/// A moment in ticks of 64 ms since an arbitrary beginning; 32 bits are eight years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(pub(crate) u32);

pub(crate) const TICK: Duration = Duration::from_millis(64);

impl Tick {
    /// The first tick at which `time` has passed since this one.
    pub(crate) fn after(self, time: Duration) -> Tick {
        let ticks = time.as_millis().div_ceil(TICK.as_millis()) + 1;
        Tick(self.0.saturating_add(u32::try_from(ticks).unwrap_or(u32::MAX)))
    }
}

/// The present second and tick.
#[derive(Debug)]
pub(crate) struct Clock {
    second: i64,
    start_s: i64,
    now: Tick,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        let start_s = clock_gettime(ClockId::MonotonicCoarse).tv_sec;
        Clock {
            second: i64::MIN,
            start_s,
            now: Tick(0),
        }
    }

    /// Reads the clocks; the new date when another second has begun.
    pub(crate) fn refresh(&mut self) -> Option<Date> {
        let monotonic = clock_gettime(ClockId::MonotonicCoarse);
        let ms = (monotonic.tv_sec - self.start_s) * 1000 + i64::from(monotonic.tv_nsec as i32 / 1_000_000);
        self.now = Tick(u32::try_from(ms / TICK.as_millis() as i64).unwrap_or(u32::MAX));
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

/// Keeps the CPU busy for that long.
pub(crate) fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}
