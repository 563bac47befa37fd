//! Opening connections before the run, at a limited pace.
//!
//! Connects are started at the planned rate, and the number of unanswered ones is limited: a listener whose queue is full
//! drops the SYN, and the kernel repeats it only after a second.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crate::accounting::failure::Failure;
use crate::clock::Moment;
use crate::schedule::arrivals::Schedule;

/// The maximum number of unanswered connects on a thread.
const UNANSWERED_MAX: u64 = 128;
/// If no connection was established for this long, the remaining ones are given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(8);

/// Failed connects of the opening phase by kind. Connects that were given up unanswered are counted as
/// [`Failure::SocketTimeout`].
pub(crate) type OpeningFailures = BTreeMap<Failure, u64>;

/// A connection to be opened.
pub(super) enum ToOpen {
    /// One for the idle pool.
    Idle,
    /// That of a slot.
    Slot(u32),
}

/// The connections that one thread opens before the run.
pub(super) struct Opening {
    start: Moment,
    pace: Schedule,
    idle_left: u64,
    slots_left: Range<u32>,
    unanswered: u64,
    last_progress: Moment,
    failures: OpeningFailures,
}

impl Opening {
    /// Opens `idle` idle connections and then those of `slots`, `per_second` in a second.
    pub(super) fn new(idle: u64, slots: Range<u32>, per_second: f64, start: Moment) -> Self {
        Self {
            start,
            pace: Schedule::endless(per_second),
            idle_left: idle,
            slots_left: slots,
            unanswered: 0,
            last_progress: start,
            failures: OpeningFailures::new(),
        }
    }

    /// When the next connect may be started; `None` if none may be started now.
    pub(super) fn next_due(&self) -> Option<Moment> {
        let is_left = self.idle_left > 0 || !self.slots_left.is_empty();
        let due = self.pace.peek().map(|due| self.start.after_ns(due.offset_ns));
        due.filter(|_| is_left && self.unanswered < UNANSWERED_MAX)
    }

    /// The next connection to be opened.
    pub(super) fn take_next(&mut self) -> Option<ToOpen> {
        self.pace.next();
        if self.idle_left > 0 {
            self.idle_left -= 1;
            return Some(ToOpen::Idle);
        }
        self.slots_left.next().map(ToOpen::Slot)
    }

    /// A connect is in progress.
    pub(super) fn connecting(&mut self) {
        self.unanswered += 1;
    }

    /// A connect is not in progress any more.
    pub(super) fn connect_ended(&mut self) {
        self.unanswered -= 1;
    }

    /// A connection was established.
    pub(super) fn established(&mut self, now: Moment) {
        self.last_progress = now;
    }

    /// `count` connects have failed.
    pub(super) fn failed(&mut self, failure: Failure, count: u64) {
        if count > 0 {
            *self.failures.entry(failure).or_insert(0) += count;
        }
        if matches!(failure, Failure::NoDescriptor | Failure::NoAddress) {
            // Descriptors and ports that become free are needed for the slots.
            let given_up = self.give_up_idle();
            if given_up > 0 {
                *self.failures.entry(failure).or_insert(0) += given_up;
            }
        }
    }

    /// Gives up the idle connections that were not started; returns their number.
    pub(super) fn give_up_idle(&mut self) -> u64 {
        std::mem::take(&mut self.idle_left)
    }

    /// When the remaining connections are given up.
    pub(super) fn give_up_at(&self) -> Moment {
        self.last_progress.after(GIVE_UP_AFTER)
    }

    /// Whether every connect has ended.
    pub(super) fn is_complete(&self) -> bool {
        self.idle_left == 0 && self.slots_left.is_empty() && self.unanswered == 0
    }

    pub(super) fn into_failures(self) -> OpeningFailures {
        self.failures
    }
}
