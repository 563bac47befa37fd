//! Churn of the idle pool: connections are replaced by new ones at a constant rate, the oldest first.
//!
//! The new connection is opened before the old one is closed, so churn never makes the pool smaller.

use std::collections::VecDeque;

use c10k_event::Key;

use crate::clock::Moment;
use crate::plan::LoadPlan;
use crate::schedule::arrivals::Schedule;
use crate::schedule::thread_share::ThreadShare;

/// The maximum number of unanswered connects of replacements on a thread. Further ones that are due are counted as not
/// replaced.
const UNANSWERED_MAX: u64 = 128;

/// Which idle connections of one thread are replaced, and when.
#[derive(Debug)]
pub(super) struct Churn {
    start: Moment,
    schedule: Schedule,
    /// The pool, oldest first. It may contain connections that the server has closed.
    by_age: VecDeque<Key>,
    /// Connects of replacements in progress.
    connecting: u64,
}

impl Churn {
    /// The churn of `pool`, which is ordered by age; `None` if the plan has no churn.
    pub(super) fn new(
        plan: &LoadPlan,
        share: ThreadShare,
        pool: impl Iterator<Item = Key>,
        start: Moment,
    ) -> Option<Self> {
        (plan.idle_churn > 0.0).then(|| Self {
            start,
            schedule: Schedule::endless(plan.idle_churn / share.threads as f64),
            by_age: pool.collect(),
            connecting: 0,
        })
    }

    /// When the next connection is to be replaced.
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.schedule.peek().map(|due| self.start.after_ns(due.offset_ns))
    }

    /// Advances the schedule by one replacement. Returns whether its connect may be started.
    pub(super) fn take_due(&mut self) -> bool {
        self.schedule.next();
        self.connecting < UNANSWERED_MAX
    }

    /// The connect of a replacement is in progress.
    pub(super) fn connecting(&mut self) {
        self.connecting += 1;
    }

    /// The connect of a replacement is not in progress any more.
    pub(super) fn connect_ended(&mut self) {
        self.connecting -= 1;
    }

    /// The number of connects in progress.
    pub(super) fn unanswered(&self) -> u64 {
        self.connecting
    }

    /// The new connection takes the place of the oldest one that `close` can close. Returns whether there was one.
    pub(super) fn replace_oldest(&mut self, new: Key, close: impl FnMut(Key) -> bool) -> bool {
        let has_closed = std::iter::from_fn(|| self.by_age.pop_front()).any(close);
        self.by_age.push_back(new);
        has_closed
    }
}
