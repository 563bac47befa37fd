//! Sends requests over the connections of the slots, and receives and checks the replies.

use c10k_event::Readiness;
use c10k_http::reply::{Persistence, Progress, Reply, ReplyLimits};

use super::slot::ConnectionSlot;
use super::world::{Link, ReadResult, World};
use crate::accounting::failure::Failure;
use crate::accounting::request::{Outcome, Request};
use crate::accounting::request_stats::{Bounds, RequestStats};
use crate::accounting::traffic::Traffic;
use crate::clock::{Moment, duration_ns};
use crate::fingerprint::Fingerprint;
use crate::plan::LoadPlan;

/// The maximum number of reads from a connection before other connections are read.
const READS_PER_TURN: usize = 16;
/// The size of the read buffer, which all connections of the thread share.
const BUFFER_BYTES: usize = 64 * 1024;

/// What happens to a connection after a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AfterReply {
    KeepOpen,
    Close,
}

/// The slots of one thread with their connections and counters.
pub(super) struct Exchange<'p, W> {
    plan: &'p LoadPlan,
    pub(super) world: W,
    pub(super) slots: Vec<ConnectionSlot>,
    /// Slots that were left with unread bytes, so that other connections are read.
    unread: Vec<u32>,
    /// The maximum number of unanswered requests on a connection.
    depth: usize,
    /// The number of requests in all slots.
    pub(super) outstanding: usize,
    pub(super) stats: RequestStats,
    pub(super) traffic: Traffic,
    limits: ReplyLimits,
    /// The bytes of the requests that are being written; kept for its capacity.
    requests: Vec<u8>,
    buffer: Box<[u8]>,
}

impl<'p, W: World> Exchange<'p, W> {
    pub(super) fn new(plan: &'p LoadPlan, slots: u64, depth: usize, world: W) -> Self {
        let limits = ReplyLimits {
            body_bytes: plan.target.longest_body(),
            ..ReplyLimits::default()
        };
        let bounds = Bounds {
            timeout_ns: duration_ns(plan.timeout),
            late_ns: duration_ns(plan.lag_bound),
            duration_ns: duration_ns(plan.duration),
        };
        let rows = if plan.target.is_mix { plan.target.rows.len() } else { 0 };
        Self {
            plan,
            world,
            slots: (0..slots).map(|_| ConnectionSlot::new(limits)).collect(),
            unread: Vec::new(),
            depth,
            outstanding: 0,
            stats: RequestStats::new(bounds).with_rows(rows),
            traffic: Traffic::default(),
            limits,
            requests: Vec::new(),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
        }
    }

    /// Adds a slot without a connection; returns its index.
    pub(super) fn add_slot(&mut self) -> u32 {
        self.slots.push(ConnectionSlot::new(self.limits));
        self.slots.len() as u32 - 1
    }

    /// Adds requests that are due to a slot's queue.
    pub(super) fn enqueue(&mut self, index: u32, requests: impl Iterator<Item = Request>) {
        let now = self.world.now();
        for request in requests {
            self.stats.due(request, now);
            let slot = &mut self.slots[index as usize];
            slot.due += 1;
            slot.push(request);
            self.outstanding += 1;
        }
    }

    /// Starts a connect.
    pub(super) fn open_slot(&mut self, index: u32) -> Result<Link, Failure> {
        let connect_started = self.world.now();
        let link = self.world.connect(index)?;
        let slot = &mut self.slots[index as usize];
        slot.link = Some(link);
        slot.connect_started = connect_started;
        if link == Link::Connected {
            slot.connected_at = self.world.now();
            self.traffic.connected(connect_started, slot.connected_at);
        }
        Ok(link)
    }

    /// Closes the slot's connection. Its requests stay in the queue.
    pub(super) fn disconnect(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.link == Some(Link::Connected) {
            self.traffic
                .closed(slot.connect_started, slot.replies, self.world.now());
        }
        if slot.disconnect(self.limits) {
            self.world.close(index);
        }
    }

    /// Handles an event. Returns whether requests may have ended, so that the slot needs its next work.
    pub(super) fn event(&mut self, index: u32, readiness: Readiness) -> bool {
        match self.slots[index as usize].link {
            None => return false,
            Some(Link::Connecting) => {
                if !(readiness.is_writable() || readiness.is_error()) {
                    return false;
                }
                if let Err(failure) = self.world.connected(index) {
                    self.fail_connection(index, failure);
                    return true;
                }
                let slot = &mut self.slots[index as usize];
                slot.link = Some(Link::Connected);
                slot.connected_at = self.world.now();
                self.traffic.connected(slot.connect_started, slot.connected_at);
                self.send_pending(index);
            }
            Some(Link::Connected) if readiness.is_writable() && self.slots[index as usize].unwritten > 0 => {
                self.send_pending(index);
            }
            Some(Link::Connected) => {}
        }
        let may_read = readiness.is_readable() || readiness.is_read_closed() || readiness.is_error();
        if may_read {
            self.read(index, readiness);
        }
        may_read
    }

    /// Sends as many waiting requests as the connection may carry. Connects first if there is no connection.
    pub(super) fn send_pending(&mut self, index: u32) {
        loop {
            let link = self.slots[index as usize].link;
            let result = match link {
                Some(Link::Connecting) => return,
                Some(Link::Connected) => {
                    self.mark_sent(index);
                    self.flush(index)
                }
                // The connect belongs to the first waiting request: its send starts here.
                None if self.mark_one_sent(index) => match self.open_slot(index) {
                    Ok(Link::Connecting) => return,
                    Ok(Link::Connected) => continue,
                    Err(failure) => Err(failure),
                },
                None => return,
            };
            match result {
                Ok(()) => return,
                Err(failure) => self.fail_connection(index, failure),
            }
        }
    }

    /// Marks as many waiting requests as sent as the connection may carry.
    fn mark_sent(&mut self, index: u32) {
        let limit = self
            .plan
            .pattern
            .per_connection()
            .map_or(u64::MAX, std::num::NonZero::get);
        loop {
            let slot = &self.slots[index as usize];
            let on_wire = slot.on_wire();
            if on_wire >= self.depth || slot.replies + on_wire as u64 >= limit || !self.mark_one_sent(index) {
                return;
            }
        }
    }

    /// Marks the first waiting request as sent; returns false if none is waiting. Requests past their time limit are
    /// given up.
    fn mark_one_sent(&mut self, index: u32) -> bool {
        let now = self.world.now();
        loop {
            let slot = &mut self.slots[index as usize];
            let Some(request) = slot.first_waiting() else {
                return false;
            };
            if request.scheduled.after(self.plan.timeout) > now {
                break;
            }
            if !self.give_up_unsent(index, now) {
                // Requests before it are on the wire. It is given up when they have ended.
                return false;
            }
        }
        let slot = &mut self.slots[index as usize];
        let Some(request) = slot.send_next(now) else {
            return false;
        };
        slot.unwritten += self.plan.target.length(request.choice);
        self.stats.sent(request, now);
        true
    }

    /// Gives up the first request of the slot if it was not sent; returns whether it did.
    pub(super) fn give_up_unsent(&mut self, index: u32, now: Moment) -> bool {
        let slot = &mut self.slots[index as usize];
        let Some(queued) = slot.pop_waiting() else {
            return false;
        };
        slot.failures += 1;
        self.outstanding -= 1;
        self.stats.never_sent(queued.request, now);
        true
    }

    /// Writes the unwritten bytes, as far as the connection accepts them.
    fn flush(&mut self, index: u32) -> Result<(), Failure> {
        let slot = &mut self.slots[index as usize];
        if slot.unwritten == 0 {
            return Ok(());
        }
        // The unwritten bytes are those of the last requests on the wire.
        let target = &self.plan.target;
        let (mut requests, mut bytes) = (0, 0);
        for request in slot.sent().rev() {
            if bytes >= slot.unwritten {
                break;
            }
            requests += 1;
            bytes += target.length(request.choice);
        }
        self.requests.clear();
        for request in slot.sent().skip(slot.on_wire() - requests) {
            target.append(request.choice, &mut self.requests);
        }
        let mut position = bytes - slot.unwritten;
        while position < bytes {
            let written = self.world.write(index, &self.requests[position..])?;
            if written == 0 {
                break;
            }
            position += written;
            slot.unwritten -= written;
            self.traffic.bytes_out += written as u64;
        }
        Ok(())
    }

    /// Whether slots were left with unread bytes.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Swaps the list of slots with unread bytes with an empty list.
    pub(super) fn take_unread(&mut self, empty: &mut Vec<u32>) {
        std::mem::swap(&mut self.unread, empty);
    }

    /// Reads replies until no bytes are available, or until other connections should be read.
    pub(super) fn read(&mut self, index: u32, readiness: Readiness) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut after = AfterReply::KeepOpen;
        for turn in 0.. {
            if self.slots[index as usize].link != Some(Link::Connected) {
                break;
            }
            if turn == READS_PER_TURN {
                self.unread.push(index);
                break;
            }
            match self.world.read(index, &mut buffer) {
                Ok(ReadResult::WouldBlock) => break,
                Ok(ReadResult::Closed) => after = self.end_of_stream(index),
                Ok(ReadResult::Bytes(length)) => {
                    self.count_bytes(index, length);
                    after = self.accept_bytes(index, &buffer[..length]);
                    // A short read has emptied the socket. Only the end of the stream may remain, if the event reported it.
                    if length < buffer.len() && !readiness.is_read_closed() && !readiness.is_error() {
                        break;
                    }
                }
                Err(failure) => {
                    self.finish_all_sent(index, Outcome::Failed(failure));
                    after = AfterReply::Close;
                }
            }
            if after == AfterReply::Close {
                break;
            }
        }
        self.buffer = buffer;
        if after == AfterReply::Close {
            // Requests that were sent after the last answered one get no reply.
            self.finish_all_sent(index, Outcome::Failed(Failure::Truncated));
            self.disconnect(index);
        }
    }

    /// Counts bytes that were read, and records the response time if they start a reply.
    fn count_bytes(&mut self, index: u32, length: usize) {
        self.traffic.bytes_in += length as u64;
        let slot = &self.slots[index as usize];
        if !slot.parser.in_reply()
            && let Some(sent) = slot.first_sent()
        {
            // If a request opened its connection, its send started with the connect. The response time excludes that.
            self.traffic
                .response
                .record(self.world.now().since_ns(sent.max(slot.connected_at)));
        }
    }

    fn accept_bytes(&mut self, index: u32, bytes: &[u8]) -> AfterReply {
        let mut rest = bytes;
        while !rest.is_empty() {
            let slot = &mut self.slots[index as usize];
            if slot.on_wire() == 0 {
                // The server sent bytes without a request. They do not belong to any request, and later replies could
                // not be assigned.
                return AfterReply::Close;
            }
            let first = slot.sent().next();
            let verified = first.is_some_and(|first| self.plan.target.expected(first.choice).body.is_some());
            let ConnectionSlot { parser, body, .. } = slot;
            let progress = parser.feed(rest, |bytes| {
                if verified {
                    body.update(bytes);
                }
            });
            match progress {
                Ok(Progress::Partial) => return AfterReply::KeepOpen,
                Ok(Progress::Complete { reply, consumed }) => {
                    rest = &rest[consumed..];
                    let surplus = !rest.is_empty() && slot.on_wire() == 1;
                    let outcome = if surplus {
                        Outcome::Failed(Failure::BadLength)
                    } else {
                        self.check_reply(index, reply)
                    };
                    if self.finish_reply(index, reply, outcome) == AfterReply::Close {
                        return AfterReply::Close;
                    }
                }
                Err(error) => {
                    self.finish_first(index, Outcome::Failed(error.into()));
                    return AfterReply::Close;
                }
            }
        }
        AfterReply::KeepOpen
    }

    fn end_of_stream(&mut self, index: u32) -> AfterReply {
        let slot = &mut self.slots[index as usize];
        if slot.on_wire() > 0 {
            let outcome = match slot.parser.end() {
                Ok(reply) => {
                    slot.replies += 1;
                    self.count_reply(index, reply);
                    self.check_reply(index, reply)
                }
                Err(error) => Outcome::Failed(error.into()),
            };
            self.finish_first(index, outcome);
        }
        AfterReply::Close
    }

    /// Counts the reply to the first request on the wire.
    fn count_reply(&mut self, index: u32, reply: Reply) {
        self.traffic.replied(reply.status, reply.body_bytes);
        if let Some(request) = self.slots[index as usize].sent().next() {
            self.stats.replied(request, reply.status);
        }
    }

    fn finish_reply(&mut self, index: u32, reply: Reply, outcome: Outcome) -> AfterReply {
        self.count_reply(index, reply);
        self.finish_first(index, outcome);
        let slot = &mut self.slots[index as usize];
        slot.replies += 1;
        let is_used_up = self
            .plan
            .pattern
            .per_connection()
            .is_some_and(|limit| slot.replies >= limit.get());
        let is_broken = !matches!(outcome, Outcome::Completed | Outcome::Failed(Failure::BadStatus));
        // A reply to a request that was not written in full: the rest of it is not sent (RFC 9112 9.5).
        let is_cut_short = slot.unwritten > 0 && slot.unwritten > self.bytes_on_wire(index);
        if is_used_up || is_broken || is_cut_short || reply.persistence == Persistence::Close {
            AfterReply::Close
        } else {
            AfterReply::KeepOpen
        }
    }

    /// The length of all requests on the wire.
    fn bytes_on_wire(&self, index: u32) -> usize {
        let sent = self.slots[index as usize].sent();
        sent.map(|request| self.plan.target.length(request.choice)).sum()
    }

    /// Compares the reply to the first request on the wire with what the plan expects.
    fn check_reply(&mut self, index: u32, reply: Reply) -> Outcome {
        let slot = &mut self.slots[index as usize];
        let body = std::mem::replace(&mut slot.body, Fingerprint::EMPTY);
        let choice = slot.sent().next().map(|first| first.choice).unwrap_or_default();
        let expected = self.plan.target.expected(choice);
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

    /// The connection has failed, and with it every request that was sent on it.
    fn fail_connection(&mut self, index: u32, failure: Failure) {
        self.finish_all_sent(index, Outcome::Failed(failure));
        self.disconnect(index);
    }

    /// Every sent request of the slot has ended with the same outcome.
    pub(super) fn finish_all_sent(&mut self, index: u32, outcome: Outcome) {
        while self.slots[index as usize].on_wire() > 0 {
            self.finish_first(index, outcome);
        }
    }

    /// The first sent request of the slot has ended.
    fn finish_first(&mut self, index: u32, outcome: Outcome) {
        let slot = &mut self.slots[index as usize];
        if let Some(queued) = slot.pop_sent() {
            slot.failures += u64::from(outcome != Outcome::Completed);
            let now = self.world.now();
            self.outstanding -= 1;
            self.stats.ended(queued.request, queued.sent, outcome, now);
        }
    }
}
