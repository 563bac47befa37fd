//! The deadlines of connections that any thread may serve.
//!
//! The list has a deadline for each connection that is never later than the real one, which is in the connection. A thread
//! that serves a connection changes the list only if the deadline has come forward. When a deadline of the list passes, the
//! keeper looks at the connection, and lists the real deadline if that is later. Most deadlines are postponed by each request
//! and never pass, so most requests do not touch the list, which one lock protects.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use c10k_event::Key;

use crate::timeout::{Deadline, Deadlined, TICK, Tick, Wheel};

/// The deadlines, and when the keeper wakes by itself.
#[derive(Debug)]
pub(super) struct Timers(Mutex<State>);

#[derive(Debug)]
struct State {
    wheel: Wheel<Key>,
    listed: Listed,
    /// The tick at which the keeper looks at the list next, or has looked last.
    wakes_at: Tick,
}

/// The deadline of the connection in each slot of the set, if it has been listed.
#[derive(Debug, Default)]
struct Listed(Vec<Option<(Key, Deadline)>>);

impl Deadlined<Key> for Listed {
    fn deadline(&mut self, key: Key) -> Option<&mut Deadline> {
        let (listed, deadline) = self.0.get_mut(key.slot() as usize)?.as_mut()?;
        (*listed == key).then_some(deadline)
    }
}

/// Whether the keeper has to look at the list before it would by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Attention {
    Now,
    InTime,
}

impl Timers {
    pub(super) fn new() -> Timers {
        Timers(Mutex::new(State {
            wheel: Wheel::new(),
            listed: Listed::default(),
            wakes_at: Tick(0),
        }))
    }

    /// Lists the deadline of a connection that has just been declared, unless a thread that has already served it did so.
    pub(super) fn list_new(&self, key: Key, at: Tick) -> Attention {
        let mut state = self.lock();
        match state.listed.deadline(key) {
            Some(_) => Attention::InTime,
            None => state.list(key, at),
        }
    }

    /// Lists a deadline in place of the one that is listed.
    pub(super) fn list(&self, key: Key, at: Tick) -> Attention {
        self.lock().list(key, at)
    }

    /// The connections whose listed deadline has passed. They have none from here on.
    pub(super) fn passed(&self, now: Tick) -> Vec<Key> {
        let mut state = self.lock();
        let State { wheel, listed, .. } = &mut *state;
        wheel.advance(now);
        std::iter::from_fn(|| wheel.next_passed(listed)).collect()
    }

    /// How long the keeper may wait, which it does next. `now` is the time at which it last called [`passed`](Timers::passed).
    pub(super) fn timeout(&self, now: Tick) -> Duration {
        let mut state = self.lock();
        let State {
            wheel,
            listed,
            wakes_at,
        } = &mut *state;
        let timeout = wheel.idle_timeout(listed);
        let ticks = timeout.as_millis() / TICK.as_millis();
        *wakes_at = Tick(now.0.saturating_add(u32::try_from(ticks).unwrap_or(u32::MAX)));
        timeout
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn list(&mut self, key: Key, at: Tick) -> Attention {
        let slot = key.slot() as usize;
        if slot >= self.listed.0.len() {
            self.listed.0.resize(slot + 1, None);
        }
        let entry = &mut self.listed.0[slot];
        if entry.is_some_and(|(listed, _)| listed > key) {
            // The connection is gone, and its slot has the next one.
            return Attention::InTime;
        }
        let (listed, deadline) = entry.get_or_insert_with(|| (key, Deadline::default()));
        if *listed != key {
            (*listed, *deadline) = (key, Deadline::default());
        }
        deadline.at = at;
        self.wheel.schedule(key, deadline);
        match at < self.wakes_at {
            true => Attention::Now,
            false => Attention::InTime,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use c10k_event::Slab;

    use super::*;

    /// The keys of two connections, and the one that has the slot of the first after it.
    fn keys() -> [Key; 3] {
        let mut slots = Slab::<Option<OwnedFd>>::new();
        let [first, second] = [(); 2].map(|()| slots.insert(None).expect("a free slot"));
        slots.remove(first);
        [first, second, slots.insert(None).expect("a free slot")]
    }

    #[test]
    fn a_deadline_passes_once_and_at_its_tick() {
        let (timers, [first, second, _]) = (Timers::new(), keys());
        let _ = (timers.list_new(first, Tick(5)), timers.list_new(second, Tick(9)));
        assert_eq!(timers.passed(Tick(4)), []);
        assert_eq!(timers.timeout(Tick(4)), TICK);
        assert_eq!(timers.passed(Tick(5)), [first]);
        // The connection says that its deadline is later.
        assert_eq!(timers.list(first, Tick(12)), Attention::InTime);
        assert_eq!(timers.passed(Tick(11)), [second]);
        assert_eq!(timers.passed(Tick(12)), [first]);
        assert_eq!(timers.passed(Tick(500)), []);
    }

    #[test]
    fn the_keeper_is_wanted_if_a_deadline_is_before_the_end_of_its_wait() {
        let (timers, [first, second, _]) = (Timers::new(), keys());
        let _ = timers.list_new(first, Tick(20));
        assert_eq!(timers.passed(Tick(3)), []);
        assert_eq!(timers.timeout(Tick(3)), TICK * 17);
        assert_eq!(timers.list_new(second, Tick(20)), Attention::InTime);
        assert_eq!(timers.list(second, Tick(19)), Attention::Now);
    }

    #[test]
    fn a_thread_that_is_late_with_a_new_deadline_overwrites_none() {
        let (timers, [first, _, next]) = (Timers::new(), keys());
        // Another thread has already served the connection, and its deadline is sooner.
        let _ = timers.list(first, Tick(5));
        assert_eq!(timers.list_new(first, Tick(50)), Attention::InTime);
        assert_eq!(timers.passed(Tick(5)), [first]);
        // The connection is gone, and the next one in its slot is listed.
        let _ = timers.list_new(next, Tick(8));
        let _ = (timers.list_new(first, Tick(50)), timers.list(first, Tick(50)));
        assert_eq!(timers.passed(Tick(8)), [next]);
        assert_eq!(timers.passed(Tick(60)), []);
    }
}
