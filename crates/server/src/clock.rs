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

/// Keeps the CPU busy for that much of the thread's own time.
///
/// It is taken from the clock that needs no system call. A step longer than the loop itself can take is one in which
/// something else had the CPU, and counts as no more than the longest: work that is interrupted takes longer, and not less.
pub(crate) fn spin(time: Duration) {
    const LONGEST_STEP: Duration = Duration::from_micros(10);
    let mut done = Duration::ZERO;
    let mut last = Instant::now();
    while done < time {
        std::hint::spin_loop();
        let now = Instant::now();
        done += now.duration_since(last).min(LONGEST_STEP);
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    #[test]
    fn work_costs_its_cpu_time_to_each_of_many_threads_on_one_cpu() {
        const THREADS: usize = 4;
        const WORK: Duration = Duration::from_millis(40);
        let allowed = sched_getaffinity(None).expect("the CPUs that are allowed");
        let mut one = CpuSet::new();
        one.set((0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).expect("a CPU"));
        let spent = || {
            let own = clock_gettime(ClockId::ThreadCPUTime);
            Duration::new(own.tv_sec.cast_unsigned(), u32::try_from(own.tv_nsec).unwrap_or(0))
        };
        let cpu_times: Vec<Duration> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        sched_setaffinity(None, &one).expect("a CPU of those allowed");
                        let before = spent();
                        spin(WORK);
                        spent() - before
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("it spins"))
                .collect()
        });
        // By the wall clock each would have had a quarter of it.
        assert!(cpu_times.iter().all(|time| *time >= WORK.mul_f64(0.8)), "{cpu_times:?}");
    }
}
