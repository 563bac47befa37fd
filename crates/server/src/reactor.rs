//! The event loop that the event-driven models run, one in each of their workers: an interest set of any mechanism, its
//! connections, and the door through which they come.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use c10k_event::{Events, Interest, InterestSet, Key, Trigger, Waker, Watch};
use c10k_http::Stage;

use crate::clock::Tick;
use crate::config::{AcceptPolicy, Deadlines};
use crate::connection::{Connection, Progress, Shared, Told, Verdict};
use crate::deadlines::{Due, Wheel};
use crate::ledger::Ledger;
use crate::listener::{self, Accepted};
use crate::{Config, ServeError, Stop, limits};

/// Events fetched in one wait.
const BATCH: usize = 512;

/// How long nothing is accepted after descriptors or memory were found used up, unless a connection ends before.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Connections closed at once to make room.
const EVICTED: usize = 32;

/// Where a loop's connections come from.
#[derive(Debug)]
pub(crate) enum Entrance {
    /// A listener, alone or together with other loops: all of them are told of a connection.
    Listener(OwnedFd),
    /// A listener shared with other loops, of which the kernel tells one or few.
    Exclusive(OwnedFd),
    /// Somebody else accepts.
    Inbox(Arc<Inbox>),
}

/// Connections on their way from an acceptor to a loop.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<Mail>);

#[derive(Debug, Default)]
struct Mail {
    connections: Vec<OwnedFd>,
    waker: Option<Waker>,
    /// Nothing more will come.
    closed: bool,
}

impl Inbox {
    /// Hands a connection over.
    pub(crate) fn put(&self, connection: OwnedFd) {
        self.change(|mail| mail.connections.push(connection));
    }

    /// Tells the loop that nothing more will come.
    pub(crate) fn close(&self) {
        self.change(|mail| mail.closed = true);
    }

    fn change(&self, change: impl FnOnce(&mut Mail)) {
        let mut mail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut mail);
        if let Some(waker) = &mail.waker {
            // A loop that cannot be woken looks by itself within a second.
            let _ = waker.wake();
        }
    }

    fn take(&self) -> (Vec<OwnedFd>, bool) {
        let mut mail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut mail.connections), mail.closed)
    }
}

/// Runs a loop until `stop` is requested and everything in flight was answered, or the drain deadline has passed.
pub(crate) fn run(
    config: &Config,
    entrance: Entrance,
    ledger: Arc<Ledger>,
    worker: usize,
    stop: &Stop,
) -> Result<(), ServeError> {
    let mut events = Events::with_capacity(BATCH);
    let mut reactor = Loop::open(config, entrance, ledger, worker, stop)?;
    loop {
        reactor.turn(&mut events, stop)?;
        if reactor.is_over() {
            reactor.report();
            return Ok(());
        }
    }
}

/// What the interest set owns.
#[derive(Debug)]
enum Source {
    Listener(OwnedFd),
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

/// Where the listener is.
#[derive(Debug)]
enum Door {
    Open(Key),
    /// Out of the set, for want of room.
    Paused {
        listener: OwnedFd,
        until: Tick,
    },
    /// Connections are brought.
    Inbox(Arc<Inbox>),
    /// Closed for good.
    Closed,
}

struct Loop {
    ledger: Arc<Ledger>,
    worker: usize,
    set: InterestSet<Source>,
    trigger: Trigger,
    /// How the listener is declared.
    watch: Watch,
    accept: AcceptPolicy,
    max_connections: usize,
    shared: Shared,
    wheel: Wheel<Key>,
    door: Door,
    /// Whether the listener may hold more than was accepted, untold.
    more_to_accept: bool,
    /// Connections that stopped to be fair.
    again: Vec<Key>,
    due: Vec<(Tick, Key)>,
    rescans: u64,
    reported: Tick,
    /// No connection is closed to make room before.
    evicting: Tick,
    drained_at: Tick,
}

impl Loop {
    fn open(
        config: &Config,
        entrance: Entrance,
        ledger: Arc<Ledger>,
        worker: usize,
        stop: &Stop,
    ) -> Result<Loop, ServeError> {
        let mut set = InterestSet::open_with(config.mechanism, &config.event_options)?;
        let waker = set.waker()?;
        stop.wakes(waker.clone());
        let trigger = config.mechanism.default_trigger();
        let watch = Watch::new(Interest::READABLE, trigger);
        let (watch, door) = match entrance {
            Entrance::Listener(listener) => (watch, declare(&mut set, listener, watch)?),
            Entrance::Exclusive(listener) => (watch.exclusive(), declare(&mut set, listener, watch.exclusive())?),
            Entrance::Inbox(inbox) => {
                inbox.change(|mail| mail.waker = Some(waker));
                (watch, Door::Inbox(inbox))
            }
        };
        Ok(Loop {
            ledger,
            worker,
            set,
            trigger,
            watch,
            accept: config.accept,
            max_connections: config.max_connections.unwrap_or_else(limits::room_for_connections),
            shared: Shared::new(config),
            wheel: Wheel::new(),
            door,
            more_to_accept: false,
            again: Vec::new(),
            due: Vec::new(),
            rescans: 0,
            reported: Tick(0),
            evicting: Tick(0),
            drained_at: Tick(u32::MAX),
        })
    }

    /// One wait and everything that follows from it.
    fn turn(&mut self, events: &mut Events, stop: &Stop) -> Result<(), ServeError> {
        let pressed = self.more_to_accept || !self.again.is_empty();
        let timeout = if pressed { Duration::ZERO } else { self.wheel.timeout() };
        self.set.next_events(events, Some(timeout))?;
        self.shared.refresh();
        // Before the events: once any worker has closed the listener, every reply of every worker says so.
        if stop.is_requested() {
            self.drain();
        }
        let later = self.shared.clock.now() > self.reported;
        if later {
            self.report();
        }
        let again = std::mem::take(&mut self.again);
        let accept_again = std::mem::take(&mut self.more_to_accept);
        // A rescan by `select` tells data and the end of the input as the same thing, and once.
        let rescanned = self.set.counters().rescans > self.rescans;
        self.rescans = self.set.counters().rescans;
        while let Some(event) = self.set.take(events) {
            if matches!(self.door, Door::Open(key) if key == event.key) {
                self.accept();
                continue;
            }
            let ends = event.readiness.is_read_closed() || rescanned;
            self.serve(event.key, if ends { Told::MaybeEnd } else { Told::Data });
        }
        if accept_again {
            self.accept();
        }
        for key in again {
            self.serve(key, Told::Data);
        }
        // Whoever brings connections may have failed to wake the loop: it looks by itself too, at least once a second.
        if events.woken() || later {
            self.look_in();
        }
        self.expire();
        self.reopen();
        Ok(())
    }

    fn is_over(&self) -> bool {
        let draining = self.shared.host.stage == Stage::Draining;
        let nobody = self.set.is_empty() && !matches!(self.door, Door::Inbox(_));
        draining && (nobody || self.shared.clock.now() >= self.drained_at)
    }

    /// Takes the connections that were brought.
    fn look_in(&mut self) {
        let Door::Inbox(inbox) = &self.door else { return };
        let (connections, closed) = inbox.take();
        if closed {
            self.door = Door::Closed;
        }
        self.shared.tally.accept_turns += u64::from(!connections.is_empty());
        for connection in connections {
            // The acceptor has counted it as open.
            self.admit(connection);
        }
    }

    /// Accepts as many connections as the policy wants.
    fn accept(&mut self) {
        let mut left = self.accept.most();
        let before = self.shared.tally.accepted;
        let Door::Open(key) = self.door else { return };
        while left > 0 {
            if self.set.len() > self.max_connections {
                self.pause("the cap on connections is reached");
                break;
            }
            let Some(Source::Listener(listener)) = self.set.get(key) else {
                return;
            };
            self.shared.tally.calls.accept4 += 1;
            match listener::accept(listener) {
                Accepted::Connection(socket) => {
                    self.ledger.opened();
                    self.admit(socket);
                }
                Accepted::Nobody => break,
                Accepted::Gone => {}
                Accepted::Shortage(errno) => {
                    self.pause(&format!("accept4 failed ({errno})"));
                    break;
                }
            }
            left -= 1;
        }
        self.shared.tally.accept_turns += u64::from(self.shared.tally.accepted > before);
        if let Door::Open(key) = self.door {
            self.more_to_accept = left == 0 && self.trigger == Trigger::Edge;
            if self.trigger == Trigger::Oneshot
                && let Err(error) = self.set.modify(key, Interest::READABLE, self.trigger)
            {
                // A listener that stays silent would never bring anybody again.
                self.pause(&format!("watching the listener: {error}"));
            }
        }
    }

    fn admit(&mut self, socket: OwnedFd) {
        self.shared.tally.accepted += 1;
        let connection = Source::Connection(Connection::new(socket));
        match self.set.declare(connection, Interest::READABLE, self.trigger) {
            Ok(key) => self.settle(key, Verdict::Wait(Interest::READABLE), Progress::None),
            Err(declined) => {
                self.closed();
                self.pause(&format!("watching a connection: {}", declined.error));
            }
        }
    }

    /// Gives a connection its turn.
    fn serve(&mut self, key: Key, told: Told) {
        let before = self.shared.output.requests;
        let Some(Source::Connection(connection)) = self.set.get_mut(key) else {
            return;
        };
        let verdict = connection.turn(told, &mut self.shared);
        self.conclude(key, verdict, before);
    }

    /// Does what a turn asks for.
    fn conclude(&mut self, key: Key, mut verdict: Verdict, requests_before: u64) {
        while verdict == Verdict::Stats {
            self.report();
            let body = serde_json::to_vec(&self.ledger.summary()).unwrap_or_default();
            let Some(Source::Connection(connection)) = self.set.get_mut(key) else {
                return;
            };
            verdict = connection.answer_stats(&body, &mut self.shared);
        }
        let received = self.shared.output.requests > requests_before;
        self.settle(key, verdict, if received { Progress::Request } else { Progress::None });
    }

    fn settle(&mut self, key: Key, verdict: Verdict, progress: Progress) {
        if verdict == Verdict::Close {
            self.close(key);
            return;
        }
        let Some(Source::Connection(connection)) = self.set.get_mut(key) else {
            return;
        };
        connection.settle(progress, &self.shared);
        self.wheel.schedule(key, &mut connection.deadline);
        match verdict {
            Verdict::Wait(interest) if connection.interest != interest => {
                connection.interest = interest;
                if self.set.modify(key, interest, self.trigger).is_err() {
                    self.close(key);
                }
            }
            Verdict::Wait(interest) => self.rearm(key, interest),
            Verdict::Again => self.again.push(key),
            Verdict::Stats | Verdict::Close => {}
        }
    }

    /// A oneshot source is silent until it is armed again.
    fn rearm(&mut self, key: Key, interest: Interest) {
        if self.trigger == Trigger::Oneshot && self.set.modify(key, interest, self.trigger).is_err() {
            self.close(key);
        }
    }

    fn close(&mut self, key: Key) {
        // Where the kernel could not be told, the source comes back in the error; either way it is closed here.
        drop(self.set.withdraw(key));
        self.shared.output.bytes.clear();
        self.closed();
        if let Door::Paused { until, .. } = &mut self.door {
            *until = self.shared.clock.now();
        }
    }

    fn expire(&mut self) {
        let now = self.shared.clock.now();
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(now, &mut due);
        for (tick, key) in due.drain(..) {
            let Some(Source::Connection(connection)) = self.set.get_mut(key) else {
                continue;
            };
            if self.wheel.judge(tick, key, &mut connection.deadline) == Due::Passed {
                let before = self.shared.output.requests;
                let verdict = connection.expire(&mut self.shared);
                self.conclude(key, verdict, before);
            }
        }
        self.due = due;
    }

    /// Takes the listener out of the set for want of room.
    fn pause(&mut self, why: &str) {
        self.ledger.tell_shortage(why);
        self.make_room();
        let Door::Open(key) = self.door else { return };
        let until = self.shared.clock.now().after(BACK_OFF);
        // Where the kernel could not be told, the source comes back in the error, and what it still tells is stale.
        let source = match self.set.withdraw(key) {
            Ok(source) => Some(source),
            Err(error) => error.into_source(),
        };
        if let Some(Source::Listener(listener)) = source {
            self.door = Door::Paused { listener, until };
        }
    }

    /// Puts the listener back when its pause is over.
    fn reopen(&mut self) {
        let Door::Paused { until, .. } = &self.door else { return };
        if self.shared.clock.now() < *until || self.set.len() >= self.max_connections {
            return;
        }
        let Door::Paused { listener, .. } = std::mem::replace(&mut self.door, Door::Closed) else {
            return;
        };
        self.door = match self.set.declare_with(Source::Listener(listener), self.watch) {
            Ok(declared) => Door::Open(declared.key),
            Err(declined) => match declined.source {
                Source::Listener(listener) => Door::Paused {
                    listener,
                    until: self.shared.clock.now().after(BACK_OFF),
                },
                Source::Connection(_) => Door::Closed,
            },
        };
    }

    /// Begins to drain, once: takes the backlog, closes the listener, and gives every connection a turn, so that even
    /// requests whose events were lost are answered.
    fn drain(&mut self) {
        if self.shared.host.stage == Stage::Draining {
            return;
        }
        self.shared.host.stage = Stage::Draining;
        let Deadlines { drain, .. } = self.shared.deadlines;
        self.drained_at = self.shared.clock.now().after(drain);
        self.accept = AcceptPolicy::All;
        self.accept();
        self.more_to_accept = false;
        match std::mem::replace(&mut self.door, Door::Closed) {
            Door::Open(key) => drop(self.set.withdraw(key)),
            // Open until the acceptor has handed over all that it accepted.
            Door::Inbox(inbox) => self.door = Door::Inbox(inbox),
            Door::Paused { .. } | Door::Closed => {}
        }
        let keys: Vec<Key> = self.set.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.serve(key, Told::MaybeEnd);
        }
    }

    /// Closes the connections that have been idle longest, if they have been for a while.
    fn make_room(&mut self) {
        let now = self.shared.clock.now();
        if now < self.evicting {
            return;
        }
        self.evicting = now.after(BACK_OFF);
        let mut idle: Vec<(Tick, Key)> = self
            .set
            .iter()
            .filter_map(|(key, source)| match source {
                Source::Connection(connection) => connection.spare_since(&self.shared).map(|since| (since, key)),
                Source::Listener(_) => None,
            })
            .collect();
        if idle.len() > EVICTED {
            idle.select_nth_unstable_by_key(EVICTED, |(since, _)| *since);
            idle.truncate(EVICTED);
        }
        for (_, key) in idle {
            self.shared.tally.evicted += 1;
            self.close(key);
        }
    }

    fn closed(&mut self) {
        self.ledger.closed();
        self.shared.tally.calls.close += 1;
    }

    /// Adds what was counted to the ledger.
    fn report(&mut self) {
        self.reported = self.shared.clock.now();
        self.shared.tally.requests = std::mem::take(&mut self.shared.output.requests);
        self.shared.tally.refused = std::mem::take(&mut self.shared.output.refused);
        self.ledger.absorb(self.worker, &mut self.shared.tally);
        self.ledger.note_events(self.worker, self.set.counters());
    }
}

fn declare(set: &mut InterestSet<Source>, listener: OwnedFd, watch: Watch) -> Result<Door, ServeError> {
    match set.declare_with(Source::Listener(listener), watch) {
        Ok(declared) => Ok(Door::Open(declared.key)),
        Err(declined) => Err(declined.error.into()),
    }
}
