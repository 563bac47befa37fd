//! Opening the idle pool and the persistent connections, paced, before the run.
//!
//! Connects are started at the planned rate, and never more than a window of them are unanswered at once: a listener
//! whose queue is full drops the SYN, and the kernel repeats it only after a second.

use std::collections::BTreeMap;
use std::time::Duration;

use c10k_event::{Event, Interest, Trigger};

use crate::LoadError;
use crate::clock::Moment;
use crate::failure::Failure;
use crate::pacing::{Pace, Wait};
use crate::schedule::{Arrival, Schedule};
use crate::socket::{Link, Role};
use crate::worker::Worker;

/// Connects that are unanswered at once, on one thread.
const WINDOW: u64 = 128;
/// Without a single new connection for this long, the rest is given up.
const STALL: Duration = Duration::from_secs(8);

/// Connects of the opening phase that failed, by kind; those given up unanswered count as [`Failure::SocketTimeout`].
pub(crate) type OpeningFailures = BTreeMap<Failure, u64>;

struct Opening {
    idle_left: u64,
    lanes_left: std::ops::Range<u32>,
    unanswered: u64,
    last_progress: Moment,
    failures: OpeningFailures,
}

impl Opening {
    fn is_todo(&self) -> bool {
        self.idle_left > 0 || !self.lanes_left.is_empty()
    }

    fn failed(&mut self, failure: Failure) {
        *self.failures.entry(failure).or_insert(0) += 1;
    }
}

impl Worker<'_> {
    /// Opens this thread's part. What cannot be opened is reported and, for lanes, tried again when a request is due.
    pub(crate) fn open_connections(&mut self) -> Result<OpeningFailures, LoadError> {
        let rate = self.plan.connect_rate / self.share.threads as f64;
        let mut pace = Schedule::new(Arrival::Constant, rate, Duration::MAX, 0);
        let start = Moment::now();
        let mut opening = Opening {
            idle_left: self.idle.target,
            lanes_left: 0..self.lanes.len() as u32,
            unanswered: 0,
            last_progress: start,
            failures: OpeningFailures::new(),
        };
        loop {
            let now = Moment::now();
            let mut due = pace.peek().map(|due| start.after_ns(due.offset_ns));
            while opening.is_todo() && opening.unanswered < WINDOW && due.is_some_and(|due| due <= now) {
                self.open_one(&mut opening, now);
                pace.next();
                due = pace.peek().map(|due| start.after_ns(due.offset_ns));
            }
            let give_up = opening.last_progress.after(STALL);
            if (!opening.is_todo() && opening.unanswered == 0) || now >= give_up {
                break;
            }
            let next = due.filter(|_| opening.is_todo() && opening.unanswered < WINDOW);
            let timeout = match Pace::Sleep.wait(now, next, Some(give_up)) {
                Wait::Sleep(timeout) => timeout,
                Wait::Poll => Some(Duration::ZERO),
            };
            self.set.next_events(&mut self.events, timeout)?;
            while let Some(event) = self.set.take(&mut self.events) {
                self.opening_event(event, &mut opening);
            }
        }
        self.give_up_unanswered(&mut opening);
        Ok(opening.failures)
    }

    fn open_one(&mut self, opening: &mut Opening, now: Moment) {
        let result = if opening.idle_left > 0 {
            opening.idle_left -= 1;
            self.connect(Role::IdleOpening).map(|(key, link)| {
                if link == Link::Up {
                    self.set[key].role = Role::Idle;
                    self.idle.opened();
                }
                link
            })
        } else {
            match opening.lanes_left.next() {
                Some(lane) => self.connect_lane(lane),
                None => return,
            }
        };
        match result {
            Ok(Link::Up) => opening.last_progress = now,
            Ok(Link::Connecting) => opening.unanswered += 1,
            Err(failure) => {
                opening.failed(failure);
                if failure == Failure::NoDescriptor {
                    // What is left is for the lanes.
                    opening.idle_left = 0;
                }
            }
        }
    }

    fn opening_event(&mut self, event: Event, opening: &mut Opening) {
        let settled = event.readiness.is_writable() || event.readiness.is_error();
        match self.set[event.key].role {
            Role::Idle => self.idle_event(event.key),
            Role::IdleOpening if settled => {
                opening.unanswered -= 1;
                match self.set[event.key].connected() {
                    Ok(()) => {
                        opening.last_progress = Moment::now();
                        self.set[event.key].role = Role::Idle;
                        self.idle.opened();
                        // Its edge was consumed; a close that came with the connect shows on declaring again.
                        let _ = self.set.modify(event.key, Interest::READABLE, Trigger::Edge);
                    }
                    Err(errno) => {
                        opening.failed(errno.into());
                        drop(self.set.withdraw(event.key));
                    }
                }
            }
            Role::Lane(index) => match self.lanes[index as usize].connection {
                Some((key, Link::Connecting)) if settled => {
                    opening.unanswered -= 1;
                    match self.set[key].connected() {
                        Ok(()) => {
                            opening.last_progress = Moment::now();
                            self.lanes[index as usize].connection = Some((key, Link::Up));
                            let _ = self.set.modify(key, Interest::READABLE, Trigger::Edge);
                        }
                        Err(errno) => {
                            opening.failed(errno.into());
                            self.disconnect(index);
                        }
                    }
                }
                // The server closed it again at once: a later request connects anew.
                Some((_, Link::Up)) => self.disconnect(index),
                _ => {}
            },
            Role::IdleOpening => {}
        }
    }

    fn give_up_unanswered(&mut self, opening: &mut Opening) {
        let unanswered: Vec<_> = self
            .set
            .iter()
            .filter(|(_, socket)| socket.role == Role::IdleOpening)
            .map(|(key, _)| key)
            .collect();
        for key in unanswered {
            opening.failed(Failure::SocketTimeout);
            drop(self.set.withdraw(key));
        }
        let never_tried = std::mem::take(&mut opening.idle_left);
        if never_tried > 0 {
            *opening.failures.entry(Failure::SocketTimeout).or_insert(0) += never_tried;
        }
        for index in 0..self.lanes.len() as u32 {
            if matches!(self.lanes[index as usize].connection, Some((_, Link::Connecting))) {
                opening.failed(Failure::SocketTimeout);
                self.disconnect(index);
            }
        }
    }
}
