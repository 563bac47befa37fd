//! Which requests and connections belong to which thread. Threads share no data: each computes its own part.

use crate::plan::Pattern;
use crate::schedule::arrivals::{Due, Schedule};

/// A thread's part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadShare {
    /// The index of the thread.
    pub(crate) thread: u64,
    /// The number of threads.
    pub(crate) threads: u64,
}

impl ThreadShare {
    /// How many of `total` equal items belong to this thread: every `threads`-th one.
    #[must_use]
    pub(crate) fn of(self, total: u64) -> u64 {
        total / self.threads + u64::from(self.thread < total % self.threads)
    }

    /// The position of item `index` among the items of this thread; `None` if it belongs to another one.
    #[must_use]
    pub(crate) fn position(self, index: u64) -> Option<u64> {
        (index % self.threads == self.thread).then_some(index / self.threads)
    }

    /// The slot for request `index`; `None` if the request belongs to another thread.
    #[must_use]
    pub(crate) fn route(self, pattern: Pattern, index: u64) -> Option<Route> {
        match pattern {
            Pattern::RoundRobin { connections, .. } => self.position(index % connections.get()).map(Route::Slot),
            Pattern::OnDemand { .. } | Pattern::Sessions(_) => self.position(index).map(|_| Route::AnyFree),
        }
    }
}

/// The slot for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// The slot with this index.
    Slot(u64),
    /// Any free slot, or a new one.
    AnyFree,
}

/// The requests of the global schedule that belong to one thread.
#[derive(Debug)]
pub(crate) struct ThreadSchedule {
    schedule: Schedule,
    share: ThreadShare,
    pattern: Pattern,
    next: Option<(Due, Route)>,
}

impl ThreadSchedule {
    /// The requests of `schedule` that belong to `share`.
    #[must_use]
    pub(crate) fn new(schedule: Schedule, share: ThreadShare, pattern: Pattern) -> Self {
        let mut own = Self {
            schedule,
            share,
            pattern,
            next: None,
        };
        own.advance();
        own
    }

    /// Returns the next request and does not advance.
    #[must_use]
    pub(crate) fn peek(&self) -> Option<(Due, Route)> {
        self.next
    }

    /// Advances to the request after the next one.
    pub(crate) fn advance(&mut self) {
        let (share, pattern) = (self.share, self.pattern);
        self.next = self
            .schedule
            .find_map(|due| share.route(pattern, due.index).map(|route| (due, route)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Arrival;
    use crate::schedule::rate_profile::RateProfile;
    use std::num::NonZeroU64;
    use std::time::Duration;

    fn round_robin(connections: u64) -> Pattern {
        Pattern::RoundRobin {
            connections: NonZeroU64::new(connections).unwrap(),
            per_connection: None,
        }
    }

    fn own(pattern: Pattern, thread: u64, threads: u64) -> Vec<(u64, Route)> {
        let schedule = Schedule::new(
            Arrival::Poisson,
            RateProfile::constant(1000.0),
            NonZeroU64::MIN,
            Duration::from_secs(1),
            5,
        );
        let mut own = ThreadSchedule::new(schedule, ThreadShare { thread, threads }, pattern);
        let mut all = Vec::new();
        while let Some((due, route)) = own.peek() {
            all.push((due.index, route));
            own.advance();
        }
        all
    }

    #[test]
    fn every_request_belongs_to_exactly_one_thread() {
        for pattern in [
            round_robin(7),
            Pattern::OnDemand {
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
    fn requests_go_round_all_connections_whatever_the_number_of_threads() {
        for threads in 1..=4 {
            let slots: u64 = (0..threads).map(|thread| ThreadShare { thread, threads }.of(7)).sum();
            assert_eq!(slots, 7);
            for thread in 0..threads {
                for (index, route) in own(round_robin(7), thread, threads) {
                    let connection = index % 7;
                    assert_eq!(route, Route::Slot(connection / threads));
                    assert_eq!(connection % threads, thread);
                }
            }
        }
    }
}
