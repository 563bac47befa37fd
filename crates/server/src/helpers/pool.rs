//! A pool of helper threads for one loop.
//!
//! The loop hands work over with a tag, and goes on. A helper does it, leaves the outcome with the tag, and wakes the loop,
//! which takes all outcomes that are there. A helper wakes the loop only if it left the first of them, so many outcomes cost one
//! wake-up.
//!
//! Work that panics has no outcome, and its helper goes on. When the pool is dropped, work that no helper has begun is dropped
//! with it. The helpers end when they have done what they had begun; nobody waits for that.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::limit::Admitted;

/// Helper threads that turn work `W` into outcomes `R`, for whoever tells them apart by tags `T`.
pub(crate) struct HelperPool<T, W, R>(Arc<Shared<T, W, R>>);

struct Shared<T, W, R> {
    queue: Mutex<Queue<T, W>>,
    /// There is work, or the pool is closed.
    changed: Condvar,
    /// Outcomes that the loop has not taken. `None` stands for work that panicked.
    done: Mutex<Vec<(T, Option<R>)>>,
    /// What wakes the loop.
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

struct Queue<T, W> {
    jobs: VecDeque<Job<T, W>>,
    closed: bool,
}

struct Job<T, W> {
    tag: T,
    work: W,
    admitted: Admitted,
}

impl<T, W, R> HelperPool<T, W, R>
where
    T: Send + 'static,
    W: Send + 'static,
    R: Send + 'static,
{
    /// Starts so many helpers, each with a stack of so many bytes. `run` does a piece of work, and may block.
    ///
    /// # Errors
    /// Those of clone(2). The helpers that were started end.
    pub(crate) fn start(
        helpers: usize,
        stack_bytes: usize,
        run: impl Fn(W) -> R + Send + Sync + 'static,
    ) -> io::Result<HelperPool<T, W, R>> {
        let pool = HelperPool(Arc::new(Shared {
            queue: Mutex::new(Queue {
                jobs: VecDeque::new(),
                closed: false,
            }),
            changed: Condvar::new(),
            done: Mutex::default(),
            wake: OnceLock::new(),
        }));
        let run = Arc::new(run);
        for number in 0..helpers {
            let (shared, run) = (Arc::clone(&pool.0), Arc::clone(&run));
            std::thread::Builder::new()
                .name(format!("helper-{number}"))
                .stack_size(stack_bytes)
                .spawn(move || shared.help(&*run))?;
        }
        Ok(pool)
    }

    /// Sets what is called when there are outcomes and were none before, for good. It may be called once more after the pool
    /// was dropped.
    pub(crate) fn wakes(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.0.wake.get_or_init(|| Box::new(wake));
    }

    /// Hands work over that was admitted.
    pub(crate) fn hand_over(&self, tag: T, work: W, admitted: Admitted) {
        lock(&self.0.queue).jobs.push_back(Job { tag, work, admitted });
        self.0.changed.notify_one();
    }

    /// Takes the outcomes that are there, in the order in which the work was done. `None` stands for work that panicked.
    pub(crate) fn take_done(&self) -> Vec<(T, Option<R>)> {
        std::mem::take(&mut *lock(&self.0.done))
    }
}

impl<T, W, R> Shared<T, W, R> {
    /// Does work until the pool is closed.
    fn help(&self, run: &impl Fn(W) -> R) {
        while let Some(Job { tag, work, admitted }) = self.next() {
            // What the work leaves half done when it panics is not used again: it is dropped here.
            let outcome = catch_unwind(AssertUnwindSafe(|| run(work))).ok();
            // Before the outcome is seen: whoever waits for it finds a helper free.
            drop(admitted);
            self.leave(tag, outcome);
        }
    }

    /// Waits for work. `None` when the pool is closed.
    fn next(&self) -> Option<Job<T, W>> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn leave(&self, tag: T, outcome: Option<R>) {
        let mut done = lock(&self.done);
        done.push((tag, outcome));
        let is_first = done.len() == 1;
        // Before the loop wakes and asks for the lock.
        drop(done);
        if is_first && let Some(wake) = self.wake.get() {
            wake();
        }
    }
}

impl<T, W, R> Drop for HelperPool<T, W, R> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        queue.closed = true;
        let jobs = std::mem::take(&mut queue.jobs);
        drop(queue);
        self.0.changed.notify_all();
        // What they hold is freed while no helper waits for the lock.
        drop(jobs);
    }
}

impl<T, W, R> fmt::Debug for HelperPool<T, W, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HelperPool").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::{self, Receiver, Sender};

    use super::super::limit::WorkLimit;
    use super::*;

    /// The usual stack of a thread that is small.
    const STACK: usize = 128 * 1024;

    type Work = Box<dyn FnOnce() -> u32 + Send>;
    type Pool = HelperPool<usize, Work, u32>;

    /// A pool whose work is code, and what hears its wake-ups.
    fn pool(helpers: usize) -> (Pool, Receiver<()>) {
        let pool = Pool::start(helpers, STACK, |work: Work| work()).expect("threads can be started");
        let (wake, wakes) = mpsc::channel();
        // This fails if the test has seen enough.
        pool.wakes(move || {
            let _ = wake.send(());
        });
        (pool, wakes)
    }

    fn hand_over(pool: &Pool, tag: usize, work: impl FnOnce() -> u32 + Send + 'static) {
        let admitted = Arc::new(WorkLimit::new(1, 0)).admit().expect("nothing else is out");
        pool.hand_over(tag, Box::new(work), admitted);
    }

    /// Takes outcomes until there are so many.
    fn outcomes(pool: &Pool, wakes: &Receiver<()>, count: usize) -> Vec<(usize, Option<u32>)> {
        let mut outcomes = Vec::new();
        while outcomes.len() < count {
            wakes.recv().expect("the pool wakes its loop");
            outcomes.extend(pool.take_done());
        }
        outcomes
    }

    /// Work that says when it begins, and ends when the test says so.
    fn held() -> (impl FnOnce() -> u32 + Send + 'static, Receiver<()>, Sender<()>) {
        let (begun, begins) = mpsc::channel();
        let (end, ends) = mpsc::channel();
        let work = move || {
            begun.send(()).expect("the test listens");
            ends.recv().expect("the test ends the work");
            0
        };
        (work, begins, end)
    }

    #[test]
    fn each_outcome_comes_back_with_the_tag_of_its_work() {
        let (pool, wakes) = pool(3);
        for tag in 0..100 {
            hand_over(&pool, tag, move || 7 * u32::try_from(tag).expect("small"));
        }
        let mut outcomes = outcomes(&pool, &wakes, 100);
        outcomes.sort_unstable();
        let expected: Vec<_> = (0..100).map(|tag| (tag as usize, Some(7 * tag))).collect();
        assert_eq!(outcomes, expected);
    }

    #[test]
    fn as_much_work_is_done_at_once_as_there_are_helpers() {
        let (pool, wakes) = pool(4);
        let all_begun = Arc::new(Barrier::new(4));
        for tag in 0..4 {
            let all_begun = Arc::clone(&all_begun);
            hand_over(&pool, tag, move || {
                all_begun.wait();
                1
            });
        }
        assert_eq!(outcomes(&pool, &wakes, 4).len(), 4);
    }

    #[test]
    fn work_that_waits_for_a_helper_is_done_in_order() {
        let (pool, wakes) = pool(1);
        for tag in 0..50 {
            hand_over(&pool, tag, || 0);
        }
        let tags: Vec<usize> = outcomes(&pool, &wakes, 50).into_iter().map(|(tag, _)| tag).collect();
        assert_eq!(tags, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn outcomes_that_are_taken_together_cost_one_wake_up() {
        let (pool, wakes) = pool(1);
        for tag in 0..10 {
            hand_over(&pool, tag, || 0);
        }
        let (work, begins, end) = held();
        hand_over(&pool, 10, work);
        // The only helper has left what it did before.
        begins.recv().expect("the work begins");
        assert_eq!(wakes.try_iter().count(), 1);
        assert_eq!(pool.take_done().len(), 10);
        end.send(()).expect("the work waits");
        // The next outcome has a wake-up of its own.
        assert_eq!(outcomes(&pool, &wakes, 1), [(10, Some(0))]);
        assert_eq!(wakes.try_iter().count(), 0);
    }

    #[test]
    fn a_helper_whose_work_panics_does_what_comes_next() {
        let (pool, wakes) = pool(1);
        hand_over(&pool, 0, || panic!("this is expected"));
        hand_over(&pool, 1, || 1);
        assert_eq!(outcomes(&pool, &wakes, 2), [(0, None), (1, Some(1))]);
    }

    #[test]
    fn work_counts_as_out_until_it_is_done_even_if_it_panics() {
        let (pool, wakes) = pool(1);
        let limit = Arc::new(WorkLimit::new(1, 0));
        for tag in 0..20 {
            let admitted = limit.admit().expect("what was handed over is done");
            let panics = tag % 2 == 0;
            pool.hand_over(
                tag,
                Box::new(move || if panics { panic!("this is expected") } else { 1 }),
                admitted,
            );
            outcomes(&pool, &wakes, 1);
        }
        let (work, begins, end) = held();
        pool.hand_over(20, Box::new(work), limit.admit().expect("nothing is out"));
        begins.recv().expect("the work begins");
        assert!(limit.admit().is_none());
        end.send(()).expect("the work waits");
    }

    #[test]
    fn a_pool_that_is_dropped_begins_nothing_and_its_helpers_end() {
        let (ended, ends) = mpsc::channel::<()>();
        let pool = Pool::start(2, STACK, move |work: Work| {
            // Kept by the helpers, so that the channel ends with the last of them.
            let _kept = &ended;
            work()
        })
        .expect("threads can be started");
        let (first, first_begins, end_first) = held();
        let (second, second_begins, end_second) = held();
        hand_over(&pool, 0, first);
        hand_over(&pool, 1, second);
        first_begins.recv().expect("the work begins");
        second_begins.recv().expect("the work begins");
        let (begun, begins) = mpsc::channel();
        hand_over(&pool, 2, move || {
            begun.send(()).expect("the test listens");
            0
        });
        drop(pool);
        end_first.send(()).expect("the work waits");
        end_second.send(()).expect("the work waits");
        assert!(ends.recv().is_err());
        assert!(begins.recv().is_err(), "work began after the pool was dropped");
    }
}
