//! The places of a port under a lock, and the threads that wait for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::places::{Called, Phase, Places};

/// A pool of threads, of which a limited number runs at once.
#[derive(Debug)]
pub(crate) struct Port {
    state: Mutex<State>,
    threads: Box<[Stopped]>,
    /// Notified when the monitor has something to look at, and at the end.
    watched: Condvar,
    /// Notified when a thread that may be the last one ends, or blocks after the end.
    settled: Condvar,
}

#[derive(Debug)]
struct State {
    places: Places,
    /// Whether the monitor waits for [`Port::watched`] and not for its next look.
    monitor_rests: bool,
}

/// Where a thread waits.
#[derive(Debug, Default)]
struct Stopped {
    called: Condvar,
    /// Whether the thread has lost its place and does not know it. Changed under the lock.
    is_ousted: AtomicBool,
}

/// What a thread without work has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Summons {
    /// Wait for an event.
    WaitForEvent,
    /// End.
    End,
}

/// How a thread has got a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entered {
    /// How often it had to wait: 0 or 1.
    pub(crate) waits: u64,
    /// The most threads that ran at once, as far as this thread knows, itself included.
    pub(crate) running: usize,
}

/// What the monitor finds after an interval.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// The threads that have a place, with the turn at which they have got it.
    pub(super) holders: Vec<(usize, u64)>,
    /// How often any thread has got a place so far.
    pub(super) admissions: u64,
}

/// One thread of the pool. It is the pool's from its first call until this is dropped.
#[derive(Debug)]
pub(crate) struct PortThread {
    port: Arc<Port>,
    thread: usize,
}

/// A thread that has given up its place. When this is dropped, the thread waits for a place.
#[must_use]
#[derive(Debug)]
pub(crate) struct Left<'a> {
    thread: Option<&'a PortThread>,
}

impl Port {
    /// A pool of so many threads, of which so many run at once.
    pub(crate) fn new(concurrency: usize, threads: usize) -> Arc<Port> {
        Arc::new(Port {
            state: Mutex::new(State {
                places: Places::new(concurrency, threads),
                monitor_rests: false,
            }),
            threads: (0..threads).map(|_| Stopped::default()).collect(),
            watched: Condvar::new(),
            settled: Condvar::new(),
        })
    }

    /// The thread of that number. Each number is one thread's.
    pub(crate) fn thread(self: &Arc<Port>, thread: usize) -> PortThread {
        PortThread {
            port: Arc::clone(self),
            thread,
        }
    }

    /// Lets all threads go that wait for a place or have nothing to do. From here on no thread waits.
    pub(crate) fn end(&self) {
        self.lock().places.end();
        for thread in &self.threads {
            thread.called.notify_one();
        }
        self.watched.notify_all();
        self.settled.notify_all();
    }

    /// Waits until all threads have ended, but for those without a place: they are blocked, or have been and do not know yet that
    /// their place was taken, or were let go by the end while others had the places. The latter two may still run, and are not waited
    /// for. Call it after the [end](Port::end).
    pub(crate) fn await_holders(&self) {
        let is_on = |state: &mut State| !state.places.is_over();
        drop(self.settled.wait_while(self.lock(), is_on));
    }

    /// Whether a thread has not begun or has ended.
    pub(crate) fn is_absent(&self, thread: usize) -> bool {
        self.lock().places.phase(thread) == Phase::Absent
    }

    /// Waits for `interval`, and returns who has a place then; `None` after the end, once only threads without a place are left.
    pub(super) fn look_after(&self, interval: Duration) -> Option<Look> {
        let is_on = |state: &mut State| !state.places.is_over();
        let waited = self.watched.wait_timeout_while(self.lock(), interval, is_on);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (!state.places.is_over()).then(|| Look {
            holders: state.places.holders().collect(),
            admissions: state.places.admissions(),
        })
    }

    /// Waits until a thread gets a place, unless one has got it since so many admissions, or the port has ended.
    pub(super) fn rest(&self, admissions: u64) {
        let mut state = self.lock();
        state.monitor_rests = true;
        let is_quiet = |state: &mut State| state.places.admissions() == admissions && !state.places.has_ended();
        let woken = self.watched.wait_while(state, is_quiet);
        woken.unwrap_or_else(PoisonError::into_inner).monitor_rests = false;
    }

    /// Takes the place from a thread that sleeps. Returns whether the thread still had it, since that turn.
    pub(super) fn oust(&self, thread: usize, turn: u64) -> bool {
        let mut had_it = false;
        drop(self.step(|places| match places.oust(thread, turn) {
            Some(called) => {
                self.threads[thread].is_ousted.store(true, Ordering::Relaxed);
                had_it = true;
                called
            }
            None => Called(None),
        }));
        had_it
    }

    /// Takes a step, and wakes the thread that it calls.
    fn step(&self, step: impl FnOnce(&mut Places) -> Called) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let Called(called) = step(&mut state.places);
        if let Some(thread) = called {
            self.threads[thread].called.notify_one();
        }
        if state.places.is_over() {
            self.settled.notify_all();
            self.watched.notify_all();
        }
        state
    }

    /// Waits while a thread is stopped, and returns how often it was.
    fn pause<'a>(&'a self, state: MutexGuard<'a, State>, thread: usize) -> (MutexGuard<'a, State>, u64) {
        if !state.places.phase(thread).is_stopped() {
            return (state, 0);
        }
        let is_stopped = |state: &mut State| state.places.phase(thread).is_stopped();
        let called = &self.threads[thread].called;
        let woken = called.wait_while(state, is_stopped);
        (woken.unwrap_or_else(PoisonError::into_inner), 1)
    }

    /// Waits until a thread has the place that it has asked for.
    fn await_place<'a>(&'a self, state: MutexGuard<'a, State>, thread: usize) -> Entered {
        let (state, waits) = self.pause(state, thread);
        if state.monitor_rests {
            self.watched.notify_all();
        }
        Entered {
            waits,
            running: state.places.running(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No step panics halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PortThread {
    /// Gives up the place, if the thread has one, since it has nothing to do. Returns when it is to wait for an event, and
    /// meanwhile sleeps if enough others wait.
    pub(crate) fn seek(&self) -> Summons {
        let state = self.step(|places| places.seek(self.thread));
        let (state, _) = self.port.pause(state, self.thread);
        match state.places.phase(self.thread) {
            Phase::Absent => Summons::End,
            _ => Summons::WaitForEvent,
        }
    }

    /// Waits for a place, since the thread has got an event. Call it after [`Summons::WaitForEvent`].
    pub(crate) fn begin(&self) -> Entered {
        let state = self.step(|places| places.begin(self.thread));
        self.port.await_place(state, self.thread)
    }

    /// Gives up the place, if the thread has one, before work that blocks.
    pub(crate) fn leave(&self) -> Left<'_> {
        drop(self.step(|places| places.leave(self.thread)));
        Left { thread: Some(self) }
    }

    /// A scheduling point: waits for a place if the monitor has taken the thread's. `None` if it has not.
    #[inline]
    pub(crate) fn check(&self) -> Option<Entered> {
        let is_ousted = self.port.threads[self.thread].is_ousted.load(Ordering::Relaxed);
        is_ousted.then(|| self.return_to_place())
    }

    #[cold]
    fn return_to_place(&self) -> Entered {
        let mut running = 0;
        let state = self.step(|places| {
            // Until here this thread ran without a place.
            running = places.running() + 1;
            places.enter(self.thread);
            Called(None)
        });
        let admitted = self.port.await_place(state, self.thread);
        Entered { running, ..admitted }
    }

    fn come_back(&self) -> Entered {
        let state = self.step(|places| {
            places.enter(self.thread);
            Called(None)
        });
        self.port.await_place(state, self.thread)
    }

    /// A step of this thread, which knows its phase from here on.
    fn step(&self, step: impl FnOnce(&mut Places) -> Called) -> MutexGuard<'_, State> {
        self.port.step(|places| {
            self.port.threads[self.thread].is_ousted.store(false, Ordering::Relaxed);
            step(places)
        })
    }
}

impl Drop for PortThread {
    fn drop(&mut self) {
        drop(self.step(|places| places.retire(self.thread)));
    }
}

impl Left<'_> {
    /// Waits for a place.
    pub(crate) fn enter(mut self) -> Entered {
        let thread = self.thread.take();
        thread.map_or(Entered { waits: 0, running: 0 }, PortThread::come_back)
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.come_back();
        }
    }
}

#[cfg(test)]
mod tests;
