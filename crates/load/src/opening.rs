//! Opening the idle pool and the persistent connections, paced, before the run.
//!
//! Connects are started at the planned rate, and never more than a window of them are unanswered at once: a listener
//! whose queue is full drops the SYN, and the kernel repeats it only after a second.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Range;
use std::time::Duration;

use crate::LoadError;
use crate::clock::Moment;
use crate::failure::Failure;
use crate::pacing::{Pace, Wait};
use crate::profile::Profile;
use crate::schedule::{Arrival, Schedule};
use crate::socket::Role;
use crate::sockets::SocketEvent;
use crate::watch::PULSE;
use crate::worker::Worker;
use crate::world::Link;

/// Connects that are unanswered at once, on one thread.
const WINDOW: u64 = 128;
/// Without a single new connection for this long, the rest is given up.
const STALL: Duration = Duration::from_secs(8);

/// Connects of the opening phase that failed, by kind; those given up unanswered count as [`Failure::SocketTimeout`].
pub(crate) type OpeningFailures = BTreeMap<Failure, u64>;

struct Opening {
    idle_left: u64,
    lanes_left: Range<u32>,
    unanswered: u64,
    last_progress: Moment,
    failures: OpeningFailures,
}

impl Opening {
    fn may_start(&self) -> bool {
        (self.idle_left > 0 || !self.lanes_left.is_empty()) && self.unanswered < WINDOW
    }

    fn is_over(&self) -> bool {
        self.idle_left == 0 && self.lanes_left.is_empty() && self.unanswered == 0
    }

    fn failed(&mut self, failure: Failure, count: u64) {
        if count > 0 {
            *self.failures.entry(failure).or_insert(0) += count;
        }
    }
}

impl Worker<'_> {
    /// Opens this thread's part. What cannot be opened is reported and, for lanes, tried again when a request is due.
    pub(crate) fn open_connections(&mut self) -> Result<OpeningFailures, LoadError> {
        let rate = self.plan.connect_rate / self.share.threads as f64;
        let mut pace = Schedule::new(
            Arrival::Constant,
            Profile::constant(rate),
            NonZeroU64::MIN,
            Duration::MAX,
            0,
        );
        let start = Moment::now();
        let mut opening = Opening {
            idle_left: self.idle.target,
            lanes_left: 0..self.engine.lane_count(),
            unanswered: 0,
            last_progress: start,
            failures: OpeningFailures::new(),
        };
        let due = |pace: &Schedule| pace.peek().map(|due| start.after_ns(due.offset_ns));
        loop {
            let now = Moment::now();
            while opening.may_start() && due(&pace).is_some_and(|due| due <= now) {
                self.open_one(&mut opening, now);
                pace.next();
            }
            let give_up = opening.last_progress.after(STALL);
            if opening.is_over() || now >= give_up || self.stop.requested().is_some() {
                break;
            }
            self.tell_progress(now);
            let next = due(&pace).filter(|_| opening.may_start());
            let wake = give_up.min(now.after(PULSE));
            let timeout = match Pace::Sleep.wait(now, next, Some(wake)) {
                Wait::Sleep(timeout) => timeout,
                Wait::Poll => Some(Duration::ZERO),
            };
            self.engine.world.wait(timeout)?;
            while let Some(found) = self.engine.world.take() {
                self.opening_event(found, &mut opening);
            }
        }
        self.give_up_unanswered(&mut opening);
        Ok(opening.failures)
    }

    fn open_one(&mut self, opening: &mut Opening, now: Moment) {
        let is_idle = opening.idle_left > 0;
        let result = if is_idle {
            opening.idle_left -= 1;
            self.engine.world.open_idle().map(|(_, link)| link)
        } else if let Some(lane) = opening.lanes_left.next() {
            self.engine.open_lane(lane)
        } else {
            return;
        };
        match result {
            Ok(Link::Up) => {
                opening.last_progress = now;
                if is_idle {
                    self.idle.opened();
                }
            }
            Ok(Link::Connecting) => opening.unanswered += 1,
            Err(failure) => {
                opening.failed(failure, 1);
                if failure == Failure::NoDescriptor {
                    // The few descriptors that come free are for the lanes.
                    let given_up = std::mem::take(&mut opening.idle_left);
                    opening.failed(failure, given_up);
                }
            }
        }
    }

    fn opening_event(&mut self, found: SocketEvent, opening: &mut Opening) {
        let SocketEvent { event, role } = found;
        let has_ended = event.readiness.is_writable() || event.readiness.is_error();
        match role {
            Role::IdleOpening if !has_ended => {}
            Role::IdleOpening => {
                opening.unanswered -= 1;
                match self.engine.world.idle_connected(event.key) {
                    Ok(()) => {
                        opening.last_progress = Moment::now();
                        self.idle.opened();
                    }
                    Err(failure) => opening.failed(failure, 1),
                }
            }
            Role::Lane(lane) if self.engine.link(lane) == Some(Link::Connecting) => {
                self.handle(found);
                match self.engine.link(lane) {
                    Some(Link::Connecting) => {}
                    Some(Link::Up) => {
                        opening.unanswered -= 1;
                        opening.last_progress = Moment::now();
                    }
                    None => {
                        opening.unanswered -= 1;
                        opening.failed(Failure::ConnectionRefused, 1);
                    }
                }
            }
            Role::Lane(_) | Role::Idle => self.handle(found),
        }
    }

    fn give_up_unanswered(&mut self, opening: &mut Opening) {
        let idle = self.engine.world.give_up_idle_opening() + std::mem::take(&mut opening.idle_left);
        opening.failed(Failure::SocketTimeout, idle);
        for lane in 0..self.engine.lane_count() {
            if self.engine.link(lane) == Some(Link::Connecting) {
                opening.failed(Failure::SocketTimeout, 1);
                self.engine.disconnect(lane);
            }
        }
    }
}
