//! All connections in one thread, on any mechanism: one sample for all of them in each period.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use c10k_event::{Events, Interest, InterestSet, Key, Trigger};

use crate::connection::{Connection, Next, Stage, Worker};
use crate::counts::Count;
use crate::feed::Demand;
use crate::listener::{Accepted, Listener};
use crate::service::{PAUSE, Service};
use crate::{MonitorError, Stop};

/// Events fetched in one wait.
const EVENTS_PER_WAIT: usize = 512;

/// Connections accepted before others have their turn.
const ACCEPTS: usize = 256;

/// The longest wait: a stop takes effect then, even if the mechanism loses every event.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The shortest and the longest time from one look at the deadlines to the next.
const SWEEPS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

enum Source {
    Listener(Listener),
    Connection(Connection),
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Source::Listener(listener) => listener.as_fd(),
            Source::Connection(connection) => connection.as_fd(),
        }
    }
}

/// Whether the loop accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accepting {
    Yes,
    /// There may be connections of which no event will come.
    Again,
    /// Not before then, or the end of a connection.
    PausedUntil(Instant),
    /// Never again: the daemon ends then.
    DrainUntil(Instant),
}

struct EventLoop<'a> {
    service: &'a Service,
    worker: Worker,
    set: InterestSet<Source>,
    trigger: Trigger,
    listener: Key,
    accepting: Accepting,
    sweep: Duration,
    next_sweep: Instant,
    /// Connections that are to have another turn.
    again: Vec<Key>,
    /// What a round of lines or of deadlines has changed; kept for its memory.
    changed: Vec<(Key, Next)>,
}

/// Runs until `stop` is requested and every stream has ended, or the drain deadline has passed.
pub(crate) fn run(listener: Listener, service: &Service, stop: &Stop) -> Result<(), MonitorError> {
    let mut this = EventLoop::open(listener, service, stop)?;
    let mut events = Events::with_capacity(EVENTS_PER_WAIT);
    while !this.is_over() {
        this.step(&mut events, stop)?;
    }
    this.close_all();
    Ok(())
}

impl<'a> EventLoop<'a> {
    fn open(listener: Listener, service: &'a Service, stop: &Stop) -> Result<EventLoop<'a>, MonitorError> {
        let mechanism = service.config.mechanism;
        let (trigger, now) = (mechanism.default_trigger(), Instant::now());
        let mut set = InterestSet::open(mechanism)?;
        stop.wakes(set.waker()?);
        let listener = set
            .declare(Source::Listener(listener), Interest::READABLE, trigger)
            .map_err(|declined| declined.error)?;
        let deadlines = &service.config.deadlines;
        let shortest = deadlines
            .head
            .min(deadlines.idle)
            .min(deadlines.stalled)
            .min(deadlines.linger);
        let sweep = (shortest / 4).clamp(SWEEPS.0, SWEEPS.1);
        Ok(EventLoop {
            worker: service.worker(service.max_subscribers(), now)?,
            service,
            set,
            trigger,
            listener,
            accepting: Accepting::Yes,
            sweep,
            next_sweep: now + sweep,
            again: Vec::new(),
            changed: Vec::new(),
        })
    }

    /// Waits once, and handles what has happened.
    fn step(&mut self, events: &mut Events, stop: &Stop) -> Result<(), MonitorError> {
        // A round of lines may have taken long, so the time of the last wait does not do.
        let timeout = self.timeout(Instant::now());
        self.set.next_events(events, Some(timeout))?;
        self.worker.now = Instant::now();
        if stop.is_requested() {
            self.drain();
        }
        // Before the events, so that who subscribes in this step gets the next sample.
        self.publish();
        self.turn(events);
        self.expire();
        Ok(())
    }

    fn is_draining(&self) -> bool {
        self.worker.stage == Stage::Draining
    }

    fn connections(&self) -> usize {
        self.set.len() - usize::from(!self.is_draining())
    }

    fn is_over(&self) -> bool {
        match self.accepting {
            Accepting::DrainUntil(end) => self.set.is_empty() || self.worker.now >= end,
            Accepting::Yes | Accepting::Again | Accepting::PausedUntil(_) => false,
        }
    }

    /// How long the next wait may last.
    fn timeout(&self, now: Instant) -> Duration {
        if self.accepting == Accepting::Again || !self.again.is_empty() {
            return Duration::ZERO;
        }
        let mut timeout = LONGEST_WAIT;
        if self.worker.counts.subscribers_now() > 0 {
            timeout = timeout.min(self.worker.feed.until_next(now));
        }
        if self.connections() > 0 {
            timeout = timeout.min(self.next_sweep.saturating_duration_since(now));
        }
        if let Accepting::PausedUntil(end) | Accepting::DrainUntil(end) = self.accepting {
            timeout = timeout.min(end.saturating_duration_since(now));
        }
        timeout
    }

    /// If a period has begun, makes its sample and sends the line to all subscribers.
    fn publish(&mut self) {
        let demand = match self.worker.counts.subscribers_now() {
            0 => Demand::None,
            _ => Demand::Subscribed,
        };
        let stalled = self.worker.now + self.worker.deadlines.stalled;
        let Some(reading) = self.worker.feed.tick(self.worker.now, demand) else {
            return;
        };
        for (key, source) in self.set.iter_mut() {
            let Source::Connection(connection) = source else {
                continue;
            };
            let next = connection.publish(reading, &self.worker.counts, stalled);
            if next != Next::Wait(connection.interest) {
                self.changed.push((key, next));
            }
        }
        self.apply_changes();
    }

    fn apply_changes(&mut self) {
        let mut changed = std::mem::take(&mut self.changed);
        for (key, next) in changed.drain(..) {
            self.follow(key, next);
        }
        self.changed = changed;
    }

    /// Handles the events of one wait, and the turns that are left from earlier ones.
    fn turn(&mut self, events: &mut Events) {
        let again = std::mem::take(&mut self.again);
        let mut accepts = match self.accepting {
            Accepting::Again => true,
            Accepting::PausedUntil(end) if end <= self.worker.now => self.resume(),
            _ => false,
        };
        while let Some(event) = self.set.take(events) {
            if event.key == self.listener {
                accepts = true;
            } else {
                self.serve(event.key);
            }
        }
        if accepts && !self.is_draining() {
            self.accept();
        }
        for key in again {
            self.serve(key);
        }
    }

    /// Accepts until nobody waits, the batch is complete or there is no room.
    fn accept(&mut self) {
        self.accepting = Accepting::Again;
        for _ in 0..ACCEPTS {
            if self.connections() >= self.service.room {
                return self.pause(None);
            }
            let Some(Source::Listener(listener)) = self.set.get(self.listener) else {
                return;
            };
            match listener.accept() {
                Accepted::Connection(socket) => {
                    self.worker.counts.add(Count::Accepted, 1);
                    let connection = Connection::new(socket, &self.worker);
                    let declared = self
                        .set
                        .declare(Source::Connection(connection), Interest::READABLE, self.trigger);
                    // The error has the source, which is closed here.
                    if declared.is_err() {
                        return self.pause(None);
                    }
                }
                Accepted::Nobody => {
                    self.accepting = Accepting::Yes;
                    if self.trigger == Trigger::Oneshot {
                        self.watch_listener(Interest::READABLE);
                    }
                    return;
                }
                Accepted::Gone => {}
                Accepted::Shortage(errno) => return self.pause(Some(errno)),
            }
        }
    }

    /// Stops accepting for a while.
    fn pause(&mut self, cause: Option<rustix::io::Errno>) {
        self.service.report_shortage(cause);
        self.accepting = Accepting::PausedUntil(self.worker.now + PAUSE);
        self.watch_listener(Interest::NONE);
    }

    /// Ends a pause if there is room. Returns whether the loop accepts again.
    fn resume(&mut self) -> bool {
        if self.connections() >= self.service.room {
            self.accepting = Accepting::PausedUntil(self.worker.now + PAUSE);
            return false;
        }
        self.accepting = Accepting::Yes;
        self.watch_listener(Interest::READABLE);
        true
    }

    fn watch_listener(&mut self, interest: Interest) {
        if self.set.modify(self.listener, interest, self.trigger).is_err() && interest == Interest::READABLE {
            // The loop looks by itself until the mechanism takes the listener again.
            self.accepting = Accepting::PausedUntil(self.worker.now + PAUSE);
        }
    }

    fn serve(&mut self, key: Key) {
        if let Some(Source::Connection(connection)) = self.set.get_mut(key) {
            let next = connection.turn(&mut self.worker);
            self.follow(key, next);
        }
    }

    /// Does what a connection waits for.
    fn follow(&mut self, key: Key, next: Next) {
        let interest = match next {
            Next::Wait(interest) => interest,
            Next::Again => return self.again.push(key),
            Next::Close => return self.close(key),
        };
        let Some(Source::Connection(connection)) = self.set.get_mut(key) else {
            return;
        };
        // A oneshot source is silent until it is armed again.
        if connection.interest != interest || self.trigger == Trigger::Oneshot {
            connection.interest = interest;
            if self.set.modify(key, interest, self.trigger).is_err() {
                self.close(key);
            }
        }
    }

    fn close(&mut self, key: Key) {
        let source = match self.set.withdraw(key) {
            Ok(source) => Some(source),
            Err(error) => error.into_source(),
        };
        if let Some(Source::Connection(mut connection)) = source {
            connection.account(&self.worker.counts);
        }
        if let Accepting::PausedUntil(end) = &mut self.accepting {
            *end = self.worker.now;
        }
    }

    /// Ends what has passed its deadline.
    fn expire(&mut self) {
        let now = self.worker.now;
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + self.sweep;
        for (key, source) in self.set.iter_mut() {
            if let Source::Connection(connection) = source
                && connection.deadline().is_some_and(|deadline| deadline <= now)
            {
                let next = connection.expire(&mut self.worker);
                self.changed.push((key, next));
            }
        }
        self.apply_changes();
    }

    /// Starts to drain: accepts and answers what has come, closes the listener, and ends every stream after its line.
    fn drain(&mut self) {
        if self.is_draining() {
            return;
        }
        self.accept();
        let keys: Vec<Key> = self
            .set
            .iter()
            .map(|(key, _)| key)
            .filter(|key| *key != self.listener)
            .collect();
        for &key in &keys {
            self.serve(key);
        }
        drop(self.set.withdraw(self.listener));
        self.accepting = Accepting::DrainUntil(self.worker.now + self.worker.deadlines.drain);
        self.worker.stage = Stage::Draining;
        for key in keys {
            if let Some(Source::Connection(connection)) = self.set.get_mut(key) {
                let next = connection.drain(&mut self.worker);
                self.follow(key, next);
            }
        }
    }

    fn close_all(&mut self) {
        for (_, source) in self.set.iter_mut() {
            if let Source::Connection(connection) = source {
                connection.account(&self.worker.counts);
            }
        }
    }
}

#[cfg(test)]
mod tests;
