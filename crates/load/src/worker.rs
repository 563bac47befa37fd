//! One sending thread: an interest set, its lanes, its idle connections, its books.

use std::time::Duration;

use c10k_event::{Events, Interest, InterestSet, Key, Mechanism, Readiness, Trigger};
use c10k_http::reply::{Persistence, Progress, Reply, ReplyLimits};
use rustix::thread::set_current_timer_slack;

use crate::LoadError;
use crate::account::{Account, Bounds, Outcome, Request, Standing};
use crate::clock::{Moment, duration_ns, thread_cpu_ns};
use crate::failure::Failure;
use crate::idle::IdleCount;
use crate::lane::{Deadlines, Lane};
use crate::pacing::Wait;
use crate::plan::{LoadPlan, Rate};
use crate::schedule::Schedule;
use crate::share::{OwnSchedule, Route, Share};
use crate::socket::{Link, Role, Socket};
use crate::sources::Sources;

/// Events fetched at once.
const BATCH: usize = 256;
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

/// What one thread found.
#[derive(Debug)]
pub(crate) struct WorkerReport {
    pub(crate) account: Account,
    pub(crate) idle: IdleCount,
    /// CPU time over the measured time, waiting by polling excluded, nanoseconds.
    pub(crate) cpu_ns: u64,
}

pub(crate) struct Worker<'p> {
    pub(crate) plan: &'p LoadPlan,
    pub(crate) share: Share,
    pub(crate) set: InterestSet<Socket>,
    pub(crate) events: Events,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) idle: IdleCount,
    pub(crate) sources: Sources,
    free: Vec<u32>,
    /// Lanes with bytes that were left unread so that others get their turn.
    unread: Vec<u32>,
    /// Lanes that are due their next request in a closed loop.
    next: Vec<u32>,
    /// The list that is being worked off; kept for its memory.
    working: Vec<u32>,
    deadlines: Deadlines,
    /// Requests on all lanes.
    outstanding: usize,
    account: Account,
    limits: ReplyLimits,
    buffer: Box<[u8]>,
    timetable: Timetable,
    meter: CpuMeter,
}

/// CPU time of the thread over the measured time.
#[derive(Debug, Default)]
struct CpuMeter {
    at_measure: Option<u64>,
    at_end: Option<u64>,
    /// Time spent polling for the next instant with nothing to do, within the measured time.
    idled_ns: u64,
}

/// Whether a connection goes on after what was read from it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Open,
    Close,
}

impl<'p> Worker<'p> {
    /// A worker in the calling thread. `idle` is this thread's part of the idle pool.
    pub(crate) fn new(plan: &'p LoadPlan, share: Share, idle: u64, sources: Sources) -> Result<Self, LoadError> {
        // The default slack of 50 µs would be added to every sleep; a refusal costs precision that send lag shows.
        let _ = set_current_timer_slack(std::num::NonZeroU64::new(1));
        let mechanism = Mechanism::named("epoll-edge").expect("a mechanism of every Linux");
        let limits = ReplyLimits {
            body_bytes: plan.target.expected.body_bytes.unwrap_or(u64::MAX),
            ..Default::default()
        };
        let lanes = share.of(plan.pattern.connections());
        Ok(Self {
            plan,
            share,
            set: InterestSet::open(mechanism)?,
            events: Events::with_capacity(BATCH),
            lanes: (0..lanes).map(|_| Lane::new(limits)).collect(),
            idle: IdleCount::new(idle),
            sources,
            free: Vec::new(),
            unread: Vec::new(),
            next: Vec::new(),
            working: Vec::new(),
            deadlines: Deadlines::default(),
            outstanding: 0,
            account: Account::new(Bounds {
                timeout_ns: duration_ns(plan.timeout),
                late_ns: duration_ns(plan.lag_bound),
            }),
            limits,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            timetable: Timetable {
                start: Moment(u64::MAX),
                measure: Moment(u64::MAX),
                end: Moment(u64::MAX),
            },
            meter: CpuMeter::default(),
        })
    }

    /// Sends by the timetable until every request has ended.
    pub(crate) fn run(&mut self, timetable: Timetable) -> Result<WorkerReport, LoadError> {
        self.timetable = timetable;
        let mut own = self.own_schedule();
        if own.is_none() {
            self.next.extend(0..self.lanes.len() as u32);
        }
        loop {
            let now = Moment::now();
            self.cross_phases(now);
            self.start_due(own.as_mut(), now);
            self.come_back(now);
            self.expire(now);
            let due = own
                .as_ref()
                .and_then(OwnSchedule::peek)
                .map(|(due, _)| timetable.start.after_ns(due.offset_ns));
            if due.is_none() && self.outstanding == 0 && self.meter.at_end.is_some() {
                break;
            }
            self.wait(due)?;
        }
        Ok(WorkerReport {
            account: self.account.clone(),
            idle: self.idle,
            cpu_ns: self.meter.busy_ns(),
        })
    }

    fn own_schedule(&self) -> Option<OwnSchedule> {
        let Rate::PerSecond(rate) = self.plan.rate else {
            return None;
        };
        let span = self.plan.warm_up + self.plan.duration;
        let schedule = Schedule::new(self.plan.arrival, rate, span, self.plan.seed);
        Some(OwnSchedule::new(schedule, self.share, self.plan.pattern))
    }

    fn cross_phases(&mut self, now: Moment) {
        if self.meter.at_measure.is_none() && now >= self.timetable.measure {
            self.meter.at_measure = Some(thread_cpu_ns());
            self.idle.measure();
        }
        if self.meter.at_end.is_none() && now >= self.timetable.end {
            self.meter.at_end = Some(thread_cpu_ns());
            self.idle.stop();
        }
    }

    fn start_due(&mut self, own: Option<&mut OwnSchedule>, now: Moment) {
        let Some(own) = own else { return };
        for _ in 0..STARTS_AT_ONCE {
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
            self.take_up(lane, scheduled);
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
    fn take_up(&mut self, lane: u32, scheduled: Moment) {
        let counted = scheduled >= self.timetable.measure;
        let request = Request {
            scheduled,
            standing: if counted { Standing::Counted } else { Standing::WarmUp },
        };
        let now = Moment::now();
        self.account.due(request, now);
        let serial = self.lanes[lane as usize].push(request);
        self.deadlines.push(scheduled.after(self.plan.timeout), lane, serial);
        self.outstanding += 1;
        self.pump(lane, now);
        if self.lanes[lane as usize].is_empty() {
            self.settle(lane);
        }
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
                self.take_up(lane, Moment::now());
            }
        }
    }

    fn expire(&mut self, now: Moment) {
        while let Some(lane) = self.deadlines.expired(&self.lanes, now) {
            if self.lanes[lane as usize].on_wire() > 0 {
                // Those behind it in the pipeline cannot be answered either once the connection is given up.
                self.end_all_sent(lane, Outcome::TimedOut, now);
                self.disconnect(lane);
            } else if let Some(ticket) = self.lanes[lane as usize].pop_waiting() {
                self.outstanding -= 1;
                self.account.never_sent(ticket.request, now);
            }
            self.settle(lane);
        }
    }

    fn wait(&mut self, due: Option<Moment>) -> Result<(), LoadError> {
        let now = Moment::now();
        let edges = [self.timetable.measure, self.timetable.end]
            .into_iter()
            .filter(|&edge| edge > now)
            .min();
        let deadline = self.deadlines.next(&self.lanes);
        let other = [edges, deadline].into_iter().flatten().min();
        let busy = !self.unread.is_empty() || !self.next.is_empty();
        let wait = if busy {
            Wait::Poll
        } else {
            self.plan.pace.wait(now, due, other)
        };
        let timeout = match wait {
            Wait::Sleep(timeout) => timeout,
            Wait::Poll => Some(Duration::ZERO),
        };
        let found = self.set.next_events(&mut self.events, timeout)?;
        if found == 0 && wait == Wait::Poll && !busy && self.meter.is_running() {
            self.meter.idled_ns += Moment::now().since_ns(now);
        }
        while let Some(event) = self.set.take(&mut self.events) {
            match self.set[event.key].role {
                Role::Lane(lane) => self.lane_event(lane, event.readiness),
                Role::Idle | Role::IdleOpening => self.idle_event(event.key),
            }
        }
        Ok(())
    }

    /// Sends what the lane's connection may carry now, connecting first where there is none.
    fn pump(&mut self, index: u32, now: Moment) {
        loop {
            let lane = &mut self.lanes[index as usize];
            match lane.connection {
                None => {
                    let Some(request) = lane.send_next(now) else { return };
                    lane.unwritten = self.plan.target.request.len();
                    self.account.sent(request, now);
                    match self.connect_lane(index) {
                        Ok(Link::Up) => {}
                        Ok(Link::Connecting) => return,
                        Err(failure) => {
                            self.end_all_sent(index, Outcome::Failed(failure), now);
                            continue;
                        }
                    }
                }
                Some((_, Link::Connecting)) => return,
                Some((_, Link::Up)) => {
                    let limit = self
                        .plan
                        .pattern
                        .per_connection()
                        .map_or(u64::MAX, std::num::NonZero::get);
                    while lane.on_wire() < self.plan.depth && lane.served + (lane.on_wire() as u64) < limit {
                        let Some(request) = lane.send_next(now) else { break };
                        lane.unwritten += self.plan.target.request.len();
                        self.account.sent(request, now);
                    }
                }
            }
            match self.flush(index) {
                Ok(()) => return,
                Err(failure) => {
                    self.end_all_sent(index, Outcome::Failed(failure), Moment::now());
                    self.disconnect(index);
                }
            }
        }
    }

    /// Connects the lane; on failure the lane is as before.
    pub(crate) fn connect_lane(&mut self, index: u32) -> Result<Link, Failure> {
        let (key, link) = self.connect(Role::Lane(index))?;
        self.lanes[index as usize].connection = Some((key, link));
        Ok(link)
    }

    /// Starts a connection from the next source. A source without free ports is passed over.
    pub(crate) fn connect(&mut self, role: Role) -> Result<(Key, Link), Failure> {
        let mut tries = self.sources.len();
        let (socket, link) = loop {
            match Socket::connect(self.plan.target.address, self.sources.next_source(), role) {
                Err(rustix::io::Errno::ADDRNOTAVAIL) if tries > 1 => tries -= 1,
                result => break result?,
            }
        };
        let interest = match link {
            Link::Up => Interest::READABLE,
            Link::Connecting => Interest::READABLE | Interest::WRITABLE,
        };
        let key = self
            .set
            .declare(socket, interest, Trigger::Edge)
            .map_err(|_| Failure::Other)?;
        Ok((key, link))
    }

    /// Writes what is unwritten, as far as the socket takes it.
    fn flush(&mut self, index: u32) -> Result<(), Failure> {
        let lane = &mut self.lanes[index as usize];
        let Some((key, Link::Up)) = lane.connection else {
            return Ok(());
        };
        let request = &self.plan.target.request;
        while lane.unwritten > 0 {
            // All requests are the same bytes, so what is missing says where in a request to go on.
            let offset = (request.len() - lane.unwritten % request.len()) % request.len();
            match self.set[key].write(&request[offset..])? {
                0 => {
                    let both = Interest::READABLE | Interest::WRITABLE;
                    return self.set.modify(key, both, Trigger::Edge).map_err(|_| Failure::Other);
                }
                written => lane.unwritten -= written,
            }
        }
        Ok(())
    }

    fn lane_event(&mut self, index: u32, readiness: Readiness) {
        let Some((key, link)) = self.lanes[index as usize].connection else {
            return;
        };
        if link == Link::Connecting {
            if !(readiness.is_writable() || readiness.is_error()) {
                return;
            }
            if let Err(errno) = self.set[key].connected() {
                self.end_all_sent(index, Outcome::Failed(errno.into()), Moment::now());
                self.disconnect(index);
                return self.settle(index);
            }
            self.lanes[index as usize].connection = Some((key, Link::Up));
            self.pump(index, Moment::now());
        } else if readiness.is_writable() && self.lanes[index as usize].unwritten > 0 {
            self.pump(index, Moment::now());
        }
        if readiness.is_readable() || readiness.is_read_closed() || readiness.is_error() {
            self.read(index, readiness);
        }
    }

    /// Reads replies until the socket is empty, within bounds.
    fn read(&mut self, index: u32, readiness: Readiness) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut after = After::Open;
        for turn in 0.. {
            let Some((key, Link::Up)) = self.lanes[index as usize].connection else {
                break;
            };
            if turn == READS_AT_ONCE {
                self.unread.push(index);
                break;
            }
            match self.set[key].read(&mut buffer) {
                Ok(None) => break,
                Ok(Some(0)) => after = self.end_of_stream(index),
                Ok(Some(length)) => {
                    after = self.take_bytes(index, &buffer[..length]);
                    // A short read has emptied the socket; only an end that was already known is still to be read.
                    if length < buffer.len() && !readiness.is_read_closed() && !readiness.is_error() {
                        break;
                    }
                }
                Err(errno) => {
                    self.end_all_sent(index, Outcome::Failed(errno.into()), Moment::now());
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
            self.end_all_sent(index, Outcome::Failed(Failure::Truncated), Moment::now());
            self.disconnect(index);
        }
        self.settle(index);
    }

    fn take_bytes(&mut self, index: u32, bytes: &[u8]) -> After {
        let mut rest = bytes;
        while !rest.is_empty() {
            let lane = &mut self.lanes[index as usize];
            if lane.on_wire() == 0 {
                // Bytes that nothing asked for: there is no request to blame, and the stream is out of step.
                return After::Close;
            }
            match lane.parser.feed(rest, |_| {}) {
                Ok(Progress::Partial) => return After::Open,
                Ok(Progress::Complete { reply, consumed }) => {
                    rest = &rest[consumed..];
                    let surplus = !rest.is_empty() && lane.on_wire() == 1;
                    let outcome = if surplus {
                        Outcome::Failed(Failure::BadLength)
                    } else {
                        self.judge(reply)
                    };
                    if self.replied(index, reply, outcome) == After::Close {
                        return After::Close;
                    }
                }
                Err(error) => {
                    self.end_first(index, Outcome::Failed(error.into()), Moment::now());
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
                Ok(reply) => self.judge(reply),
                Err(error) => Outcome::Failed(error.into()),
            };
            self.end_first(index, outcome, Moment::now());
        }
        After::Close
    }

    fn replied(&mut self, index: u32, reply: Reply, outcome: Outcome) -> After {
        self.end_first(index, outcome, Moment::now());
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

    fn judge(&self, reply: Reply) -> Outcome {
        if !(200..300).contains(&reply.status) {
            Outcome::Failed(Failure::BadStatus)
        } else if self
            .plan
            .target
            .expected
            .body_bytes
            .is_some_and(|expected| expected != reply.body_bytes)
        {
            Outcome::Failed(Failure::BadLength)
        } else {
            Outcome::Completed
        }
    }

    /// The first request on the lane has ended.
    fn end_first(&mut self, index: u32, outcome: Outcome, now: Moment) {
        if let Some(ticket) = self.lanes[index as usize].pop_sent() {
            self.outstanding -= 1;
            self.account.ended(ticket.request, ticket.sent, outcome, now);
            if outcome == Outcome::Completed && now >= self.timetable.measure && now < self.timetable.end {
                self.account.replies_in_window += 1;
            }
        }
    }

    /// Every request that was sent on the lane has ended in the same way.
    fn end_all_sent(&mut self, index: u32, outcome: Outcome, now: Moment) {
        while self.lanes[index as usize].on_wire() > 0 {
            self.end_first(index, outcome, now);
        }
    }

    /// Closes the lane's connection.
    pub(crate) fn disconnect(&mut self, index: u32) {
        if let Some(key) = self.lanes[index as usize].disconnect(self.limits) {
            // Dropping the source closes it, whether or not the kernel let it be withdrawn in order.
            drop(self.set.withdraw(key));
        }
    }

    /// Puts a lane to its next use: what waits on it, the closed loop's next request, or the list of free lanes.
    fn settle(&mut self, index: u32) {
        if !self.lanes[index as usize].is_empty() {
            self.pump(index, Moment::now());
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

    /// The server closed an idle connection, or sent something on it that nothing asked for.
    pub(crate) fn idle_event(&mut self, key: Key) {
        let closed = loop {
            match self.set[key].read(&mut self.buffer) {
                Ok(None) => break false,
                Ok(Some(0)) | Err(_) => break true,
                Ok(Some(_)) => {}
            }
        };
        if closed {
            self.idle.closed_by_server();
            drop(self.set.withdraw(key));
        }
    }
}

impl CpuMeter {
    fn is_running(&self) -> bool {
        self.at_measure.is_some() && self.at_end.is_none()
    }

    fn busy_ns(&self) -> u64 {
        let used = self
            .at_end
            .zip(self.at_measure)
            .map_or(0, |(end, start)| end.saturating_sub(start));
        used.saturating_sub(self.idled_ns)
    }
}
