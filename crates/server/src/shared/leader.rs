//! What the leader has: the interest set with all connections, the listener, and the deadlines.
//!
//! A connection that a thread serves stays declared, and its place in the set says that it is out. With a level trigger it is
//! declared without interest meanwhile, because the condition would be reported again and again. A oneshot source is silent by
//! itself. With an edge trigger it stays as it is. An event of a connection that is out is remembered, and the connection has
//! another turn when it is back.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use c10k_event::{Events, Interest, InterestSet, Key, Trigger, Waker};

use super::job::{Job, Occasion, Parked, Served};
use crate::accept::{Accept, Accepted, BatchEnd, Shortage, accept_batch, accept_nonblocking};
use crate::config::AcceptPolicy;
use crate::context::{ServerContext, WorkerContext};
use crate::core::evict;
use crate::readiness::{Connection, EofHint, NextAction};
use crate::stats::WorkerStats;
use crate::timeout::{Deadline, Deadlined, TICK, Tick, Wheel};
use crate::{ServeError, Stop};

/// What the threads that serve connections tell the leader, and what the leader tells them.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Connections that are to come back into the set.
    served: Mutex<Vec<Served>>,
    /// Whether there was an event of a connection that is out.
    missed: AtomicBool,
    /// The tick at which the leader wakes by itself.
    wait_ends: AtomicU32,
}

impl Exchange {
    /// Leaves a connection for the leader.
    pub(super) fn leave(&self, served: Served) {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).push(served);
    }

    /// Whether the leader has to take a connection back before it wakes by itself. Call it after the connection was left.
    pub(super) fn leader_misses(&self, deadline: Tick) -> bool {
        self.missed.load(Ordering::SeqCst) || deadline.0 < self.wait_ends.load(Ordering::SeqCst)
    }

    fn take(&self) -> Vec<Served> {
        std::mem::take(&mut *self.served.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A source of the interest set.
#[derive(Debug)]
enum Source {
    Listener(OwnedFd),
    Connection(Place),
}

/// The place of a connection in the set.
#[derive(Debug)]
struct Place {
    socket: Arc<OwnedFd>,
    deadline: Deadline,
    /// `None` while a thread serves it.
    parked: Option<Parked>,
    /// What an event said that came meanwhile.
    missed: Option<EofHint>,
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Source::Listener(listener) => listener.as_fd(),
            Source::Connection(place) => place.socket.as_fd(),
        }
    }
}

impl Deadlined<Key> for InterestSet<Source> {
    fn deadline(&mut self, key: Key) -> Option<&mut Deadline> {
        match self.get_mut(key)? {
            Source::Connection(place) => Some(&mut place.deadline),
            Source::Listener(_) => None,
        }
    }
}

/// Whether the group accepts.
#[derive(Debug)]
enum ListenerState {
    /// The listener is in the set.
    Watched(Key),
    /// It is not, for want of room.
    Paused(OwnedFd),
    /// No more connections will come.
    Closed,
}

pub(super) struct Leader {
    /// What is decided for all threads: pauses, the drain, evictions.
    group: WorkerContext,
    set: InterestSet<Source>,
    events: Events,
    trigger: Trigger,
    policy: AcceptPolicy,
    listener: ListenerState,
    /// Whether the listener may have more connections, of which no event will come.
    more_to_accept: bool,
    wheel: Wheel<Key>,
    /// Turns that are due before the next wait.
    due: VecDeque<(Key, Occasion)>,
    /// Turns that are due after it.
    again: Vec<(Key, Occasion)>,
    /// How many places have missed an event.
    missed: usize,
    /// Whether the last wait found nothing to do, so that nothing is left to be reported.
    idle: bool,
}

impl Leader {
    /// Opens the set, and what wakes the leader.
    pub(super) fn open(server: &Arc<ServerContext>, listener: OwnedFd) -> Result<(Leader, Waker), ServeError> {
        let config = &server.config;
        let mut set = InterestSet::open_with(config.mechanism, &config.event_options)?;
        let waker = set.waker()?;
        let trigger = config.mechanism.default_trigger();
        let listener = set.declare(Source::Listener(listener), Interest::READABLE, trigger);
        let listener = listener.map_err(|declined| declined.error)?;
        let leader = Leader {
            // It serves no connection, so it needs no buffer.
            group: WorkerContext::new(Arc::clone(server), 0, server.max_connections(), 0),
            set,
            // They stay with the set until a leader takes them, one at a time.
            events: Events::with_capacity(config.events_per_wait.get().into()),
            trigger,
            policy: config.accept,
            listener: ListenerState::Watched(listener),
            more_to_accept: false,
            wheel: Wheel::new(),
            due: VecDeque::new(),
            again: Vec::new(),
            missed: 0,
            idle: false,
        };
        Ok((leader, waker))
    }

    /// Waits until a connection is to have its turn. `None` if the server is over.
    pub(super) fn next(
        &mut self,
        exchange: &Exchange,
        worker: &mut WorkerContext,
        stop: &Stop,
    ) -> Result<Option<Job>, ServeError> {
        loop {
            self.take_back(exchange);
            if self.is_over() {
                self.report();
                return Ok(None);
            }
            if let Some(job) = self.next_job(exchange, worker) {
                return Ok(Some(job));
            }
            self.wait(exchange, worker, stop)?;
        }
    }

    fn next_job(&mut self, exchange: &Exchange, worker: &mut WorkerContext) -> Option<Job> {
        while let Some(event) = self.set.take(&mut self.events) {
            self.idle = false;
            if matches!(self.listener, ListenerState::Watched(key) if key == event.key) {
                self.accept(worker);
                continue;
            }
            let eof = event.readiness.is_read_closed();
            let hint = if eof { EofHint::Possible } else { EofHint::None };
            if let Some(job) = self.hand_out(event.key, Occasion::Ready(hint), exchange) {
                return Some(job);
            }
        }
        while let Some((key, occasion)) = self.due.pop_front() {
            if let Some(job) = self.hand_out(key, occasion, exchange) {
                return Some(job);
            }
        }
        None
    }

    /// Waits once, and notes what is due.
    fn wait(&mut self, exchange: &Exchange, worker: &mut WorkerContext, stop: &Stop) -> Result<(), ServeError> {
        let timeout = self.agree_on_timeout(exchange);
        self.set.next_events(&mut self.events, Some(timeout))?;
        self.group.refresh();
        self.take_back(exchange);
        // Before the events: once the listener is closed, all replies of all threads close their connections.
        if stop.is_requested() {
            self.drain(worker);
        }
        if self.group.core.report_is_due() {
            self.report();
        }
        self.due.extend(self.again.drain(..));
        let accept_again = std::mem::take(&mut self.more_to_accept);
        self.idle = !accept_again && self.due.is_empty() && !self.events.woken();
        if accept_again {
            self.accept(worker);
        }
        self.wheel.advance(self.group.core.now());
        while let Some(key) = self.wheel.next_passed(&mut self.set) {
            self.idle = false;
            self.due.push_back((key, Occasion::Deadline));
        }
        Ok(())
    }

    /// How long the next wait may last. Connections that are left after this are either taken back here, or known to be able to
    /// wait that long.
    fn agree_on_timeout(&mut self, exchange: &Exchange) -> Duration {
        loop {
            // A connection that has come back may have been closed.
            self.watch_listener_again();
            let timeout = self.timeout();
            let ticks = timeout.as_millis().div_ceil(TICK.as_millis());
            let wait_ends = self
                .group
                .core
                .now()
                .0
                .saturating_add(u32::try_from(ticks).unwrap_or(u32::MAX));
            exchange.wait_ends.store(wait_ends, Ordering::SeqCst);
            if !self.take_back(exchange) {
                return timeout;
            }
        }
    }

    fn timeout(&mut self) -> Duration {
        if self.more_to_accept || !self.again.is_empty() {
            Duration::ZERO
        } else {
            self.group.core.timeout(self.idle, &mut self.wheel, &mut self.set)
        }
    }

    fn is_over(&self) -> bool {
        self.group.core.is_drained(self.set.is_empty())
    }

    /// Gives a connection to the calling thread, if no other one serves it.
    fn hand_out(&mut self, key: Key, occasion: Occasion, exchange: &Exchange) -> Option<Job> {
        let now = self.group.core.now();
        let Some(Source::Connection(place)) = self.set.get_mut(key) else {
            return None;
        };
        // It was postponed after it had come up.
        if occasion == Occasion::Deadline && place.deadline.at > now {
            return None;
        }
        let Some(connection) = place.parked.take() else {
            if let Occasion::Ready(hint) = occasion {
                self.missed += usize::from(place.missed.is_none());
                if place.missed != Some(EofHint::Possible) {
                    place.missed = Some(hint);
                }
                exchange.missed.store(true, Ordering::SeqCst);
            }
            return None;
        };
        if self.trigger == Trigger::Level && self.set.modify(key, Interest::NONE, self.trigger).is_err() {
            drop(connection);
            self.close(key);
            return None;
        }
        Some(Job {
            key,
            connection,
            occasion,
        })
    }

    /// Takes the connections that other threads have served. Returns whether there were any.
    fn take_back(&mut self, exchange: &Exchange) -> bool {
        let all = exchange.take();
        let any = !all.is_empty();
        for served in all {
            self.finish(served);
        }
        exchange.missed.store(self.missed > 0, Ordering::SeqCst);
        any
    }

    /// Does what a connection's turn asks for.
    pub(super) fn finish(&mut self, served: Served) {
        let Served {
            key,
            mut connection,
            action,
        } = served;
        let Some(Source::Connection(place)) = self.set.get_mut(key) else {
            return;
        };
        let missed = place.missed.take();
        self.missed -= usize::from(missed.is_some());
        if action == NextAction::Close {
            drop(connection);
            return self.close(key);
        }
        place.deadline.at = connection.awaited().until;
        self.wheel.schedule(key, &mut place.deadline);
        let arm = match (action, missed) {
            (NextAction::Wait(interest), None) => {
                let changed = std::mem::replace(&mut connection.interest, interest) != interest;
                // A source that is not silent by itself and not declared without interest is still armed.
                (changed || self.trigger != Trigger::Edge).then_some(interest)
            }
            (_, missed) => {
                let hint = missed.unwrap_or(EofHint::None);
                self.again.push((key, Occasion::Ready(hint)));
                None
            }
        };
        place.parked = Some(connection);
        if let Some(interest) = arm
            && self.set.modify(key, interest, self.trigger).is_err()
        {
            self.close(key);
        }
    }

    fn close(&mut self, key: Key) {
        // If the kernel refuses, the error contains the source. Either way it is closed here.
        drop(self.set.withdraw(key));
        self.group.closed();
    }

    /// Accepts as many connections as the policy says.
    fn accept(&mut self, worker: &mut WorkerContext) {
        let ListenerState::Watched(key) = self.listener else {
            return;
        };
        let most = self.policy.most();
        let outcome = accept_batch(&mut Batch { leader: self, worker }, most);
        worker.report();
        match outcome {
            Ok(end) => self.more_to_accept = end == BatchEnd::Full && self.trigger == Trigger::Edge,
            Err(shortage) => return self.pause(&shortage),
        }
        if self.trigger == Trigger::Oneshot
            && let Err(error) = self.set.modify(key, Interest::READABLE, self.trigger)
        {
            // Otherwise the listener would never be ready again.
            self.pause(&Shortage::Watch("the listener", error.to_string()));
        }
    }

    fn declare_connection(&mut self, socket: OwnedFd) -> Result<(), Shortage> {
        let socket = Arc::new(socket);
        let mut connection = Connection::new(Arc::clone(&socket));
        connection.renew_deadline(&self.group);
        let deadline = connection.awaited().until;
        let place = Source::Connection(Place {
            socket,
            deadline: Deadline::default(),
            parked: Some(connection),
            missed: None,
        });
        match self.set.declare(place, Interest::READABLE, self.trigger) {
            Ok(key) => {
                if let Some(Source::Connection(place)) = self.set.get_mut(key) {
                    place.deadline.at = deadline;
                    self.wheel.schedule(key, &mut place.deadline);
                }
                Ok(())
            }
            Err(declined) => {
                self.group.closed();
                Err(Shortage::Watch("a connection", declined.error.to_string()))
            }
        }
    }

    /// Takes the listener out of the set, and closes idle connections to make room.
    fn pause(&mut self, shortage: &Shortage) {
        self.group.server.stats.report_shortage(shortage);
        let ListenerState::Watched(key) = self.listener else {
            return;
        };
        self.group.core.pause_accepting();
        // If the kernel refuses, the error contains the source, and events that still come are stale.
        let source = match self.set.withdraw(key) {
            Ok(source) => Some(source),
            Err(error) => error.into_source(),
        };
        if let Some(Source::Listener(listener)) = source {
            self.listener = ListenerState::Paused(listener);
        }
        // After the pause has begun: a connection that is closed ends it.
        self.make_room();
    }

    /// Puts the listener back into the set when the pause is over.
    fn watch_listener_again(&mut self) {
        if !matches!(self.listener, ListenerState::Paused(_)) || !self.group.core.may_accept(self.set.len()) {
            return;
        }
        let ListenerState::Paused(listener) = std::mem::replace(&mut self.listener, ListenerState::Closed) else {
            return;
        };
        match self
            .set
            .declare(Source::Listener(listener), Interest::READABLE, self.trigger)
        {
            Ok(key) => self.listener = ListenerState::Watched(key),
            Err(declined) => {
                if let Source::Listener(listener) = declined.source {
                    self.listener = ListenerState::Paused(listener);
                }
                self.group.core.pause_accepting();
            }
        }
    }

    /// Starts to drain: accepts the backlog, closes the listener, and gives every connection a turn, so that even requests
    /// whose events were lost are answered.
    fn drain(&mut self, worker: &mut WorkerContext) {
        if !self.group.core.start_drain() {
            return;
        }
        self.group.server.stats.start_drain();
        self.policy = AcceptPolicy::All;
        self.accept(worker);
        self.more_to_accept = false;
        if let ListenerState::Watched(key) = std::mem::replace(&mut self.listener, ListenerState::Closed) {
            drop(self.set.withdraw(key));
        }
        let keys = self
            .set
            .iter()
            .map(|(key, _)| (key, Occasion::Ready(EofHint::Possible)));
        self.due.extend(keys);
    }

    /// Closes connections that have been idle for long.
    fn make_room(&mut self) {
        let connections = self.set.iter().filter_map(|(key, source)| match source {
            Source::Connection(place) => Some((key, place.parked.as_ref()?.awaited())),
            Source::Listener(_) => None,
        });
        for key in evict(&mut self.group.core, connections) {
            self.close(key);
        }
    }

    fn report(&mut self) {
        self.group.report_with(self.set.counters());
    }
}

/// A batch of accepted connections, which count as those of the thread that leads.
struct Batch<'a> {
    leader: &'a mut Leader,
    worker: &'a mut WorkerContext,
}

impl Accept for Batch<'_> {
    type Connection = OwnedFd;

    fn room(&mut self) -> Result<(), Shortage> {
        let Leader { group, .. } = &*self.leader;
        match group.core.room(group.server.stats.open_connections()) {
            0 => Err(Shortage::Connections),
            _ => Ok(()),
        }
    }

    fn accept(&mut self) -> Accepted {
        let ListenerState::Watched(key) = self.leader.listener else {
            return Accepted::Nobody;
        };
        match self.leader.set.get(key) {
            Some(Source::Listener(listener)) => {
                self.worker.core.stats.calls.accept4 += 1;
                accept_nonblocking(listener)
            }
            Some(Source::Connection(_)) | None => Accepted::Nobody,
        }
    }

    fn take(&mut self, connection: OwnedFd) -> Result<(), Shortage> {
        self.worker.opened();
        self.leader.declare_connection(connection)
    }

    fn stats(&mut self) -> &mut WorkerStats {
        &mut self.worker.core.stats
    }
}
