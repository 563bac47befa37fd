//! The time limits of all requests of a thread.

use std::cmp::Reverse;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::time::Duration;

use super::slot::ConnectionSlot;
use crate::clock::Moment;

/// The time limits of all requests of a thread. All limits have the same length, so the first request of a slot is the
/// first one to expire, and one entry per slot is enough, however many requests are in its queue.
///
/// An entry is a moment before which no request of its slot expires. It stays when requests end, and is moved to the
/// deadline of the slot's first request when it is reached. So an idle thread wakes once per slot and limit, but a
/// request does not change the heap twice.
#[derive(Debug)]
pub(super) struct Deadlines {
    limit: Duration,
    entries: BinaryHeap<Reverse<(Moment, u32)>>,
}

impl Deadlines {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            entries: BinaryHeap::new(),
        }
    }

    /// Registers the requests of this slot. Must be called when requests were added. An added request is due no earlier
    /// than the others in the queue, but it may be due earlier than requests that have left the queue.
    pub(super) fn register(&mut self, index: u32, slot: &mut ConnectionSlot) {
        let Some(first) = slot.first_scheduled() else {
            return;
        };
        let at = first.after(self.limit);
        if slot.deadline.is_none_or(|registered| at < registered) {
            slot.deadline = Some(at);
            self.entries.push(Reverse((at, index)));
        }
    }

    /// Returns a slot whose first request has reached its limit at `now`. Returns it again until that request is removed.
    pub(super) fn expired(&mut self, slots: &mut [ConnectionSlot], now: Moment) -> Option<u32> {
        while let Some(mut entry) = self.entries.peek_mut().filter(|entry| entry.0.0 <= now) {
            let (registered, index) = entry.0;
            let slot = &mut slots[index as usize];
            if slot.deadline != Some(registered) {
                PeekMut::pop(entry);
                continue;
            }
            slot.deadline = slot.first_scheduled().map(|first| first.after(self.limit));
            match slot.deadline {
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

    /// A moment before which no request expires; `None` if there are no requests.
    pub(super) fn next(&self) -> Option<Moment> {
        self.entries.peek().map(|entry| entry.0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::request::{Period, Request};
    use crate::plan::Choice;
    use c10k_http::reply::ReplyLimits;

    fn request(scheduled: u64) -> Request {
        Request {
            scheduled: Moment(scheduled),
            period: Period::Measured,
            choice: Choice::default(),
        }
    }

    #[test]
    fn ended_requests_never_expire() {
        let mut slots = vec![
            ConnectionSlot::new(ReplyLimits::default()),
            ConnectionSlot::new(ReplyLimits::default()),
        ];
        let mut deadlines = Deadlines::new(Duration::from_nanos(100));
        for (index, at) in [(0, 10), (1, 11), (0, 12)] {
            slots[index].push(request(at));
            deadlines.register(index as u32, &mut slots[index]);
        }
        slots[0].pop_waiting();
        assert_eq!(deadlines.expired(&mut slots, Moment(110)), None);
        assert_eq!(deadlines.next(), Some(Moment(111)));
        assert_eq!(deadlines.expired(&mut slots, Moment(150)), Some(1));
        assert_eq!(
            deadlines.expired(&mut slots, Moment(150)),
            Some(1),
            "its request is still in the queue"
        );
        slots[1].pop_waiting();
        assert_eq!(deadlines.expired(&mut slots, Moment(150)), Some(0));
        slots[0].pop_waiting();
        assert_eq!(
            (deadlines.expired(&mut slots, Moment(150)), deadlines.next()),
            (None, None)
        );
    }

    #[test]
    fn an_empty_slot_may_take_a_request_that_was_due_before_its_last_one() {
        let mut slots = vec![ConnectionSlot::new(ReplyLimits::default())];
        let mut deadlines = Deadlines::new(Duration::from_nanos(100));
        slots[0].push(request(50));
        deadlines.register(0, &mut slots[0]);
        slots[0].pop_waiting();
        slots[0].push(request(10));
        deadlines.register(0, &mut slots[0]);
        assert_eq!(deadlines.next(), Some(Moment(110)));
        assert_eq!(deadlines.expired(&mut slots, Moment(120)), Some(0));
        slots[0].pop_waiting();
        assert_eq!(
            (deadlines.expired(&mut slots, Moment(200)), deadlines.next()),
            (None, None)
        );
    }

    #[test]
    fn there_is_one_entry_per_slot_however_many_requests_pass_or_wait() {
        let mut slots = vec![
            ConnectionSlot::new(ReplyLimits::default()),
            ConnectionSlot::new(ReplyLimits::default()),
        ];
        let mut deadlines = Deadlines::new(Duration::from_nanos(100));
        slots[0].push(request(0));
        deadlines.register(0, &mut slots[0]);
        for at in 0..10_000 {
            slots[1].push(request(at));
            deadlines.register(1, &mut slots[1]);
            assert_eq!(
                deadlines.expired(&mut slots, Moment(at)).filter(|&slot| slot == 1),
                None
            );
            slots[1].pop_waiting();
        }
        assert_eq!(deadlines.entries.len(), 2);
    }
}
