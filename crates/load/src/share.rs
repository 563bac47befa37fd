//! Which part of a run falls to which thread. Threads share nothing: each works out its own part.

use crate::plan::Pattern;
use crate::schedule::{Due, Schedule};

/// One thread's part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which thread, from 0.
    pub thread: u64,
    /// How many threads.
    pub threads: u64,
}

impl Share {
    /// This thread's part of `total` equal things: every `threads`-th of them.
    #[must_use]
    pub fn of(self, total: u64) -> u64 {
        total / self.threads + u64::from(self.thread < total % self.threads)
    }

    /// The position among this thread's own of thing `index`, if it is this thread's.
    #[must_use]
    pub fn position(self, index: u64) -> Option<u64> {
        (index % self.threads == self.thread).then_some(index / self.threads)
    }

    /// The lane on which request `index` goes, if that is this thread's; a lane of the thread's choice where the
    /// pattern leaves it open.
    #[must_use]
    pub fn route(self, pattern: Pattern, index: u64) -> Option<Route> {
        match pattern {
            Pattern::InTurn { connections, .. } => self.position(index % connections.get()).map(Route::Lane),
            Pattern::AsNeeded { .. } | Pattern::Sessions(_) => self.position(index).map(|_| Route::AnyFree),
        }
    }
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// On this lane of the thread.
    Lane(u64),
    /// On any lane that is free, or a new one.
    AnyFree,
}

/// The requests of the global schedule that fall to one thread.
#[derive(Debug)]
pub struct OwnSchedule {
    schedule: Schedule,
    share: Share,
    pattern: Pattern,
    next: Option<(Due, Route)>,
}

impl OwnSchedule {
    /// This thread's requests of `schedule`.
    #[must_use]
    pub fn new(schedule: Schedule, share: Share, pattern: Pattern) -> Self {
        let mut own = Self {
            schedule,
            share,
            pattern,
            next: None,
        };
        own.advance();
        own
    }

    /// The next request without taking it.
    #[must_use]
    pub fn peek(&self) -> Option<(Due, Route)> {
        self.next
    }

    /// Takes the next request.
    pub fn advance(&mut self) {
        let (share, pattern) = (self.share, self.pattern);
        self.next = self
            .schedule
            .find_map(|due| share.route(pattern, due.index).map(|route| (due, route)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use crate::schedule::Arrival;
    use std::num::NonZeroU64;
    use std::time::Duration;

    fn in_turn(connections: u64) -> Pattern {
        Pattern::InTurn {
            connections: NonZeroU64::new(connections).unwrap(),
            per_connection: None,
        }
    }

    fn own(pattern: Pattern, thread: u64, threads: u64) -> Vec<(u64, Route)> {
        let schedule = Schedule::new(
            Arrival::Poisson,
            Profile::constant(1000.0),
            NonZeroU64::MIN,
            Duration::from_secs(1),
            5,
        );
        let mut own = OwnSchedule::new(schedule, Share { thread, threads }, pattern);
        let mut all = Vec::new();
        while let Some((due, route)) = own.peek() {
            all.push((due.index, route));
            own.advance();
        }
        all
    }

    #[test]
    fn every_request_falls_to_exactly_one_thread() {
        for pattern in [
            in_turn(7),
            Pattern::AsNeeded {
                per_connection: NonZeroU64::MIN,
            },
        ] {
            let total = own(pattern, 0, 1).len() as u64;
            let mut indices: Vec<u64> = (0..3)
                .flat_map(|thread| own(pattern, thread, 3))
                .map(|(index, _)| index)
                .collect();
            indices.sort_unstable();
            assert!(indices.into_iter().eq(0..total));
        }
    }

    #[test]
    fn requests_go_over_all_connections_in_turn_whatever_the_number_of_threads() {
        for threads in 1..=4 {
            let lanes: u64 = (0..threads).map(|thread| Share { thread, threads }.of(7)).sum();
            assert_eq!(lanes, 7);
            for thread in 0..threads {
                for (index, route) in own(in_turn(7), thread, threads) {
                    let connection = index % 7;
                    assert_eq!(route, Route::Lane(connection / threads));
                    assert_eq!(connection % threads, thread);
                }
            }
        }
    }
}
