//! The heart of a sending thread: which request goes out on which connection when, and how each one ends.
//!
//! The engine has no loop, no threads and no sockets of its own. Its driver calls [`Engine::step`] when time has passed
//! and [`Engine::event`] when a connection is ready; clock and connections come in as a [`World`]. So a whole run can
//! be played in virtual time.

use c10k_event::Readiness;
use c10k_http::reply::{Persistence, Progress, Reply, ReplyLimits};

use crate::account::{Account, Bounds, Outcome, Request, Standing};
use crate::clock::{Moment, duration_ns};
use crate::failure::Failure;
use crate::fingerprint::Fingerprint;
use crate::lane::{Deadlines, Lane};
use crate::plan::{LoadPlan, Rate};
use crate::share::{OwnSchedule, Route, Share};
use crate::traffic::Traffic;
use crate::world::{Got, Link, World};

/// Due requests started between two looks at the events, so that a backlog does not delay the reading of replies.
const STARTS_AT_ONCE: usize = 64;
/// Bytes read at once. One buffer serves all connections of the thread.
const BUFFER_BYTES: usize = 64 * 1024;
/// Reads from one connection before the others get their turn.
const READS_AT_ONCE: usize = 16;

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

/// Whether a connection goes on after what was read from it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Open,
    Close,
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
            deadlines: Deadlines::default(),
            outstanding: 0,
            account: Account::new(bounds),
            traffic: Traffic::default(),
            limits,
            requests: plan.target.request.repeat(plan.depth),
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

    /// Does everything that is to be done by now.
    pub(crate) fn step(&mut self) {
        let now = self.world.now();
        self.start_due(now);
        self.come_back(now);
        self.expire(now);
    }

    /// When the next request is due.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        let (due, _) = self.schedule.as_ref()?.peek()?;
        Some(self.timetable.start.after_ns(due.offset_ns))
    }

    /// When the next time limit passes.
    pub(crate) fn next_deadline(&mut self) -> Option<Moment> {
        self.deadlines.next(&self.lanes)
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
            let Some(own) = self.schedule.as_mut() else { return };
            let Some((due, route)) = own.peek() else { return };
            let scheduled = self.timetable.start.after_ns(due.offset_ns);
            if scheduled > now {
                return;
            }
            own.advance();
            let lane = match route {
                Route::Lane(lane) => lane as u32,
                Route::AnyFree => self.free_lane(),
            };
            self.take_up(lane, scheduled, self.world.now());
        }
    }

    fn free_lane(&mut self) -> u32 {
        let Some(index) = self.free.pop() else {
            self.lanes.push(Lane::new(self.limits));
            return self.lanes.len() as u32 - 1;
        };
        self.lanes[index as usize].is_free = false;
        index
    }

    /// Enters a request that is due and sends it as soon as its lane allows.
    fn take_up(&mut self, lane: u32, scheduled: Moment, now: Moment) {
        let counted = scheduled >= self.timetable.measure;
        let request = Request {
            scheduled,
            standing: if counted { Standing::Counted } else { Standing::WarmUp },
        };
        self.account.due(request, now);
        let serial = self.lanes[lane as usize].push(request);
        self.deadlines.push(scheduled.after(self.plan.timeout), lane, serial);
        self.outstanding += 1;
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
                let due = self.world.now();
                self.take_up(lane, due, due);
            }
        }
    }

    fn expire(&mut self, now: Moment) {
        while let Some(lane) = self.deadlines.expired(&self.lanes, now) {
            if self.lanes[lane as usize].on_wire() > 0 {
                // Those behind it in the pipeline cannot be answered either once the connection is given up.
                self.end_all_sent(lane, Outcome::TimedOut);
                self.disconnect(lane);
            } else if let Some(ticket) = self.lanes[lane as usize].pop_waiting() {
                self.outstanding -= 1;
                self.account.never_sent(ticket.request, now);
            }
            self.settle(lane);
        }
    }

    /// Puts a lane to its next use: what waits on it, the closed loop's next request, or the list of free lanes.
    fn settle(&mut self, index: u32) {
        if !self.lanes[index as usize].is_empty() {
            self.pump(index);
        }
        let lane = &mut self.lanes[index as usize];
        if !lane.is_empty() {
            return;
        }
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
            if on_wire >= self.plan.depth || lane.served + on_wire as u64 >= limit || !self.send_one(index) {
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
            self.outstanding -= 1;
            self.account.never_sent(request, now);
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

    /// Reads replies until the connection is empty, within bounds.
    fn read(&mut self, index: u32, readiness: Readiness) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut after = After::Open;
        for turn in 0.. {
            if self.lanes[index as usize].link != Some(Link::Up) {
                break;
            }
            if turn == READS_AT_ONCE {
                self.unread.push(index);
                break;
            }
            match self.world.read(index, &mut buffer) {
                Ok(Got::Nothing) => break,
                Ok(Got::End) => after = self.end_of_stream(index),
                Ok(Got::Bytes(length)) => {
                    self.note_bytes(index, length);
                    after = self.take_bytes(index, &buffer[..length]);
                    // A short read has emptied the socket; only an end that was already known is still to be read.
                    if length < buffer.len() && !readiness.is_read_closed() && !readiness.is_error() {
                        break;
                    }
                }
                Err(failure) => {
                    self.end_all_sent(index, Outcome::Failed(failure));
                    after = After::Close;
                }
            }
            if after == After::Close {
                break;
            }
        }
        self.buffer = buffer;
        if after == After::Close {
            // What was sent behind the reply that ended the connection gets no answer.
            self.end_all_sent(index, Outcome::Failed(Failure::Truncated));
            self.disconnect(index);
        }
        self.settle(index);
    }

    /// Notes what was read, and when a reply begins with it.
    fn note_bytes(&mut self, index: u32, length: usize) {
        self.traffic.bytes_in += length as u64;
        let lane = &self.lanes[index as usize];
        if !lane.parser.in_reply()
            && let Some(sent) = lane.first_sent()
        {
            // The send of a request that made its connection began with the connect, which is no part of the response.
            self.traffic
                .response
                .record(self.world.now().since_ns(sent.max(lane.up)));
        }
    }

    fn take_bytes(&mut self, index: u32, bytes: &[u8]) -> After {
        let mut rest = bytes;
        while !rest.is_empty() {
            let lane = &mut self.lanes[index as usize];
            if lane.on_wire() == 0 {
                // Bytes that nothing asked for: there is no request to blame, and the stream is out of step.
                return After::Close;
            }
            let verified = self.plan.target.expected.body.is_some();
            let Lane { parser, body, .. } = lane;
            let progress = parser.feed(rest, |bytes| {
                if verified {
                    body.take(bytes);
                }
            });
            match progress {
                Ok(Progress::Partial) => return After::Open,
                Ok(Progress::Complete { reply, consumed }) => {
                    rest = &rest[consumed..];
                    let surplus = !rest.is_empty() && lane.on_wire() == 1;
                    let outcome = if surplus {
                        Outcome::Failed(Failure::BadLength)
                    } else {
                        self.judge(index, reply)
                    };
                    if self.replied(index, reply, outcome) == After::Close {
                        return After::Close;
                    }
                }
                Err(error) => {
                    self.end_first(index, Outcome::Failed(error.into()));
                    return After::Close;
                }
            }
        }
        After::Open
    }

    fn end_of_stream(&mut self, index: u32) -> After {
        let lane = &mut self.lanes[index as usize];
        if lane.on_wire() > 0 {
            let outcome = match lane.parser.end() {
                Ok(reply) => {
                    lane.served += 1;
                    self.traffic.replied(reply.status, reply.body_bytes);
                    self.judge(index, reply)
                }
                Err(error) => Outcome::Failed(error.into()),
            };
            self.end_first(index, outcome);
        }
        After::Close
    }

    fn replied(&mut self, index: u32, reply: Reply, outcome: Outcome) -> After {
        self.end_first(index, outcome);
        self.traffic.replied(reply.status, reply.body_bytes);
        let lane = &mut self.lanes[index as usize];
        lane.served += 1;
        let spent = self
            .plan
            .pattern
            .per_connection()
            .is_some_and(|limit| lane.served >= limit.get());
        let broken = !matches!(outcome, Outcome::Completed | Outcome::Failed(Failure::BadStatus));
        if spent || broken || reply.persistence == Persistence::Close {
            After::Close
        } else {
            After::Open
        }
    }

    fn judge(&mut self, index: u32, reply: Reply) -> Outcome {
        let body = std::mem::replace(&mut self.lanes[index as usize].body, Fingerprint::EMPTY);
        let expected = &self.plan.target.expected;
        if !(200..300).contains(&reply.status) {
            Outcome::Failed(Failure::BadStatus)
        } else if expected.body_bytes.is_some_and(|expected| expected != reply.body_bytes) {
            Outcome::Failed(Failure::BadLength)
        } else if expected.body.is_some_and(|expected| expected != body) {
            Outcome::Failed(Failure::BadBody)
        } else {
            Outcome::Completed
        }
    }

    /// The first request on the lane has ended.
    fn end_first(&mut self, index: u32, outcome: Outcome) {
        if let Some(ticket) = self.lanes[index as usize].pop_sent() {
            let now = self.world.now();
            self.outstanding -= 1;
            self.account.ended(ticket.request, ticket.sent, outcome, now);
        }
    }

    /// Every request that was sent on the lane has ended in the same way.
    fn end_all_sent(&mut self, index: u32, outcome: Outcome) {
        while self.lanes[index as usize].on_wire() > 0 {
            self.end_first(index, outcome);
        }
    }
}

#[cfg(test)]
mod tests;
