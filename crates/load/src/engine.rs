//! The heart of a sending thread: which request goes out on which connection when, and how each one ends.
//!
//! The engine has no loop, no threads and no sockets of its own. Its driver calls [`Engine::step`] when time has passed
//! and [`Engine::event`] when a connection is ready; clock and connections come in as a [`World`]. So a whole run can
//! be played in virtual time.

use std::time::Duration;

use c10k_event::Readiness;
use c10k_http::reply::ReplyLimits;

use crate::account::{Account, Bounds, Outcome, Request, Standing};
use crate::clock::{Moment, duration_ns};
use crate::failure::Failure;
use crate::lane::{Deadlines, Lane};
use crate::plan::{LoadPlan, Pattern, Rate};
use crate::sessions::{Bench, Next, Tally};
use crate::share::{OwnSchedule, Route, Share};
use crate::traffic::Traffic;
use crate::world::{Link, World};

/// Due requests started between two looks at the events, so that a backlog does not delay the reading of replies.
const STARTS_AT_ONCE: usize = 64;
/// Bytes read at once. One buffer serves all connections of the thread.
const BUFFER_BYTES: usize = 64 * 1024;

/// When the phases of a run begin, the same for all threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timetable {
    pub(crate) start: Moment,
    pub(crate) measure: Moment,
    pub(crate) end: Moment,
}

impl Timetable {
    /// The timetable of `plan` from `start` on.
    pub(crate) fn new(plan: &LoadPlan, start: Moment) -> Self {
        let measure = start.after(plan.warm_up);
        Self {
            start,
            measure,
            end: measure.after(plan.duration),
        }
    }

    /// The timetable of a run that was asked to stop at `at`.
    pub(crate) fn cut(self, at: Moment) -> Self {
        let end = self.end.min(at.max(self.start));
        Self {
            measure: self.measure.min(end),
            end,
            ..self
        }
    }

    /// The measured time.
    pub(crate) fn measured(self) -> Duration {
        self.end.from_now(self.measure)
    }
}

/// What a request that is due comes from.
#[derive(Debug, Clone, Copy)]
enum Start {
    /// The schedule.
    Scheduled(Route),
    /// The session on this lane.
    AfterThinking(u32),
}

pub(crate) struct Engine<'p, W> {
    plan: &'p LoadPlan,
    share: Share,
    pub(crate) world: W,
    lanes: Vec<Lane>,
    /// Lanes that any request may take, where the pattern leaves the lane open.
    free: Vec<u32>,
    /// Lanes with bytes that were left unread so that others get their turn.
    unread: Vec<u32>,
    /// Lanes that are due their next request in a closed loop.
    next: Vec<u32>,
    /// The list that is being worked off; kept for its memory.
    working: Vec<u32>,
    schedule: Option<OwnSchedule>,
    sessions: Option<Bench>,
    /// Requests on one connection at once.
    depth: usize,
    deadlines: Deadlines,
    /// Requests on all lanes.
    outstanding: usize,
    account: Account,
    traffic: Traffic,
    limits: ReplyLimits,
    /// As many requests as a connection carries at once, one after the other.
    requests: Vec<u8>,
    buffer: Box<[u8]>,
    timetable: Timetable,
}

impl<'p, W: World> Engine<'p, W> {
    /// An engine for one thread's share of `plan`. Nothing is due before [`Engine::start`].
    pub(crate) fn new(plan: &'p LoadPlan, share: Share, world: W) -> Self {
        let body_bytes = plan.target.expected.body_bytes.unwrap_or(u64::MAX);
        let limits = ReplyLimits {
            body_bytes,
            ..ReplyLimits::default()
        };
        let lanes = share.of(plan.pattern.connections());
        let bounds = Bounds {
            timeout_ns: duration_ns(plan.timeout),
            late_ns: duration_ns(plan.lag_bound),
            duration_ns: duration_ns(plan.duration),
        };
        let never = Moment(u64::MAX);
        let (sessions, depth) = match plan.pattern {
            Pattern::Sessions(sessions) => (Some(Bench::new(sessions)), sessions.burst.get() as usize),
            _ => (None, plan.depth),
        };
        Self {
            plan,
            share,
            world,
            lanes: (0..lanes).map(|_| Lane::new(limits)).collect(),
            free: Vec::new(),
            unread: Vec::new(),
            next: Vec::new(),
            working: Vec::new(),
            schedule: None,
            sessions,
            depth,
            deadlines: Deadlines::new(plan.timeout),
            outstanding: 0,
            account: Account::new(bounds),
            traffic: Traffic::default(),
            limits,
            requests: plan.target.request.repeat(depth),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            timetable: Timetable {
                start: never,
                measure: never,
                end: never,
            },
        }
    }

    /// Sets the run going.
    pub(crate) fn start(&mut self, timetable: Timetable) {
        self.timetable = timetable;
        self.account.begin(timetable.measure);
        match self.plan.schedule() {
            Some(schedule) => self.schedule = Some(OwnSchedule::new(schedule, self.share, self.plan.pattern)),
            None => self.next.extend(0..self.lanes.len() as u32),
        }
    }

    /// From now on the run goes by this timetable, which ends earlier.
    pub(crate) fn cut(&mut self, timetable: Timetable) {
        self.timetable = timetable;
        self.account.cut(timetable.measure, timetable.measured());
    }

    /// Does everything that is to be done by now.
    pub(crate) fn step(&mut self) {
        let now = self.world.now();
        self.start_due(now);
        self.come_back(now);
        self.expire(now);
    }

    /// When the next request is due.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        self.next_start().map(|(due, _)| due)
    }

    /// The sessions, where the plan has them.
    pub(crate) fn sessions(&self) -> Option<&Tally> {
        self.sessions.as_ref().map(Bench::tally)
    }

    /// What is due next before the end of the run, and when.
    fn next_start(&self) -> Option<(Moment, Start)> {
        let scheduled = self.schedule.as_ref().and_then(OwnSchedule::peek);
        let scheduled =
            scheduled.map(|(due, route)| (self.timetable.start.after_ns(due.offset_ns), Start::Scheduled(route)));
        let woken = self.sessions.as_ref().and_then(Bench::peek);
        let woken = woken.map(|(due, lane)| (due, Start::AfterThinking(lane)));
        let starts = scheduled.into_iter().chain(woken);
        starts
            .min_by_key(|&(due, _)| due)
            .filter(|&(due, _)| due < self.timetable.end)
    }

    /// A moment before which no time limit passes.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.deadlines.next()
    }

    /// Whether there is something to do that waits for no event.
    pub(crate) fn is_busy(&self) -> bool {
        !self.unread.is_empty() || !self.next.is_empty()
    }

    /// Whether every request of the schedule has ended.
    pub(crate) fn is_drained(&self) -> bool {
        self.outstanding == 0 && self.next_due().is_none()
    }

    /// The books.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// What went over the wire.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Number of lanes so far.
    pub(crate) fn lane_count(&self) -> u32 {
        self.lanes.len() as u32
    }

    /// The state of a lane's connection.
    pub(crate) fn link(&self, index: u32) -> Option<Link> {
        self.lanes[index as usize].link
    }

    /// Connects a lane before any request is due on it.
    pub(crate) fn open_lane(&mut self, index: u32) -> Result<Link, Failure> {
        let begun = self.world.now();
        let link = self.world.connect(index)?;
        let lane = &mut self.lanes[index as usize];
        lane.link = Some(link);
        lane.begun = begun;
        if link == Link::Up {
            lane.up = self.world.now();
            self.traffic.connected(begun, lane.up);
        }
        Ok(link)
    }

    /// Closes a lane's connection.
    pub(crate) fn disconnect(&mut self, index: u32) {
        let lane = &mut self.lanes[index as usize];
        if lane.link == Some(Link::Up) {
            self.traffic.closed(lane.begun, lane.served, self.world.now());
        }
        if lane.disconnect(self.limits) {
            self.world.close(index);
        }
    }

    /// A lane's connection is ready for something.
    pub(crate) fn event(&mut self, index: u32, readiness: Readiness) {
        match self.lanes[index as usize].link {
            None => return,
            Some(Link::Connecting) => {
                if !(readiness.is_writable() || readiness.is_error()) {
                    return;
                }
                if let Err(failure) = self.world.connected(index) {
                    return self.fail(index, failure);
                }
                let lane = &mut self.lanes[index as usize];
                lane.link = Some(Link::Up);
                lane.up = self.world.now();
                self.traffic.connected(lane.begun, lane.up);
                self.pump(index);
            }
            Some(Link::Up) if readiness.is_writable() && self.lanes[index as usize].unwritten > 0 => self.pump(index),
            Some(Link::Up) => {}
        }
        if readiness.is_readable() || readiness.is_read_closed() || readiness.is_error() {
            self.read(index, readiness);
        }
    }

    /// A connect of the opening phase, or anything else under way on the lane, has failed.
    fn fail(&mut self, index: u32, failure: Failure) {
        self.end_all_sent(index, Outcome::Failed(failure));
        self.disconnect(index);
        self.settle(index);
    }

    fn start_due(&mut self, now: Moment) {
        for _ in 0..STARTS_AT_ONCE {
            let Some((scheduled, start)) = self.next_start().filter(|&(due, _)| due <= now) else {
                return;
            };
            let lane = match start {
                Start::Scheduled(route) => self.begin(route, scheduled),
                Start::AfterThinking(lane) => {
                    self.sessions.as_mut().map(Bench::wake);
                    lane
                }
            };
            self.take_up(lane, scheduled, 1);
        }
    }

    /// Takes the next request of the schedule; returns its lane.
    fn begin(&mut self, route: Route, scheduled: Moment) -> u32 {
        if let Some(own) = &mut self.schedule {
            own.advance();
        }
        let lane = match route {
            Route::Lane(lane) => lane as u32,
            Route::AnyFree => self.free_lane(),
        };
        if let Some(sessions) = &mut self.sessions {
            sessions.begin(lane, scheduled);
        }
        lane
    }

    fn free_lane(&mut self) -> u32 {
        let Some(index) = self.free.pop() else {
            self.lanes.push(Lane::new(self.limits));
            return self.lanes.len() as u32 - 1;
        };
        self.lanes[index as usize].is_free = false;
        index
    }

    /// Enters requests that are due and sends them as soon as their lane allows.
    fn take_up(&mut self, lane: u32, scheduled: Moment, count: u64) {
        let now = self.world.now();
        let counted = scheduled >= self.timetable.measure;
        let request = Request {
            scheduled,
            standing: if counted { Standing::Counted } else { Standing::WarmUp },
        };
        for _ in 0..count {
            self.account.due(request, now);
            self.lanes[lane as usize].push(request);
            self.outstanding += 1;
        }
        self.deadlines.watch(lane, &mut self.lanes[lane as usize]);
        self.settle(lane);
    }

    /// Returns to lanes with unread bytes, and starts the next requests of a closed loop.
    fn come_back(&mut self, now: Moment) {
        std::mem::swap(&mut self.unread, &mut self.working);
        while let Some(lane) = self.working.pop() {
            self.read(lane, Readiness::READABLE);
        }
        std::mem::swap(&mut self.next, &mut self.working);
        while let Some(lane) = self.working.pop() {
            if self.lanes[lane as usize].is_empty() && now < self.timetable.end {
                self.take_up(lane, self.world.now(), 1);
            }
        }
    }

    fn expire(&mut self, now: Moment) {
        while let Some(lane) = self.deadlines.expired(&mut self.lanes, now) {
            if self.lanes[lane as usize].on_wire() > 0 {
                // Those behind it in the pipeline cannot be answered either once the connection is given up.
                self.end_all_sent(lane, Outcome::TimedOut);
                self.disconnect(lane);
            } else if let Some(ticket) = self.lanes[lane as usize].pop_waiting() {
                self.not_sent(lane, ticket.request, now);
            }
            self.settle(lane);
        }
    }

    /// A request was given up that nothing was sent of.
    fn not_sent(&mut self, lane: u32, request: Request, now: Moment) {
        self.outstanding -= 1;
        self.account.never_sent(request, now);
        if let Some(sessions) = &mut self.sessions {
            sessions.fail(lane);
        }
    }

    /// Puts a lane to its next use: what waits on it, the next call of its session, the closed loop's next request, or
    /// the list of free lanes.
    fn settle(&mut self, index: u32) {
        if !self.lanes[index as usize].is_empty() {
            self.pump(index);
        }
        if !self.lanes[index as usize].is_empty() {
            return;
        }
        if let Some(sessions) = &mut self.sessions {
            let now = self.world.now();
            match sessions.next(index, now) {
                Some(Next::Calls(count)) if now < self.timetable.end => return self.take_up(index, now, count),
                Some(Next::Calls(_) | Next::Think) | None => return,
                Some(Next::Over) => self.disconnect(index),
            }
        }
        let lane = &mut self.lanes[index as usize];
        if self.plan.rate == Rate::Max {
            self.next.push(index);
        } else if self.plan.pattern.connections() == 0 && !lane.is_free {
            lane.is_free = true;
            self.free.push(index);
        }
    }

    /// Sends what the lane's connection may carry now, connecting first where there is none.
    fn pump(&mut self, index: u32) {
        loop {
            let link = self.lanes[index as usize].link;
            let result = match link {
                Some(Link::Connecting) => return,
                Some(Link::Up) => {
                    self.send_allowed(index);
                    self.flush(index)
                }
                // The connect belongs to the first request that waits: its send begins here.
                None if self.send_one(index) => match self.open_lane(index) {
                    Ok(Link::Connecting) => return,
                    Ok(Link::Up) => continue,
                    Err(failure) => Err(failure),
                },
                None => return,
            };
            match result {
                Ok(()) => return,
                Err(failure) => {
                    self.end_all_sent(index, Outcome::Failed(failure));
                    self.disconnect(index);
                }
            }
        }
    }

    fn send_allowed(&mut self, index: u32) {
        let limit = self
            .plan
            .pattern
            .per_connection()
            .map_or(u64::MAX, std::num::NonZero::get);
        loop {
            let lane = &self.lanes[index as usize];
            let on_wire = lane.on_wire();
            if on_wire >= self.depth || lane.served + on_wire as u64 >= limit || !self.send_one(index) {
                return;
            }
        }
    }

    /// Marks the next waiting request as sent; false when none waits. What is past its limit is not sent any more.
    fn send_one(&mut self, index: u32) -> bool {
        let now = self.world.now();
        loop {
            let lane = &mut self.lanes[index as usize];
            let Some(request) = lane.first_waiting() else {
                return false;
            };
            if request.scheduled.after(self.plan.timeout) > now {
                break;
            }
            if lane.pop_waiting().is_none() {
                // It is behind requests that are sent; its turn to expire comes with its deadline.
                return false;
            }
            self.not_sent(index, request, now);
        }
        let lane = &mut self.lanes[index as usize];
        let Some(request) = lane.send_next(now) else {
            return false;
        };
        lane.unwritten += self.plan.target.request.len();
        self.account.sent(request, now);
        true
    }

    /// Writes what is unwritten, as far as the connection takes it.
    fn flush(&mut self, index: u32) -> Result<(), Failure> {
        let length = self.plan.target.request.len();
        loop {
            let unwritten = self.lanes[index as usize].unwritten;
            if unwritten == 0 {
                return Ok(());
            }
            // All requests are the same bytes, so what is missing says where in a request to go on.
            let offset = (length - unwritten % length) % length;
            let end = self.requests.len().min(offset + unwritten);
            match self.world.write(index, &self.requests[offset..end])? {
                0 => return Ok(()),
                written => {
                    self.lanes[index as usize].unwritten -= written;
                    self.traffic.bytes_out += written as u64;
                }
            }
        }
    }

    /// The first request on the lane has ended.
    fn end_first(&mut self, index: u32, outcome: Outcome) {
        if let Some(ticket) = self.lanes[index as usize].pop_sent() {
            let now = self.world.now();
            self.outstanding -= 1;
            self.account.ended(ticket.request, ticket.sent, outcome, now);
            if outcome != Outcome::Completed
                && let Some(sessions) = &mut self.sessions
            {
                sessions.fail(index);
            }
        }
    }

    /// Every request that was sent on the lane has ended in the same way.
    fn end_all_sent(&mut self, index: u32, outcome: Outcome) {
        while self.lanes[index as usize].on_wire() > 0 {
            self.end_first(index, outcome);
        }
    }
}

mod replies;
#[cfg(test)]
mod tests;
