//! A slot for one connection, and the queue of requests that are sent over it in order.

use std::collections::VecDeque;

use c10k_http::reply::{ReplyLimits, ReplyParser};

use super::world::Link;
use crate::accounting::request::Request;
use crate::clock::Moment;
use crate::fingerprint::Fingerprint;

/// The capacity that an empty queue keeps. The memory of a longer backlog is released; traffic with no more requests than
/// this on a connection allocates nothing.
const CAPACITY_KEPT: usize = 64;

/// A request in the queue of a slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueuedRequest {
    pub(super) request: Request,
    /// When it was sent; meaningless until then.
    pub(super) sent: Moment,
}

/// A slot for one connection at a time. The first `on_wire` requests of its queue were sent; the others are waiting.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    /// The state of the connection; `None` if there is no connection.
    pub(super) link: Option<Link>,
    /// When the connect was started.
    pub(super) connect_started: Moment,
    /// When the connection was established.
    pub(super) connected_at: Moment,
    pub(super) parser: ReplyParser,
    /// The fingerprint of the body that is being received, if bodies are verified.
    pub(super) body: Fingerprint,
    queue: VecDeque<QueuedRequest>,
    on_wire: usize,
    /// The valid entry for this slot in [`Deadlines`](super::deadlines::Deadlines); other entries are ignored.
    pub(super) deadline: Option<Moment>,
    /// Bytes of sent requests that the socket has not accepted yet. They are the last bytes of the requests on the wire.
    pub(super) unwritten: usize,
    /// Replies received over this connection.
    pub(super) replies: u64,
    /// Requests that were due on it in this window.
    pub(super) due: u64,
    /// Requests of the slot that have failed since its session began.
    pub(super) failures: u64,
    /// Whether it is in the engine's list of free slots.
    pub(super) is_free: bool,
    /// Whether it ever had a request.
    is_used: bool,
}

impl ConnectionSlot {
    pub(super) fn new(limits: ReplyLimits) -> Self {
        Self {
            link: None,
            connect_started: Moment(0),
            connected_at: Moment(0),
            parser: ReplyParser::new(limits),
            body: Fingerprint::EMPTY,
            queue: VecDeque::new(),
            on_wire: 0,
            deadline: None,
            unwritten: 0,
            replies: 0,
            due: 0,
            failures: 0,
            is_free: false,
            is_used: false,
        }
    }

    /// Whether it never had a connection and no request.
    pub(super) fn is_unopened(&self) -> bool {
        !self.is_used && self.connected_at == Moment(0)
    }

    /// Adds a request at the end of the queue.
    pub(super) fn push(&mut self, request: Request) {
        self.is_used = true;
        self.queue.push_back(QueuedRequest {
            request,
            sent: request.scheduled,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// When the first request of the queue was due.
    pub(super) fn first_scheduled(&self) -> Option<Moment> {
        self.queue.front().map(|first| first.request.scheduled)
    }

    /// The number of requests that were sent and not answered.
    pub(super) fn on_wire(&self) -> usize {
        self.on_wire
    }

    /// The requests that were sent and not answered.
    pub(super) fn sent(&self) -> impl DoubleEndedIterator<Item = Request> {
        self.queue.iter().take(self.on_wire).map(|queued| queued.request)
    }

    /// When the first unanswered request was sent.
    pub(super) fn first_sent(&self) -> Option<Moment> {
        self.queue
            .front()
            .filter(|_| self.on_wire > 0)
            .map(|queued| queued.sent)
    }

    /// The first waiting request.
    pub(super) fn first_waiting(&self) -> Option<Request> {
        self.queue.get(self.on_wire).map(|queued| queued.request)
    }

    /// Marks the first waiting request as sent now and returns it; `None` if none is waiting.
    pub(super) fn send_next(&mut self, now: Moment) -> Option<Request> {
        let queued = self.queue.get_mut(self.on_wire)?;
        queued.sent = now;
        self.on_wire += 1;
        Some(queued.request)
    }

    /// Removes the first request of the queue if it was sent.
    pub(super) fn pop_sent(&mut self) -> Option<QueuedRequest> {
        if self.on_wire == 0 {
            return None;
        }
        self.on_wire -= 1;
        self.pop()
    }

    /// Removes the first request of the queue if it was not sent.
    pub(super) fn pop_waiting(&mut self) -> Option<QueuedRequest> {
        if self.on_wire > 0 { None } else { self.pop() }
    }

    /// Resets the state of the connection; the queue stays. Returns false if there was no connection.
    pub(super) fn disconnect(&mut self, limits: ReplyLimits) -> bool {
        self.parser = ReplyParser::new(limits);
        self.body = Fingerprint::EMPTY;
        self.unwritten = 0;
        self.replies = 0;
        self.link.take().is_some()
    }

    fn pop(&mut self) -> Option<QueuedRequest> {
        let queued = self.queue.pop_front()?;
        if self.queue.is_empty() {
            self.queue.shrink_to(CAPACITY_KEPT);
        }
        Some(queued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::request::Period;
    use crate::plan::Choice;

    fn request(scheduled: u64) -> Request {
        Request {
            scheduled: Moment(scheduled),
            period: Period::Measured,
            choice: Choice::default(),
        }
    }

    #[test]
    fn requests_leave_a_slot_in_order_sent_ones_before_waiting_ones() {
        let mut slot = ConnectionSlot::new(ReplyLimits::default());
        slot.push(request(1));
        slot.push(request(2));
        assert!(slot.pop_sent().is_none());
        assert_eq!(slot.send_next(Moment(5)), Some(request(1)));
        assert!(slot.pop_waiting().is_none());
        assert_eq!(
            slot.pop_sent().map(|queued| (queued.request, queued.sent)),
            Some((request(1), Moment(5)))
        );
        assert_eq!(slot.pop_waiting().map(|queued| queued.request), Some(request(2)));
        assert!(slot.is_empty());
    }

    #[test]
    fn the_memory_of_a_backlog_is_released() {
        let mut slot = ConnectionSlot::new(ReplyLimits::default());
        for at in 0..10_000 {
            slot.push(request(at));
        }
        while slot.pop_waiting().is_some() {}
        assert!((1..2 * CAPACITY_KEPT).contains(&slot.queue.capacity()));
    }
}
