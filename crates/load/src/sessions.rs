//! Sessions as httperf has them (`--wsess N1,N2,X`, httperf(1)): a user makes a burst of calls, thinks, and makes the
//! next one, until all calls of the session are made.
//!
//! The first call of a session is due when the schedule says so. Within a burst the first call goes alone, as a page
//! does, and the others go together when its reply is there, as the page's images do; the next burst is due a think time
//! after the last reply. So the arrival of users is an open loop, and what a user does next waits for the server: a
//! partly open system. Latency counts from the instant at which a call was due in this sense.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use c10k_record::SessionTotals;

use crate::clock::Moment;
use crate::histogram::Durations;

/// What every session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// Sessions at most.
    pub total: NonZeroU64,
    /// Calls of a session.
    pub calls: NonZeroU64,
    /// Calls of a burst; the last one of a session may be shorter.
    pub burst: NonZeroU64,
    /// From the last reply of a burst to the first call of the next.
    pub think: Duration,
}

/// One session on its lane.
#[derive(Debug, Clone, Copy)]
struct Session {
    begun: Moment,
    /// Calls that were not due yet.
    left: u64,
    /// Of those, calls of the burst that has begun.
    left_of_burst: u64,
    is_thinking: bool,
    has_failed: bool,
}

/// What comes after the calls that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// So many calls are due now.
    Calls(u64),
    /// The user thinks; [`Bench::wake`] tells when that is over.
    Think,
    /// Nothing: the session is over.
    Over,
}

/// The sessions of one thread.
#[derive(Debug)]
pub(crate) struct Bench {
    plan: Sessions,
    /// By lane.
    sessions: Vec<Option<Session>>,
    /// Lanes whose users think; as all think for the same time, a queue.
    thinking: VecDeque<(Moment, u32)>,
    tally: Tally,
}

/// What became of the sessions.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Sessions begun.
    pub started: u64,
    /// Sessions all of whose calls were answered.
    pub completed: u64,
    /// Sessions that ended with a call that failed.
    pub failed: u64,
    /// From the begin to the last reply, of completed sessions.
    pub lifetime: Durations,
}

impl Tally {
    /// Adds the sessions of another thread.
    pub fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.completed += other.completed;
        self.failed += other.failed;
        self.lifetime.add(&other.lifetime);
    }

    /// For the record: those that are neither complete nor failed were cut off by the end of the run.
    #[must_use]
    pub fn totals(&self) -> SessionTotals {
        SessionTotals {
            started: self.started,
            completed: self.completed,
            failed: self.failed,
            cut_off: self.started - self.completed - self.failed,
            lifetime_ns: self.lifetime.summary(),
        }
    }
}

impl Bench {
    pub(crate) fn new(plan: Sessions) -> Self {
        Self {
            plan,
            sessions: Vec::new(),
            thinking: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// A session begins on a lane that has none; its first call is due.
    pub(crate) fn begin(&mut self, lane: u32, now: Moment) {
        let index = lane as usize;
        if self.sessions.len() <= index {
            self.sessions.resize(index + 1, None);
        }
        let mut session = Session {
            begun: now,
            left: self.plan.calls.get(),
            left_of_burst: 0,
            is_thinking: false,
            has_failed: false,
        };
        session.call_first(self.plan.burst);
        self.sessions[index] = Some(session);
        self.tally.started += 1;
    }

    /// A call on this lane has got no good reply: the session ends with the calls that are under way.
    pub(crate) fn fail(&mut self, lane: u32) {
        if let Some(Some(session)) = self.sessions.get_mut(lane as usize) {
            session.has_failed = true;
        }
    }

    /// Every call that was due on this lane has ended. What comes next; `None` where no session is on the lane, or its
    /// user is thinking already.
    pub(crate) fn next(&mut self, lane: u32, now: Moment) -> Option<Next> {
        let place = self.sessions.get_mut(lane as usize)?;
        let session = place.as_mut().filter(|session| !session.is_thinking)?;
        if session.has_failed {
            self.tally.failed += 1;
        } else if session.left == 0 {
            self.tally.completed += 1;
            self.tally.lifetime.record(now.since_ns(session.begun));
        } else if session.left_of_burst > 0 {
            let calls = std::mem::take(&mut session.left_of_burst);
            session.left -= calls;
            return Some(Next::Calls(calls));
        } else {
            session.is_thinking = true;
            self.thinking.push_back((now.after(self.plan.think), lane));
            return Some(Next::Think);
        }
        *place = None;
        Some(Next::Over)
    }

    /// When the first user has thought enough, and on which lane.
    pub(crate) fn peek(&self) -> Option<(Moment, u32)> {
        self.thinking.front().copied()
    }

    /// The user of [`Bench::peek`] makes the first call of a burst.
    pub(crate) fn wake(&mut self) {
        if let Some((_, lane)) = self.thinking.pop_front()
            && let Some(Some(session)) = self.sessions.get_mut(lane as usize)
        {
            session.call_first(self.plan.burst);
        }
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }
}

impl Session {
    /// The first call of a burst is due, and the others of the burst will be.
    fn call_first(&mut self, burst: NonZeroU64) {
        self.is_thinking = false;
        self.left_of_burst = burst.get().min(self.left) - 1;
        self.left -= 1;
    }
}
