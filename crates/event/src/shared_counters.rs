//! The counts of a set that several threads use.

use crate::{Counters, owner::this_thread};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many threads count without sharing a cache line with another one.
const CELLS: usize = 16;

/// The counts of some threads. The alignment is that of two cache lines, which processors fetch together.
#[repr(align(128))]
struct Cell([AtomicU64; Counters::COUNT]);

/// Counts that any number of threads add to. Each thread has a cell, which it shares only if there are many threads.
pub(crate) struct SharedCounters(Box<[Cell]>);

impl SharedCounters {
    pub(crate) fn new() -> Self {
        let cell = |_| Cell([const { AtomicU64::new(0) }; Counters::COUNT]);
        Self((0..CELLS).map(cell).collect())
    }

    /// Adds what this thread has counted.
    pub(crate) fn add(&self, counters: &Counters) {
        let Cell(cell) = &self.0[this_thread() as usize % CELLS];
        for (sum, count) in cell.iter().zip(counters.values()) {
            if count > 0 {
                sum.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// The sums over all threads.
    pub(crate) fn sum(&self) -> Counters {
        let mut values = [0; Counters::COUNT];
        for Cell(cell) in &self.0 {
            for (value, count) in values.iter_mut().zip(cell) {
                *value += count.load(Ordering::Relaxed);
            }
        }
        Counters::of(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Call;

    #[test]
    fn what_all_threads_count_is_added_up() {
        let shared = SharedCounters::new();
        std::thread::scope(|scope| {
            for _ in 0..2 * CELLS {
                scope.spawn(|| {
                    let mut counters = Counters::default();
                    counters.waits = 2;
                    counters.count(Call::EpollCtl);
                    (0..100).for_each(|_| shared.add(&counters));
                });
            }
        });
        let sum = shared.sum();
        assert_eq!((sum.waits, sum.events), (400 * CELLS as u64, 0));
        assert_eq!(sum.syscall("epoll_ctl"), 200 * CELLS as u64);
    }
}
