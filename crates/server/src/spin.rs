//! CPU work on request: `/spin/DURATION` and `--work`.

use std::time::{Duration, Instant};

/// Keeps the CPU busy until the calling thread has used that much CPU time.
///
/// The wall clock is read, since that needs no system call. Where two readings are further apart than an iteration can
/// take, something else had the CPU in between; the gap then counts as the longest iteration. Interrupted work
/// therefore takes longer, never less.
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
    use rustix::time::{ClockId, clock_gettime};

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
        // Measured by the wall clock, each thread would have used a quarter of it.
        assert!(cpu_times.iter().all(|time| *time >= WORK.mul_f64(0.8)), "{cpu_times:?}");
    }
}
