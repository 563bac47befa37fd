//! Decides which request is sent when and on which connection, and records how each one ends.
//!
//! The engine has no loop, no threads and no sockets. Its caller runs [`Engine::step`] when time has passed and
//! [`Engine::event`] when a connection is ready. Clock and connections are a [`World`](world::World), so a whole run can
//! be simulated in virtual time.

mod deadlines;
mod exchange;
mod session_pool;
mod slot;
#[cfg(test)]
mod tests;
pub(crate) mod world;

use std::ops::Range;

use c10k_event::Readiness;

use crate::accounting::failure::Failure;
use crate::accounting::request::{Outcome, Period, Request};
use crate::accounting::request_stats::RequestStats;
use crate::accounting::session_stats::SessionStats;
use crate::accounting::traffic::Traffic;
use crate::clock::Moment;
use crate::plan::{LoadPlan, Pattern, Rate};
use crate::schedule::arrivals::Schedule;
use crate::schedule::choices::Choices;
use crate::schedule::thread_share::{Route, ThreadSchedule, ThreadShare};
use crate::schedule::timetable::{Timetable, Window};
use deadlines::Deadlines;
use exchange::Exchange;
use session_pool::{NextStep, SessionPool};
use world::{Link, World};

/// The maximum number of due requests that a step starts, so that a backlog does not delay the reading of replies.
const STARTS_PER_STEP: usize = 64;

/// The origin of a request that is due.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// The schedule: the request or the session with this index.
    Scheduled(Route, u64),
    /// The session on this slot, after its think time.
    AfterThinking(u32),
}

/// The sending side of one thread.
pub(crate) struct Engine<'p, W> {
    plan: &'p LoadPlan,
    share: ThreadShare,
    timetable: Timetable,
    schedule: Option<ThreadSchedule>,
    /// Which request each index stands for.
    choices: Choices,
    sessions: Option<SessionPool>,
    exchange: Exchange<'p, W>,
    deadlines: Deadlines,
    /// Slots that any request may take, if the pattern does not determine the slot.
    free: Vec<u32>,
    /// Slots that send their next request in a closed loop.
    next: Vec<u32>,
    /// A list that is being processed; kept for its capacity.
    scratch: Vec<u32>,
}

impl<'p, W: World> Engine<'p, W> {
    /// An engine for one thread's share of `plan`. No request is due before [`Engine::start`].
    pub(crate) fn new(plan: &'p LoadPlan, share: ThreadShare, world: W) -> Self {
        let (sessions, depth) = match plan.pattern {
            Pattern::Sessions(sessions) => (Some(SessionPool::new(sessions)), sessions.burst.get() as usize),
            Pattern::RoundRobin { .. } | Pattern::OnDemand { .. } => (None, plan.depth),
        };
        Self {
            plan,
            share,
            timetable: Timetable::NEVER,
            schedule: None,
            choices: Choices::new(&plan.target.rows, plan.seed),
            sessions,
            exchange: Exchange::new(plan, share.of(plan.pattern.connections()), depth, world),
            deadlines: Deadlines::new(plan.timeout),
            free: Vec::new(),
            next: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Starts a window. All requests of an earlier one have ended; its connections stay as they are, and counting starts
    /// from zero.
    pub(crate) fn start(&mut self, window: Window) {
        self.timetable = window.timetable;
        self.exchange.stats.restart(window.timetable.measure);
        if let Some(width) = self.plan.slice {
            self.exchange.stats.set_slices(width);
        }
        self.next.clear();
        self.choices = Choices::new(&self.plan.target.rows, window.seed);
        self.exchange.slots.iter_mut().for_each(|slot| slot.due = 0);
        match Schedule::of_plan(self.plan, window.seed) {
            Some(schedule) => self.schedule = Some(ThreadSchedule::new(schedule, self.share, self.plan.pattern)),
            None => self.next.extend(0..self.slot_count()),
        }
    }

    /// Replaces the timetable by one that ends earlier.
    pub(crate) fn cut(&mut self, timetable: Timetable) {
        self.timetable = timetable;
        self.exchange.stats.cut(timetable.measure, timetable.measured());
    }

    /// Starts the requests that are due, resumes slots that had to wait for others, and expires requests.
    pub(crate) fn step(&mut self) {
        let now = self.exchange.world.now();
        self.start_due(now);
        self.resume_slots(now);
        self.expire(now);
    }

    /// Handles an event of a slot's connection.
    pub(crate) fn event(&mut self, index: u32, readiness: Readiness) {
        if self.exchange.event(index, readiness) {
            self.advance_slot(index);
        }
    }

    /// Connects a slot before any request is due on it.
    pub(crate) fn open_slot(&mut self, index: u32) -> Result<Link, Failure> {
        self.exchange.open_slot(index)
    }

    /// Closes a slot's connection.
    pub(crate) fn disconnect(&mut self, index: u32) {
        self.exchange.disconnect(index);
    }

    /// When the next request is due.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        self.next_start().map(|(due, _)| due)
    }

    /// A moment before which no request expires.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.deadlines.next()
    }

    /// Whether the next step has work that needs no event.
    pub(crate) fn is_busy(&self) -> bool {
        self.exchange.has_unread() || !self.next.is_empty()
    }

    /// Whether every request of the schedule has ended.
    pub(crate) fn is_drained(&self) -> bool {
        self.exchange.outstanding == 0 && self.next_due().is_none()
    }

    /// The counts and latencies of the requests.
    pub(crate) fn stats(&self) -> &RequestStats {
        &self.exchange.stats
    }

    /// The counts of connections and bytes.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.exchange.traffic
    }

    /// The sessions, if the plan has any.
    pub(crate) fn sessions(&self) -> Option<&SessionStats> {
        self.sessions.as_ref().map(SessionPool::stats)
    }

    /// The connections.
    pub(crate) fn world(&self) -> &W {
        &self.exchange.world
    }

    /// The connections.
    pub(crate) fn world_mut(&mut self) -> &mut W {
        &mut self.exchange.world
    }

    /// The number of slots so far.
    pub(crate) fn slot_count(&self) -> u32 {
        self.exchange.slots.len() as u32
    }

    /// The state of a slot's connection.
    pub(crate) fn link(&self, index: u32) -> Option<Link> {
        self.exchange.slots[index as usize].link
    }

    /// Slots that never had a connection, although none of their requests failed to open it.
    pub(crate) fn unopened(&self) -> u64 {
        self.exchange.slots.iter().filter(|slot| slot.is_unopened()).count() as u64
    }

    /// The next request before the end of the run, and when it is due.
    fn next_start(&self) -> Option<(Moment, Start)> {
        let scheduled = self.schedule.as_ref().and_then(ThreadSchedule::peek);
        let scheduled = scheduled.map(|(due, route)| {
            let at = self.timetable.start.after_ns(due.offset_ns);
            (at, Start::Scheduled(route, due.index))
        });
        let woken = self.sessions.as_ref().and_then(SessionPool::peek);
        let woken = woken.map(|(due, slot)| (due, Start::AfterThinking(slot)));
        let starts = scheduled.into_iter().chain(woken);
        starts
            .min_by_key(|&(due, _)| due)
            .filter(|&(due, _)| due < self.timetable.end)
    }

    fn start_due(&mut self, now: Moment) {
        for _ in 0..STARTS_PER_STEP {
            let Some((scheduled, start)) = self.next_start().filter(|&(due, _)| due <= now) else {
                return;
            };
            let (slot, index) = match start {
                Start::Scheduled(route, index) => self.take_scheduled(route, index, scheduled),
                Start::AfterThinking(slot) => {
                    let index = self.sessions.as_mut().and_then(SessionPool::wake);
                    (slot, index.expect("the session on this slot thinks"))
                }
            };
            self.enqueue(slot, scheduled, index..index.wrapping_add(1));
        }
    }

    /// Takes the next request or session of the schedule; returns its slot, and the index of the request that is due.
    fn take_scheduled(&mut self, route: Route, index: u64, scheduled: Moment) -> (u32, u64) {
        if let Some(schedule) = &mut self.schedule {
            schedule.advance();
        }
        let slot = match route {
            Route::Slot(slot) => slot as u32,
            Route::AnyFree => self.free_slot(),
        };
        let Some(sessions) = &mut self.sessions else {
            return (slot, index);
        };
        self.exchange.slots[slot as usize].failures = 0;
        (slot, sessions.begin(slot, index, scheduled))
    }

    fn free_slot(&mut self) -> u32 {
        let Some(index) = self.free.pop() else {
            return self.exchange.add_slot();
        };
        self.exchange.slots[index as usize].is_free = false;
        index
    }

    /// Adds the requests with these indices, which are due, to a slot's queue. They are sent as soon as the slot allows.
    fn enqueue(&mut self, index: u32, scheduled: Moment, indices: Range<u64>) {
        let is_measured = scheduled >= self.timetable.measure;
        let period = if is_measured { Period::Measured } else { Period::Warmup };
        let requests = indices.map(|index| Request {
            scheduled,
            period,
            choice: self.choices.at(index),
        });
        self.exchange.enqueue(index, requests);
        self.deadlines.register(index, &mut self.exchange.slots[index as usize]);
        self.advance_slot(index);
    }

    /// Resumes slots with unread bytes, and starts the next requests of a closed loop.
    fn resume_slots(&mut self, now: Moment) {
        self.exchange.take_unread(&mut self.scratch);
        while let Some(slot) = self.scratch.pop() {
            self.exchange.read(slot, Readiness::READABLE);
            self.advance_slot(slot);
        }
        std::mem::swap(&mut self.next, &mut self.scratch);
        while let Some(slot) = self.scratch.pop() {
            if self.exchange.slots[slot as usize].is_empty() && now < self.timetable.end {
                let index = self.index_in_closed_loop(slot);
                self.enqueue(slot, self.exchange.world.now(), index..index.wrapping_add(1));
            }
        }
    }

    /// The index of the next request of a slot in a closed loop: connection c of n makes the requests c, c + n, c + 2n, …,
    /// whichever thread it belongs to.
    fn index_in_closed_loop(&self, slot: u32) -> u64 {
        let connection = u64::from(slot) * self.share.threads + self.share.thread;
        let made = self.exchange.slots[slot as usize].due;
        made.wrapping_mul(self.plan.pattern.connections())
            .wrapping_add(connection)
    }

    /// Ends the requests that have reached their time limit.
    fn expire(&mut self, now: Moment) {
        while let Some(slot) = self.deadlines.expired(&mut self.exchange.slots, now) {
            if self.exchange.slots[slot as usize].on_wire() > 0 {
                // The connection is closed, so the requests that were pipelined on it get no reply either.
                self.exchange.finish_all_sent(slot, Outcome::TimedOut);
                self.exchange.disconnect(slot);
            } else {
                self.exchange.give_up_unsent(slot, now);
            }
            self.advance_slot(slot);
        }
    }

    /// Gives a slot its next work: its waiting requests, the next calls of its session, or the next request of a closed
    /// loop. A slot without work becomes free.
    fn advance_slot(&mut self, index: u32) {
        if !self.exchange.slots[index as usize].is_empty() {
            self.exchange.send_pending(index);
        }
        let slot = &mut self.exchange.slots[index as usize];
        if !slot.is_empty() {
            return;
        }
        if let Some(sessions) = &mut self.sessions {
            let now = self.exchange.world.now();
            match sessions.next(index, slot.failures, now) {
                Some(NextStep::Calls(calls)) if now < self.timetable.end => return self.enqueue(index, now, calls),
                Some(NextStep::Calls(_) | NextStep::Think) | None => return,
                Some(NextStep::End) => {
                    if slot.failures == 0 {
                        self.exchange.stats.session_completed(now);
                    }
                    self.exchange.disconnect(index);
                }
            }
        }
        let slot = &mut self.exchange.slots[index as usize];
        if self.plan.rate == Rate::Max {
            self.next.push(index);
        } else if self.plan.pattern.connections() == 0 && !slot.is_free {
            slot.is_free = true;
            self.free.push(index);
        }
    }
}
