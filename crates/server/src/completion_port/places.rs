//! Who has a place, who is next: the discipline without threads, clocks and locks.

use std::collections::VecDeque;

/// What a thread does, as far as its place is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// It has not begun, or has ended.
    Absent,
    /// It waits for an event, or is about to.
    Waiting,
    /// It has a place.
    Running,
    /// It blocks and has said so before. It has no place.
    Away,
    /// Its place was taken from it, and it does not know that yet; or the port has ended, and it goes on without one.
    Ousted,
    /// It has something to do, and waits for a place.
    Queued,
    /// It has nothing to do, and is not to wait for events.
    Idle,
}

impl Phase {
    /// Whether a thread stops until another one calls it.
    pub(super) fn is_stopped(self) -> bool {
        matches!(self, Phase::Queued | Phase::Idle)
    }
}

/// The thread that a step has called: it has to be woken.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Called(pub(super) Option<usize>);

const NOBODY: Called = Called(None);

/// The threads of a port, by their numbers, and the places.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Places {
    /// How many places there are.
    concurrency: usize,
    phases: Vec<Phase>,
    /// For each thread, how often it has got a place.
    turns: Vec<u64>,
    /// The sum of these.
    admissions: u64,
    running: usize,
    waiting: usize,
    /// Threads that wait for a place, the first first. Empty while a place is free.
    queue: VecDeque<usize>,
    /// Threads that have nothing to do, the last on top.
    idle: Vec<usize>,
    has_ended: bool,
}

impl Places {
    /// So many places for so many threads, all of which are absent.
    pub(super) fn new(concurrency: usize, threads: usize) -> Places {
        Places {
            concurrency,
            phases: vec![Phase::Absent; threads],
            turns: vec![0; threads],
            admissions: 0,
            running: 0,
            waiting: 0,
            queue: VecDeque::new(),
            idle: Vec::new(),
            has_ended: false,
        }
    }

    pub(super) fn phase(&self, thread: usize) -> Phase {
        self.phases[thread]
    }

    /// How many threads have a place.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// How often a thread has got a place.
    pub(super) fn admissions(&self) -> u64 {
        self.admissions
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// A thread has nothing to do, and gives up its place if it has one. From here on it is waiting for events or idle; absent
    /// if the port has ended.
    pub(super) fn seek(&mut self, thread: usize) -> Called {
        let called = self.give_up(thread);
        if self.has_ended {
            self.phases[thread] = Phase::Absent;
        } else if self.running + self.waiting < self.concurrency {
            self.phases[thread] = Phase::Waiting;
            self.waiting += 1;
        } else {
            self.phases[thread] = Phase::Idle;
            self.idle.push(thread);
        }
        called
    }

    /// A thread that waited for events has got one. From here on it is running or queued.
    pub(super) fn begin(&mut self, thread: usize) -> Called {
        self.waiting -= 1;
        self.admit(thread);
        self.call_for_events()
    }

    /// A thread is about to block.
    pub(super) fn leave(&mut self, thread: usize) -> Called {
        let called = self.give_up(thread);
        self.phases[thread] = Phase::Away;
        match called {
            NOBODY => self.call_for_events(),
            called => called,
        }
    }

    /// A thread that was away, or whose place was taken, is about to run. From here on it is running or queued.
    pub(super) fn enter(&mut self, thread: usize) {
        self.admit(thread);
    }

    /// Takes the place from a thread that sleeps, if it still has the one that it got at that turn.
    pub(super) fn oust(&mut self, thread: usize, turn: u64) -> Option<Called> {
        if self.phases[thread] != Phase::Running || self.turns[thread] != turn {
            return None;
        }
        let called = self.leave(thread);
        self.phases[thread] = Phase::Ousted;
        Some(called)
    }

    /// A thread ends, whatever it has done.
    pub(super) fn retire(&mut self, thread: usize) -> Called {
        if self.phases[thread] == Phase::Waiting {
            self.waiting -= 1;
        }
        let called = self.give_up(thread);
        self.phases[thread] = Phase::Absent;
        match called {
            NOBODY => self.call_for_events(),
            called => called,
        }
    }

    /// Lets all threads go that are stopped, and stops no thread any more. All of them have to be woken.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
        for thread in self.queue.drain(..) {
            self.phases[thread] = Phase::Ousted;
        }
        for thread in self.idle.drain(..) {
            self.phases[thread] = Phase::Absent;
        }
    }

    /// The threads that have a place, and at which turn they have got it.
    pub(super) fn holders(&self) -> impl Iterator<Item = (usize, u64)> {
        let phases = self.phases.iter().zip(&self.turns).enumerate();
        phases.filter_map(|(thread, (phase, turn))| (*phase == Phase::Running).then_some((thread, *turn)))
    }

    /// Whether the port has ended, and nothing is left but threads without a place that wait for nothing of the port.
    pub(super) fn is_over(&self) -> bool {
        self.has_ended && self.only_placeless_are_left()
    }

    /// Whether every thread is absent, away, or runs without a place as far as is known.
    fn only_placeless_are_left(&self) -> bool {
        let is_left = |phase: &Phase| matches!(phase, Phase::Absent | Phase::Away | Phase::Ousted);
        self.phases.iter().all(is_left)
    }

    /// The place of a thread, if it has one, goes to the thread that has waited longest for one.
    fn give_up(&mut self, thread: usize) -> Called {
        if self.phases[thread] != Phase::Running {
            return NOBODY;
        }
        self.running -= 1;
        let next = self.queue.pop_front();
        if let Some(next) = next {
            self.run(next);
        }
        Called(next)
    }

    fn admit(&mut self, thread: usize) {
        if self.running < self.concurrency {
            self.run(thread);
        } else if self.has_ended {
            self.phases[thread] = Phase::Ousted;
        } else {
            self.phases[thread] = Phase::Queued;
            self.queue.push_back(thread);
        }
    }

    fn run(&mut self, thread: usize) {
        self.phases[thread] = Phase::Running;
        self.turns[thread] += 1;
        self.admissions += 1;
        self.running += 1;
    }

    /// Makes an idle thread wait for events, if a place is free and nobody does.
    fn call_for_events(&mut self) -> Called {
        if self.has_ended || self.waiting > 0 || self.running >= self.concurrency {
            return NOBODY;
        }
        let next = self.idle.pop();
        if let Some(next) = next {
            self.phases[next] = Phase::Waiting;
            self.waiting += 1;
        }
        Called(next)
    }
}

#[cfg(test)]
mod tests;
