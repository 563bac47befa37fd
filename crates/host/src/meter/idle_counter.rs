//! The paper's `idle_counter` in user space: a thread of the idle class that counts loops on one CPU.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use c10k_sys::{cpu_clock, scheduling};
use rustix::thread::CpuSet;

/// Additions in one counted loop: about a microsecond, so that the store of the count costs little and the resolution is
/// fine.
const ADDITIONS: u64 = 1000;

/// Counts, on one CPU, the loops for which nothing else wanted that CPU.
///
/// `SCHED_IDLE` gives way to every ordinary task at once and takes no time from it; but the CPU never halts while the
/// counter runs, so that all runs that are compared must have it or none. Stops when dropped.
#[derive(Debug)]
pub struct IdleCounter {
    shared: Arc<Shared>,
    tid: u32,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    loops: AtomicU64,
    stop: AtomicBool,
}

/// One reading of the idle counter.
#[derive(Debug, Clone, Copy)]
pub struct IdleCounterReading {
    /// Loops counted.
    pub loops: u64,
    /// CPU time of the counting thread.
    pub run_time: Duration,
    /// When this was read.
    pub at: Instant,
}

impl IdleCounterReading {
    /// Loops a second between `earlier` and this reading; 0 when no time has passed.
    #[must_use]
    pub fn rate_since(&self, earlier: &Self) -> f64 {
        let wall = self.at.duration_since(earlier.at).as_secs_f64();
        if wall > 0.0 {
            (self.loops - earlier.loops) as f64 / wall
        } else {
            0.0
        }
    }
}

impl IdleCounter {
    /// Starts counting on `cpu`.
    ///
    /// # Errors
    /// When the thread cannot be created, pinned to `cpu` or put in the idle class; the message says which.
    pub fn start(cpu: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::Builder::new().name("c10k-idle".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                let entered = enter(cpu);
                let go_on = entered.is_ok();
                // The receiver waits for exactly this message; it cannot have gone.
                let _ = ready.send(entered);
                if go_on {
                    count(&shared);
                }
            }
        })?;
        let tid = is_ready
            .recv()
            .map_err(|_| io::Error::other("the idle counter's thread ended before it started"))??;
        Ok(Self {
            shared,
            tid,
            thread: Some(thread),
        })
    }

    /// Reads the count.
    ///
    /// # Errors
    /// When the thread's CPU clock cannot be read.
    pub fn read(&self) -> io::Result<IdleCounterReading> {
        Ok(IdleCounterReading {
            loops: self.shared.loops.load(Ordering::Relaxed),
            run_time: cpu_clock::thread_cpu_time(self.tid)?,
            at: Instant::now(),
        })
    }
}

impl Drop for IdleCounter {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in the counting loop has been printed by then and spoils nothing that was read before.
            let _ = thread.join();
        }
    }
}

fn enter(cpu: usize) -> io::Result<u32> {
    let mut set = CpuSet::new();
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no CPU {cpu}")));
    }
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| io::Error::other(format!("cannot pin the idle counter to CPU {cpu}: {error}")))?;
    scheduling::enter(scheduling::Class::Idle)
        .map_err(|error| io::Error::other(format!("cannot enter SCHED_IDLE (sched_setscheduler): {error}")))?;
    Ok(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs())
}

fn count(shared: &Shared) {
    let mut loops = 0_u64;
    while !shared.stop.load(Ordering::Relaxed) {
        let mut sum = 0_u64;
        for addend in 0..ADDITIONS {
            sum = black_box(sum.wrapping_add(addend));
        }
        loops += 1;
        shared.loops.store(loops, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_cpu() -> usize {
        rustix::thread::sched_getcpu()
    }

    #[test]
    fn it_counts_and_its_run_time_grows() {
        let counter = IdleCounter::start(own_cpu()).expect("SCHED_IDLE needs no privilege");
        let first = counter.read().expect("its clock can be read");
        loop {
            let now = counter.read().expect("its clock can be read");
            if now.loops > first.loops + 100 {
                assert!(now.run_time > first.run_time);
                assert!(now.rate_since(&first) > 0.0);
                break;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_cpu_that_is_not_there_is_refused() {
        assert!(IdleCounter::start(CpuSet::MAX_CPU - 1).is_err());
    }
}
