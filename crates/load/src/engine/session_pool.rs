//! Sessions like those of httperf (`--wsess N1,N2,X`, httperf(1)): a user makes a burst of calls, thinks, makes the next
//! burst, and so on until all calls of the session are made.
//!
//! The schedule determines when the first call of a session is due. The first call of a burst is made alone, like a page;
//! the others are made together when its reply has arrived, like the images of the page. The next burst is due a think
//! time after the last reply. So the arrival of users is an open loop, but the next action of a user waits for the server:
//! a partly open system. The latency of a call counts from the instant at which it is due in this sense.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::ops::Range;

use crate::accounting::session_stats::SessionStats;
use crate::clock::Moment;
use crate::plan::Sessions;

/// A session on a slot.
#[derive(Debug, Clone, Copy)]
struct Session {
    begun: Moment,
    /// The index of its first call in the schedule of all calls.
    first: u64,
    /// Calls that are not due yet.
    left: u64,
    /// Those of `left` that belong to the current burst.
    left_of_burst: u64,
    is_thinking: bool,
}

/// What a session does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NextStep {
    /// These calls are due now, by their indices in the schedule of all calls.
    Calls(Range<u64>),
    /// The user thinks. [`SessionPool::peek`] returns the slot when the think time has passed.
    Think,
    /// The session has ended.
    End,
}

/// The sessions of one thread.
#[derive(Debug)]
pub(super) struct SessionPool {
    plan: Sessions,
    /// The sessions by slot.
    sessions: Vec<Option<Session>>,
    /// The slots whose users think, and until when. All think times are equal, so a queue is enough.
    thinking: VecDeque<(Moment, u32)>,
    stats: SessionStats,
}

impl SessionPool {
    pub(super) fn new(plan: Sessions) -> Self {
        Self {
            plan,
            sessions: Vec::new(),
            thinking: VecDeque::new(),
            stats: SessionStats::default(),
        }
    }

    /// Starts the session with this number on a slot that has none. Its first call is due; returns the index of that call.
    pub(super) fn begin(&mut self, slot: u32, number: u64, now: Moment) -> u64 {
        let index = slot as usize;
        if self.sessions.len() <= index {
            self.sessions.resize(index + 1, None);
        }
        let first = number.wrapping_mul(self.plan.calls.get());
        let mut session = Session {
            begun: now,
            first,
            left: self.plan.calls.get(),
            left_of_burst: 0,
            is_thinking: false,
        };
        session.start_burst(self.plan.burst);
        self.sessions[index] = Some(session);
        self.stats.started += 1;
        first
    }

    /// The next step of a session whose due calls have all ended; `failures` of them got no good reply. `None` if there is no
    /// session on the slot, or its user is thinking.
    pub(super) fn next(&mut self, slot: u32, failures: u64, now: Moment) -> Option<NextStep> {
        let place = self.sessions.get_mut(slot as usize)?;
        let session = place.as_mut().filter(|session| !session.is_thinking)?;
        let (time_ns, due) = (now.since_ns(session.begun), self.plan.calls.get() - session.left);
        if failures > 0 {
            self.stats.failed(time_ns, due.saturating_sub(failures));
        } else if session.left == 0 {
            self.stats.completed(time_ns, due);
        } else if session.left_of_burst > 0 {
            let calls = std::mem::take(&mut session.left_of_burst);
            session.left -= calls;
            let next = session.first.wrapping_add(due);
            return Some(NextStep::Calls(next..next.wrapping_add(calls)));
        } else {
            session.is_thinking = true;
            self.thinking.push_back((now.after(self.plan.think), slot));
            return Some(NextStep::Think);
        }
        *place = None;
        Some(NextStep::End)
    }

    /// The first slot whose user stops thinking, and when.
    pub(super) fn peek(&self) -> Option<(Moment, u32)> {
        self.thinking.front().copied()
    }

    /// The user returned by [`SessionPool::peek`] makes the first call of a burst; returns the index of that call. `None` if
    /// no user thinks.
    pub(super) fn wake(&mut self) -> Option<u64> {
        let (_, slot) = self.thinking.pop_front()?;
        let session = self.sessions.get_mut(slot as usize)?.as_mut()?;
        let due = self.plan.calls.get() - session.left;
        session.start_burst(self.plan.burst);
        Some(session.first.wrapping_add(due))
    }

    pub(super) fn stats(&self) -> &SessionStats {
        &self.stats
    }
}

impl Session {
    /// The first call of a burst is due; the others of the burst follow.
    fn start_burst(&mut self, burst: NonZeroU64) {
        self.is_thinking = false;
        self.left_of_burst = burst.get().min(self.left) - 1;
        self.left -= 1;
    }
}
