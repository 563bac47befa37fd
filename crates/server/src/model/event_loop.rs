//! `event-loop`: one thread, one interest set, any mechanism. The paper's event-based server.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use c10k_event::{Events, Interest, InterestSet, Key, Trigger};
use c10k_http::{Host, Stage};
use c10k_record::ServeSummary;

use super::{Descriptor, Dispatch};
use crate::clock::{Clock, Tick};
use crate::config::{AcceptPolicy, Deadlines};
use crate::connection::{Connection, Progress, Shared, Told, Verdict};
use crate::deadlines::{Due, Wheel};
use crate::listener::{self, Accepted};
use crate::tally::{self, Requests};
use crate::{Model, ServeError, Server, Stop};

pub(super) const ROW: Descriptor = Descriptor {
    name: "event-loop",
    summary: "one thread, one interest set, any mechanism",
    dispatch: Dispatch::Mechanism,
    probe: || Ok(()),
    run,
};

/// Events fetched in one wait.
const BATCH: usize = 512;

/// How long nothing is accepted after descriptors or memory were found used up, unless a connection ends before.
const BACK_OFF: Duration = Duration::from_millis(100);

fn run(server: Server, stop: &Stop) -> Result<ServeSummary, ServeError> {
    let mut events = Events::with_capacity(BATCH);
    let mut server = Loop::open(server, stop)?;
    loop {
        server.turn(&mut events)?;
        if stop.is_requested() {
            server.drain();
        }
        if server.is_over() {
            return Ok(server.summary());
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
    /// Closed for good.
    Closed,
}

struct Loop {
    model: Model,
    set: InterestSet<Source>,
    trigger: Trigger,
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
    shortage_told: bool,
    drained_at: Tick,
}

impl Loop {
    fn open(server: Server, stop: &Stop) -> Result<Loop, ServeError> {
        let max_connections = server.max_connections();
        let Server { config, listener, .. } = server;
        let mut set = InterestSet::open_with(config.mechanism, &config.event_options)?;
        stop.wakes(set.waker()?);
        let trigger = config.mechanism.default_trigger();
        let key = set
            .declare(Source::Listener(listener), Interest::READABLE, trigger)
            .map_err(|declined| declined.error)?;
        let mut clock = Clock::new();
        let date = clock.refresh().unwrap_or(c10k_http::Date::from_unix(0));
        let host = Host {
            date,
            limits: config.limits,
            work: config.work,
            stage: Stage::Serving,
        };
        Ok(Loop {
            model: config.model,
            set,
            trigger,
            accept: config.accept,
            max_connections,
            shared: Shared::new(host, clock, config.deadlines),
            wheel: Wheel::new(),
            door: Door::Open(key),
            more_to_accept: false,
            again: Vec::new(),
            due: Vec::new(),
            rescans: 0,
            shortage_told: false,
            drained_at: Tick(u32::MAX),
        })
    }

    /// One wait and everything that follows from it.
    fn turn(&mut self, events: &mut Events) -> Result<(), ServeError> {
        let pressed = self.more_to_accept || !self.again.is_empty();
        let timeout = if pressed { Duration::ZERO } else { self.wheel.timeout() };
        self.set.next_events(events, Some(timeout))?;
        self.shared.refresh();
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
        self.expire();
        self.reopen();
        Ok(())
    }

    fn is_over(&self) -> bool {
        let draining = self.shared.host.stage == Stage::Draining;
        draining && (self.set.is_empty() || self.shared.clock.now() >= self.drained_at)
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
                Accepted::Connection(socket) => self.admit(socket),
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
            self.rearm(key, Interest::READABLE);
        }
    }

    fn admit(&mut self, socket: OwnedFd) {
        self.shared.tally.opened();
        let connection = Source::Connection(Connection::new(socket));
        match self.set.declare(connection, Interest::READABLE, self.trigger) {
            Ok(key) => self.settle(key, Verdict::Wait(Interest::READABLE), Progress::None),
            Err(declined) => {
                self.shared.tally.closed();
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
            let body = serde_json::to_vec(&self.summary()).unwrap_or_default();
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
        self.shared.tally.closed();
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
        if !self.shortage_told {
            self.shortage_told = true;
            eprintln!("c10k serve: {why}: accepting waits for connections to end; said once");
        }
        let Door::Open(key) = self.door else { return };
        let until = self.shared.clock.now().after(BACK_OFF);
        self.door = match self.set.withdraw(key) {
            Ok(Source::Listener(listener)) => Door::Paused { listener, until },
            _ => Door::Open(key),
        };
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
        self.door = match self
            .set
            .declare(Source::Listener(listener), Interest::READABLE, self.trigger)
        {
            Ok(key) => Door::Open(key),
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
        if let Door::Open(key) = std::mem::replace(&mut self.door, Door::Closed) {
            drop(self.set.withdraw(key));
        }
        let keys: Vec<Key> = self.set.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.serve(key, Told::MaybeEnd);
        }
    }

    fn summary(&self) -> ServeSummary {
        let requests = Requests {
            well_formed: self.shared.output.requests,
            refused: self.shared.output.refused,
        };
        let mechanism = Some((self.set.mechanism(), self.set.counters()));
        tally::summary(self.model, mechanism, &self.shared.tally, requests)
    }
}
