//! A lane: a place for one connection at a time, and the requests that go over it in order.

use std::collections::VecDeque;

use c10k_http::reply::{ReplyLimits, ReplyParser};

use crate::account::Request;
use crate::clock::Moment;
use crate::fingerprint::Fingerprint;
use crate::world::Link;

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
    /// Serial number of the first ticket; every ticket that leaves the lane raises it.
    front_serial: u64,
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
            front_serial: 0,
            unwritten: 0,
            served: 0,
            is_free: false,
        }
    }

    /// Adds a request at the end; returns its serial number.
    pub(crate) fn push(&mut self, request: Request) -> u64 {
        self.tickets.push_back(Ticket {
            request,
            sent: request.scheduled,
        });
        self.front_serial + self.tickets.len() as u64 - 1
    }

    /// Whether the request with this serial number is still on the lane.
    pub(crate) fn holds(&self, serial: u64) -> bool {
        serial >= self.front_serial
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
        self.front_serial += 1;
        Some(ticket)
    }
}

/// The time limits of all requests on all lanes of a thread: as all limits are equally long, a queue.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    queue: VecDeque<Deadline>,
}

#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Moment,
    lane: u32,
    serial: u64,
}

impl Deadlines {
    /// Adds the limit of a request; `at` never decreases from call to call.
    pub(crate) fn push(&mut self, at: Moment, lane: u32, serial: u64) {
        self.queue.push_back(Deadline { at, lane, serial });
    }

    /// The lane of the next request whose limit has passed at `now`.
    pub(crate) fn expired(&mut self, lanes: &[Lane], now: Moment) -> Option<u32> {
        self.forget_ended(lanes);
        let front = self.queue.front().filter(|front| front.at <= now)?;
        let lane = front.lane;
        self.queue.pop_front();
        Some(lane)
    }

    /// The first limit that is still of interest.
    pub(crate) fn next(&mut self, lanes: &[Lane]) -> Option<Moment> {
        self.forget_ended(lanes);
        self.queue.front().map(|front| front.at)
    }

    fn forget_ended(&mut self, lanes: &[Lane]) {
        while self
            .queue
            .front()
            .is_some_and(|front| !lanes[front.lane as usize].holds(front.serial))
        {
            self.queue.pop_front();
        }
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
        assert_eq!((lane.push(request(1)), lane.push(request(2))), (0, 1));
        assert!(lane.pop_sent().is_none());
        assert_eq!(lane.send_next(Moment(5)), Some(request(1)));
        assert!(lane.pop_waiting().is_none());
        assert_eq!(
            lane.pop_sent().map(|ticket| (ticket.request, ticket.sent)),
            Some((request(1), Moment(5)))
        );
        assert!(!lane.holds(0) && lane.holds(1));
        assert_eq!(lane.pop_waiting().map(|ticket| ticket.request), Some(request(2)));
        assert!(lane.is_empty());
    }

    #[test]
    fn deadlines_of_ended_requests_are_never_reported() {
        let mut lanes = vec![Lane::new(ReplyLimits::default()), Lane::new(ReplyLimits::default())];
        let mut deadlines = Deadlines::default();
        for (lane, at) in [(0, 10), (1, 11), (0, 12)] {
            let serial = lanes[lane].push(request(at));
            deadlines.push(Moment(at), lane as u32, serial);
        }
        lanes[0].pop_waiting();
        assert_eq!(deadlines.next(&lanes), Some(Moment(11)));
        assert_eq!(deadlines.expired(&lanes, Moment(10)), None);
        assert_eq!(deadlines.expired(&lanes, Moment(50)), Some(1));
        lanes[1].pop_waiting();
        assert_eq!(deadlines.expired(&lanes, Moment(50)), Some(0));
    }
}
