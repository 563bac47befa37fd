//! A lane: a place for one connection at a time, and the requests that go over it in order.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::time::Duration;

use c10k_http::reply::{ReplyLimits, ReplyParser};

use crate::account::Request;
use crate::clock::Moment;
use crate::fingerprint::Fingerprint;
use crate::world::Link;

/// Requests that a lane keeps room for once all have ended: a backlog's memory is given back, and steady traffic of no more
/// than that on a connection allocates nothing.
const ROOM_KEPT: usize = 64;

/// A request on its lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    pub(crate) request: Request,
    /// When it was sent; meaningless until then.
    pub(crate) sent: Moment,
}

/// One place for a connection. The first `on_wire` of its tickets are sent, the others wait.
#[derive(Debug)]
pub(crate) struct Lane {
    /// The state of the connection; `None` while there is none.
    pub(crate) link: Option<Link>,
    /// When the connect of the connection began.
    pub(crate) begun: Moment,
    /// When it was established.
    pub(crate) up: Moment,
    pub(crate) parser: ReplyParser,
    /// Of the body that is coming in, where bodies are verified.
    pub(crate) body: Fingerprint,
    tickets: VecDeque<Ticket>,
    on_wire: usize,
    /// The entry that [`Deadlines`] has for it; any other is void.
    watched: Option<Moment>,
    /// Bytes of sent requests that the socket has not taken yet.
    pub(crate) unwritten: usize,
    /// Replies received over this connection.
    pub(crate) served: u64,
    /// Whether it is on its thread's list of lanes that any request may take.
    pub(crate) is_free: bool,
}

impl Lane {
    pub(crate) fn new(limits: ReplyLimits) -> Self {
        Self {
            link: None,
            begun: Moment(0),
            up: Moment(0),
            parser: ReplyParser::new(limits),
            body: Fingerprint::EMPTY,
            tickets: VecDeque::new(),
            on_wire: 0,
            watched: None,
            unwritten: 0,
            served: 0,
            is_free: false,
        }
    }

    /// Adds a request at the end.
    pub(crate) fn push(&mut self, request: Request) {
        self.tickets.push_back(Ticket {
            request,
            sent: request.scheduled,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Number of requests that are sent and not answered.
    pub(crate) fn on_wire(&self) -> usize {
        self.on_wire
    }

    /// When the first request on the wire was sent.
    pub(crate) fn first_sent(&self) -> Option<Moment> {
        self.tickets
            .front()
            .filter(|_| self.on_wire > 0)
            .map(|ticket| ticket.sent)
    }

    /// The first request that is not sent.
    pub(crate) fn first_waiting(&self) -> Option<Request> {
        self.tickets.get(self.on_wire).map(|ticket| ticket.request)
    }

    /// Marks the first waiting request as sent now and returns it; `None` when none waits.
    pub(crate) fn send_next(&mut self, now: Moment) -> Option<Request> {
        let ticket = self.tickets.get_mut(self.on_wire)?;
        ticket.sent = now;
        self.on_wire += 1;
        Some(ticket.request)
    }

    /// Takes the first request off the lane if it is sent.
    pub(crate) fn pop_sent(&mut self) -> Option<Ticket> {
        if self.on_wire == 0 {
            return None;
        }
        self.on_wire -= 1;
        self.pop()
    }

    /// Takes the first request off the lane if it is not sent.
    pub(crate) fn pop_waiting(&mut self) -> Option<Ticket> {
        if self.on_wire > 0 { None } else { self.pop() }
    }

    /// Forgets the connection and what was under way on it; the tickets stay. False when there was no connection.
    pub(crate) fn disconnect(&mut self, limits: ReplyLimits) -> bool {
        self.parser = ReplyParser::new(limits);
        self.body = Fingerprint::EMPTY;
        self.unwritten = 0;
        self.served = 0;
        self.link.take().is_some()
    }

    fn pop(&mut self) -> Option<Ticket> {
        let ticket = self.tickets.pop_front()?;
        if self.tickets.is_empty() {
            self.tickets.shrink_to(ROOM_KEPT);
        }
        Some(ticket)
    }
}

/// The time limits of all requests of a thread, which are equally long: a lane's first request is its next to expire, so
/// that one entry a lane is enough, however many requests wait on it.
///
/// An entry is a moment before which no request of its lane expires. Requests that end leave it as it is, and it is moved on
/// when it comes up: that wakes a thread which has nothing to do once per lane and limit, and spares it two changes of the
/// heap per request.
#[derive(Debug)]
pub(crate) struct Deadlines {
    limit: Duration,
    lanes: BinaryHeap<Reverse<(Moment, u32)>>,
}

impl Deadlines {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            lanes: BinaryHeap::new(),
        }
    }

    /// Watches the requests of this lane. Those that are added to it are due no earlier than those that it has; a lane that
    /// was empty may take one that was due before its last.
    pub(crate) fn watch(&mut self, index: u32, lane: &mut Lane) {
        let Some(first) = lane.tickets.front() else {
            return;
        };
        let at = first.request.scheduled.after(self.limit);
        if lane.watched.is_none_or(|watched| at < watched) {
            lane.watched = Some(at);
            self.lanes.push(Reverse((at, index)));
        }
    }

    /// A lane whose first request has reached its limit at `now`. It comes again until that request has left it.
    pub(crate) fn expired(&mut self, lanes: &mut [Lane], now: Moment) -> Option<u32> {
        while let Some(mut entry) = self.lanes.peek_mut().filter(|entry| entry.0.0 <= now) {
            let (watched, index) = entry.0;
            let lane = &mut lanes[index as usize];
            if lane.watched != Some(watched) {
                PeekMut::pop(entry);
                continue;
            }
            let first = lane.tickets.front();
            lane.watched = first.map(|first| first.request.scheduled.after(self.limit));
            match lane.watched {
                None => drop(PeekMut::pop(entry)),
                Some(at) => {
                    entry.0.0 = at;
                    if at <= now {
                        return Some(index);
                    }
                }
            }
        }
        None
    }

    /// A moment before which nothing expires; `None` while nothing can.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.lanes.peek().map(|entry| entry.0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Standing;

    fn request(scheduled: u64) -> Request {
        Request {
            scheduled: Moment(scheduled),
            standing: Standing::Counted,
        }
    }

    #[test]
    fn requests_leave_a_lane_in_order_and_only_from_the_side_they_are_on() {
        let mut lane = Lane::new(ReplyLimits::default());
        lane.push(request(1));
        lane.push(request(2));
        assert!(lane.pop_sent().is_none());
        assert_eq!(lane.send_next(Moment(5)), Some(request(1)));
        assert!(lane.pop_waiting().is_none());
        assert_eq!(
            lane.pop_sent().map(|ticket| (ticket.request, ticket.sent)),
            Some((request(1), Moment(5)))
        );
        assert_eq!(lane.pop_waiting().map(|ticket| ticket.request), Some(request(2)));
        assert!(lane.is_empty());
    }

    #[test]
    fn a_backlog_gives_its_memory_back_when_it_has_ended() {
        let mut lane = Lane::new(ReplyLimits::default());
        for at in 0..10_000 {
            lane.push(request(at));
        }
        while lane.pop_waiting().is_some() {}
        assert!((1..2 * ROOM_KEPT).contains(&lane.tickets.capacity()));
    }

    #[test]
    fn deadlines_of_ended_requests_are_never_reported() {
        let mut lanes = vec![Lane::new(ReplyLimits::default()), Lane::new(ReplyLimits::default())];
        let mut deadlines = Deadlines::new(Duration::from_nanos(100));
        for (index, at) in [(0, 10), (1, 11), (0, 12)] {
            lanes[index].push(request(at));
            deadlines.watch(index as u32, &mut lanes[index]);
        }
        lanes[0].pop_waiting();
        assert_eq!(deadlines.expired(&mut lanes, Moment(110)), None);
        assert_eq!(deadlines.next(), Some(Moment(111)));
        assert_eq!(deadlines.expired(&mut lanes, Moment(150)), Some(1));
        assert_eq!(
            deadlines.expired(&mut lanes, Moment(150)),
            Some(1),
            "it has not left its lane"
        );
        lanes[1].pop_waiting();
        assert_eq!(deadlines.expired(&mut lanes, Moment(150)), Some(0));
        lanes[0].pop_waiting();
        assert_eq!(
            (deadlines.expired(&mut lanes, Moment(150)), deadlines.next()),
            (None, None)
        );
    }

    #[test]
    fn an_empty_lane_may_take_a_request_that_was_due_before_its_last() {
        let mut lanes = vec![Lane::new(ReplyLimits::default())];
        let mut deadlines = Deadlines::new(Duration::from_nanos(100));
        lanes[0].push(request(50));
        deadlines.watch(0, &mut lanes[0]);
        lanes[0].pop_waiting();
        lanes[0].push(request(10));
        deadlines.watch(0, &mut lanes[0]);
        assert_eq!(deadlines.next(), Some(Moment(110)));
        assert_eq!(deadlines.expired(&mut lanes, Moment(120)), Some(0));
        lanes[0].pop_waiting();
        assert_eq!(
            (deadlines.expired(&mut lanes, Moment(200)), deadlines.next()),
            (None, None)
        );
    }

    #[test]
    fn there_is_one_deadline_a_lane_however_many_requests_pass_or_wait() {
        let mut lanes = vec![Lane::new(ReplyLimits::default()), Lane::new(ReplyLimits::default())];
        let mut deadlines = Deadlines::new(Duration::from_nanos(100));
        lanes[0].push(request(0));
        deadlines.watch(0, &mut lanes[0]);
        for at in 0..10_000 {
            lanes[1].push(request(at));
            deadlines.watch(1, &mut lanes[1]);
            assert_eq!(
                deadlines.expired(&mut lanes, Moment(at)).filter(|&lane| lane == 1),
                None
            );
            lanes[1].pop_waiting();
        }
        assert_eq!(deadlines.lanes.len(), 2);
    }
}
