//! Every order in which the threads of a small port can take their steps.

use std::collections::HashSet;

use super::{Called, Phase, Places};

/// What may still happen in a run. Each run ends, since all of it is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Left {
    events: u32,
    /// Times that a thread blocks and has said so.
    leaves: u32,
    /// Times that it blocks and has not.
    sleeps: u32,
    /// Times that the monitor is mistaken: the thread has woken up since it looked.
    mistakes: u32,
}

/// A port and what surrounds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    places: Places,
    left: Left,
    /// Events that were served.
    served: u32,
    /// Whether a thread has an event, which it has to serve.
    has_event: Vec<bool>,
    /// Whether a thread sleeps in something that it has not declared.
    sleeps: Vec<bool>,
    /// Whether a thread is parked until it is woken. Only what the port returns wakes one.
    parked: Vec<bool>,
    /// Threads in the order in which they have become idle, and in which they have become queued.
    idle: Vec<usize>,
    queued: Vec<usize>,
}

/// A step of a thread, or of the monitor with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Seek,
    Begin,
    Leave,
    Enter,
    FallAsleep,
    WakeUp,
    Oust,
    Check,
    End,
}

const STEPS: [Step; 9] = [
    Step::Seek,
    Step::Begin,
    Step::Leave,
    Step::Enter,
    Step::FallAsleep,
    Step::WakeUp,
    Step::Oust,
    Step::Check,
    Step::End,
];

impl World {
    fn new(concurrency: usize, threads: usize, left: Left) -> World {
        World {
            places: Places::new(concurrency, threads),
            left,
            served: 0,
            has_event: vec![false; threads],
            sleeps: vec![false; threads],
            parked: vec![false; threads],
            idle: Vec::new(),
            queued: Vec::new(),
        }
    }

    fn threads(&self) -> usize {
        self.parked.len()
    }

    fn count(&self, phase: Phase) -> usize {
        self.places.phases.iter().filter(|other| **other == phase).count()
    }

    /// Whether a thread can take that step.
    fn can(&self, step: Step, thread: usize) -> bool {
        let phase = self.places.phase(thread);
        let acts = !self.parked[thread] && !self.sleeps[thread];
        let (runs, left) = (matches!(phase, Phase::Running | Phase::Ousted), self.left);
        match step {
            Step::Seek => acts && (runs || phase == Phase::Absent && !self.places.has_ended),
            Step::Begin => acts && phase == Phase::Waiting && left.events > 0,
            Step::Leave => acts && runs && left.leaves > 0,
            Step::Enter => acts && phase == Phase::Away,
            Step::FallAsleep => acts && runs && left.sleeps > 0,
            Step::WakeUp => self.sleeps[thread],
            Step::Oust => phase == Phase::Running && (self.sleeps[thread] || left.mistakes > 0),
            Step::Check => acts && phase == Phase::Ousted,
            // The server ends the port when it is over: once, whatever its threads do then.
            Step::End => thread == 0 && left.events == 0 && !self.places.has_ended,
        }
    }

    fn take(&self, step: Step, thread: usize) -> World {
        let mut world = self.clone();
        let (before, places) = (self.places.phases.clone(), &mut world.places);
        let called = match step {
            Step::Seek => {
                world.served += u32::from(world.has_event[thread]);
                world.has_event[thread] = false;
                places.seek(thread)
            }
            Step::Begin => {
                world.left.events -= 1;
                world.has_event[thread] = true;
                places.begin(thread)
            }
            Step::Leave => {
                world.left.leaves -= 1;
                places.leave(thread)
            }
            Step::Oust => {
                world.left.mistakes -= u32::from(!self.sleeps[thread]);
                let turn = places.turns[thread];
                assert_eq!(places.oust(thread, turn + 1), None, "another turn");
                places.oust(thread, turn).expect("it has a place")
            }
            Step::Enter | Step::Check => {
                places.enter(thread);
                Called(None)
            }
            Step::FallAsleep => {
                world.left.sleeps -= 1;
                world.sleeps[thread] = true;
                Called(None)
            }
            Step::WakeUp => {
                world.sleeps[thread] = false;
                Called(None)
            }
            Step::End => {
                places.end();
                world.parked.fill(false);
                world.idle.clear();
                world.queued.clear();
                return world;
            }
        };
        world.wake(called, &before);
        world.park(thread);
        world
    }

    /// Wakes whom a step has called, who must be the right one.
    fn wake(&mut self, called: Called, before: &[Phase]) {
        let Some(called) = called.0 else { return };
        assert!(self.parked[called], "it was stopped");
        self.parked[called] = false;
        match before[called] {
            Phase::Queued => {
                assert_eq!(self.queued.remove(0), called, "first in, first out");
                assert_eq!(self.places.phase(called), Phase::Running);
            }
            Phase::Idle => {
                assert!(self.queued.is_empty(), "who waits for a place comes first");
                assert_eq!(self.idle.pop(), Some(called), "last in, first out");
                assert_eq!(self.places.phase(called), Phase::Waiting);
            }
            other => panic!("{other:?} was called"),
        }
    }

    fn park(&mut self, thread: usize) {
        let phase = self.places.phase(thread);
        if phase.is_stopped() && !self.parked[thread] {
            self.parked[thread] = true;
            match phase {
                Phase::Queued => self.queued.push(thread),
                _ => self.idle.push(thread),
            }
        }
    }

    /// What holds after every step.
    fn check(&self) {
        let places = &self.places;
        assert_eq!(places.running, self.count(Phase::Running));
        assert_eq!(places.waiting, self.count(Phase::Waiting));
        assert!(places.running <= places.concurrency, "more run than may: {self:?}");
        assert!(places.waiting <= places.concurrency, "more wait than may run: {self:?}");
        for thread in 0..self.threads() {
            assert_eq!(self.parked[thread], places.phase(thread).is_stopped(), "{self:?}");
        }
        if places.running < places.concurrency {
            assert!(
                self.queued.is_empty(),
                "a place is free while a thread waits for one: {self:?}"
            );
            let is_watched = places.waiting > 0 || self.idle.is_empty();
            assert!(is_watched, "nobody waits for events though a thread could: {self:?}");
        }
        if places.has_ended {
            assert!(self.parked.iter().all(|parked| !parked), "{self:?}");
        }
    }

    /// What holds when nothing more can happen.
    fn check_end(&self, events: u32) {
        assert!(
            self.has_event.iter().all(|has_event| !has_event),
            "an event is not served: {self:?}"
        );
        assert_eq!(self.served, events, "{self:?}");
        assert_eq!(self.places.running, 0, "{self:?}");
        assert!(self.places.has_ended);
        let is_gone = |phase: &Phase| matches!(phase, Phase::Absent | Phase::Waiting);
        // The end of the waits ends those that wait for events.
        assert!(self.places.phases.iter().all(is_gone), "{self:?}");
    }

    /// The state without how it was reached.
    fn key(&self) -> World {
        let mut key = self.clone();
        key.places.turns.fill(0);
        key.places.admissions = 0;
        key
    }
}

/// Takes every step in every state. Returns the number of states.
fn explore(concurrency: usize, threads: usize, left: Left) -> usize {
    let start = World::new(concurrency, threads, left);
    let mut seen = HashSet::from([start.key()]);
    let mut open = vec![start];
    while let Some(world) = open.pop() {
        let mut is_end = true;
        for thread in 0..threads {
            for step in STEPS.into_iter().filter(|step| world.can(*step, thread)) {
                is_end = false;
                let next = world.take(step, thread);
                next.check();
                if seen.insert(next.key()) {
                    open.push(next);
                }
            }
        }
        if is_end {
            world.check_end(left.events);
        }
    }
    seen.len()
}

#[test]
fn no_order_of_steps_loses_an_event_or_exceeds_the_places_or_stops_all_threads() {
    let left = Left {
        events: 3,
        leaves: 2,
        sleeps: 2,
        mistakes: 1,
    };
    let mut states = Vec::new();
    for (concurrency, threads) in [(1, 1), (1, 2), (1, 3), (2, 2), (2, 3)] {
        states.push(explore(concurrency, threads, left));
    }
    // More threads can do more.
    assert!(
        states[0] < states[1] && states[1] < states[2] && states[3] < states[4],
        "{states:?}"
    );
}

#[test]
fn threads_that_all_block_give_their_places_to_all_others() {
    let (concurrency, threads) = (2, 5);
    let mut places = Places::new(concurrency, threads);
    for thread in 0..threads {
        assert_eq!(places.seek(thread), Called(None));
    }
    let mut blocked = Vec::new();
    while let Some(thread) = (0..threads).find(|thread| places.phase(*thread) == Phase::Waiting) {
        let _ = places.begin(thread);
        assert_eq!(places.phase(thread), Phase::Running);
        let _ = places.leave(thread);
        blocked.push(thread);
    }
    blocked.sort_unstable();
    assert_eq!(blocked, [0, 1, 2, 3, 4]);
    // They come back at once: as many run as may, in the order in which they have come.
    for thread in [3, 1, 4, 0, 2] {
        places.enter(thread);
    }
    let mut order = Vec::new();
    while let Some(thread) = (0..threads).find(|thread| places.phase(*thread) == Phase::Running) {
        order.push(thread);
        assert!(places.running() <= concurrency);
        let _ = places.seek(thread);
    }
    order.sort_unstable();
    assert_eq!(order, [0, 1, 2, 3, 4]);
}
