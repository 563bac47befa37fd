//! The event loop that event-driven models run, one in each of their workers.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use c10k_event::{Events, Interest, InterestSet, Key, Trigger, Watch, WithdrawError};

use super::connection::Connection;
use super::helpers::Helpers;
use super::turn::{EofHint, INPUT_BYTES, NextAction, TakesTurns};
use crate::accept::{Accept, Accepted, BatchEnd, HandoffQueue, Shortage, accept_batch, accept_nonblocking};
use crate::config::{AcceptPolicy, AcceptSharing};
use crate::context::{ServerContext, WorkerContext};
use crate::core::{SpinLimit, evict};
use crate::stats::WorkerStats;
use crate::timeout::{Deadline, Deadlined, Tick, Wheel};
use crate::{Backlog, Recycle, ServeError, Stop};

/// Where a loop's connections come from.
#[derive(Debug)]
pub(crate) enum AcceptSource {
    /// A listener. If other loops watch it too, all of them learn of a connection.
    Listener(OwnedFd),
    /// A listener that other loops watch too. The kernel wakes one or few of them for a connection.
    Exclusive(OwnedFd),
    /// An acceptor, which hands them over.
    Handoff(Arc<HandoffQueue>),
}

/// Runs a loop until `stop` is requested and every request is answered, or the drain deadline has passed.
pub(crate) fn run(
    server: &Arc<ServerContext>,
    source: AcceptSource,
    worker: usize,
    max_connections: usize,
    stop: &Stop,
) -> Result<(), ServeError> {
    let worker = WorkerContext::new(Arc::clone(server), worker, max_connections, INPUT_BYTES);
    run_as::<Connection>(Box::new(worker), source, stop)
}

/// The same for the only loop of a server, which gives work that may block to helpers.
pub(crate) fn run_with_helpers(
    server: &Arc<ServerContext>,
    source: AcceptSource,
    helpers: Helpers,
    stop: &Stop,
) -> Result<(), ServeError> {
    let worker = WorkerContext::new(Arc::clone(server), 0, server.max_connections(), INPUT_BYTES);
    let mut driver = EventLoop::<Connection>::open(Box::new(worker), source, stop)?;
    helpers.wakes(driver.set.waker()?);
    driver.helpers = Some(helpers);
    driver.run(stop)
}

/// The same with connections of another kind.
pub(crate) fn run_as<C: TakesTurns>(worker: C::Worker, source: AcceptSource, stop: &Stop) -> Result<(), ServeError> {
    EventLoop::<C>::open(worker, source, stop)?.run(stop)
}

/// A source of the interest set.
enum Source<C> {
    Listener(OwnedFd),
    Connection(C),
}

impl<C: AsFd> AsFd for Source<C> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Source::Listener(listener) => listener.as_fd(),
            Source::Connection(connection) => connection.as_fd(),
        }
    }
}

impl<C: TakesTurns> Deadlined<Key> for InterestSet<Source<C>> {
    fn deadline(&mut self, key: Key) -> Option<&mut Deadline> {
        match self.get_mut(key)? {
            Source::Connection(connection) => Some(connection.deadline()),
            Source::Listener(_) => None,
        }
    }
}

/// Whether and how the loop accepts.
#[derive(Debug)]
enum ListenerState {
    /// The listener is in the set.
    Watched(Key),
    /// It is not, for want of room.
    Paused(OwnedFd),
    /// An acceptor hands connections over.
    Handoff(Arc<HandoffQueue>),
    /// No more connections will come.
    Closed,
}

struct EventLoop<C: TakesTurns> {
    worker: C::Worker,
    set: InterestSet<Source<C>>,
    trigger: Trigger,
    /// How the listener is declared.
    watch: Watch,
    policy: AcceptPolicy,
    /// How long the loop polls before it sleeps.
    spin: SpinLimit,
    listener: ListenerState,
    /// Whether the listener may have more connections, of which no event will come.
    more_to_accept: bool,
    wheel: Wheel<Key>,
    /// Who does work that may block; `None`: the loop.
    helpers: Option<Helpers>,
    /// Connections that are to have another turn.
    again: Vec<Key>,
    /// Whether the last turn had nothing to do, so that nothing is left to be reported.
    idle: bool,
    /// The rescans of the set so far.
    rescans: u64,
}

impl<C: TakesTurns> EventLoop<C> {
    fn open(worker: C::Worker, source: AcceptSource, stop: &Stop) -> Result<EventLoop<C>, ServeError> {
        let config = &worker.server.config;
        let mut set = InterestSet::open_with(config.mechanism, &config.event_options)?;
        let waker = set.waker()?;
        stop.wakes(waker.clone());
        let trigger = config.mechanism.default_trigger();
        let watch = Watch::new(Interest::READABLE, trigger);
        let (watch, listener) = match source {
            AcceptSource::Listener(listener) => (watch, declare(&mut set, listener, watch)?),
            AcceptSource::Exclusive(listener) => (watch.exclusive(), declare(&mut set, listener, watch.exclusive())?),
            AcceptSource::Handoff(queue) => {
                queue.wakes(waker);
                (watch, ListenerState::Handoff(queue))
            }
        };
        Ok(EventLoop {
            policy: config.accept,
            spin: SpinLimit::new(config.spin),
            worker,
            set,
            trigger,
            watch,
            listener,
            more_to_accept: false,
            wheel: Wheel::new(),
            helpers: None,
            again: Vec::new(),
            idle: false,
            rescans: 0,
        })
    }

    /// Turns until the server is over.
    fn run(mut self, stop: &Stop) -> Result<(), ServeError> {
        let mut events = Events::with_capacity(self.worker.server.config.events_per_wait.get().into());
        loop {
            self.turn(&mut events, stop)?;
            if self.is_over() {
                self.report();
                return Ok(());
            }
        }
    }

    /// Waits once, and handles what the wait returns.
    fn turn(&mut self, events: &mut Events, stop: &Stop) -> Result<(), ServeError> {
        let timeout = self.timeout();
        if self.spin.is_never() || timeout.is_zero() {
            self.set.next_events(events, Some(timeout))?;
        } else {
            self.spin_or_sleep(events, timeout)?;
        }
        self.worker.refresh();
        let waited = self.worker.core.now();
        // Before the events: once any worker has closed the listener, all replies of all workers close their connections.
        if stop.is_requested() {
            self.drain();
        }
        let tick_has_passed = self.worker.core.report_is_due();
        if tick_has_passed {
            self.report();
        }
        let again = std::mem::take(&mut self.again);
        let accept_again = std::mem::take(&mut self.more_to_accept);
        // A rescan with `select` reports data and the end of the input as the same thing, and only once.
        let rescanned = self.set.counters().rescans > self.rescans;
        self.rescans = self.set.counters().rescans;
        self.idle = !accept_again && again.is_empty() && !events.woken();
        while let Some(event) = self.set.take(events) {
            self.idle = false;
            if matches!(self.listener, ListenerState::Watched(key) if key == event.key) {
                self.accept();
                continue;
            }
            let eof = event.readiness.is_read_closed() || rescanned;
            self.serve(event.key, if eof { EofHint::Possible } else { EofHint::None });
        }
        if accept_again {
            self.accept();
        }
        for key in again {
            self.serve(key, EofHint::None);
        }
        // The acceptor or a helper may have failed to wake the loop, so it also looks by itself.
        if events.woken() || tick_has_passed {
            self.drain_handoff();
            self.answer_done();
        }
        // Time may have passed in work that blocks. The events that came meanwhile are handled before the deadlines that passed.
        self.expire(waited);
        self.watch_listener_again();
        Ok(())
    }

    /// Polls for events as long as the limit says, and then sleeps, for at most `timeout` in all.
    #[inline(never)]
    fn spin_or_sleep(&mut self, events: &mut Events, timeout: Duration) -> Result<(), ServeError> {
        let start = Instant::now();
        let limit = self.spin.now();
        let mut spun = Duration::ZERO;
        if !limit.is_zero() {
            loop {
                if self.set.next_events(events, Some(Duration::ZERO))? > 0 || events.woken() {
                    self.worker.core.stats.spins_found += 1;
                    self.spin.learn(start.elapsed());
                    return Ok(());
                }
                spun = start.elapsed();
                if spun >= timeout {
                    self.spin.learn_none();
                    return Ok(());
                }
                if spun >= limit {
                    break;
                }
            }
            self.worker.core.stats.spins_slept += 1;
        }
        if self.set.next_events(events, Some(timeout - spun))? > 0 || events.woken() {
            self.spin.learn(start.elapsed());
        } else {
            self.spin.learn_none();
        }
        Ok(())
    }

    /// How long the next wait may last.
    fn timeout(&mut self) -> Duration {
        if self.more_to_accept || !self.again.is_empty() {
            Duration::ZERO
        } else {
            self.worker.core.timeout(self.idle, &mut self.wheel, &mut self.set)
        }
    }

    fn is_over(&self) -> bool {
        let nothing_left = self.set.is_empty() && !matches!(self.listener, ListenerState::Handoff(_));
        self.worker.core.is_drained(nothing_left)
    }

    /// How many connections are open.
    fn connections(&self) -> usize {
        self.set.len() - usize::from(matches!(self.listener, ListenerState::Watched(_)))
    }

    /// Takes the connections that were handed over.
    fn drain_handoff(&mut self) {
        let ListenerState::Handoff(queue) = &self.listener else {
            return;
        };
        let (connections, closed) = queue.drain();
        if closed {
            self.listener = ListenerState::Closed;
        }
        self.worker.core.stats.accept_turns += u64::from(!connections.is_empty());
        for connection in connections {
            // The acceptor has counted it as open.
            self.worker.core.stats.accepted += 1;
            if let Err(shortage) = self.declare_connection(connection) {
                self.pause(&shortage);
            }
        }
    }

    /// Accepts as many connections as the policy says.
    fn accept(&mut self) {
        let ListenerState::Watched(key) = self.listener else {
            return;
        };
        let most = self.policy.most();
        match accept_batch(self, most) {
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
        let connection = C::open(socket, &mut self.worker).inspect_err(|_| self.worker.closed())?;
        match self
            .set
            .declare(Source::Connection(connection), Interest::READABLE, self.trigger)
        {
            Ok(key) => {
                self.start(key);
                Ok(())
            }
            Err(declined) => {
                self.end(Some(declined.source));
                Err(Shortage::Watch("a connection", declined.error.to_string()))
            }
        }
    }

    fn start(&mut self, key: Key) {
        if let Some(Source::Connection(connection)) = self.set.get_mut(key) {
            let action = connection.start(&mut self.worker);
            self.finish_turn(key, action);
        }
    }

    /// Gives a connection its turn.
    fn serve(&mut self, key: Key, hint: EofHint) {
        let Some(Source::Connection(connection)) = self.set.get_mut(key) else {
            return;
        };
        let action = connection.turn(hint, &mut self.worker);
        self.finish_turn(key, action);
    }

    /// Lets connections answer whose work the helpers have done.
    fn answer_done(&mut self) {
        let Some(helpers) = &self.helpers else {
            return;
        };
        for (key, outcome) in helpers.take_done() {
            self.idle = false;
            // If the connection is gone, its key names nothing: not the one that has its place.
            if let Some(Source::Connection(connection)) = self.set.get_mut(key) {
                let action = connection.answer_work(outcome, &mut self.worker);
                self.finish_turn(key, action);
            }
        }
    }

    /// Brings what a connection needs to continue its turn. Returns what the turn asks for then.
    fn supply(&mut self, key: Key, mut action: NextAction) -> NextAction {
        loop {
            if action == NextAction::Stats {
                self.report();
            }
            let Some(Source::Connection(connection)) = self.set.get_mut(key) else {
                return action;
            };
            action = match action {
                NextAction::Stats => connection.answer_stats(&mut self.worker),
                NextAction::Block => block(connection, key, self.helpers.as_ref(), &mut self.worker),
                NextAction::Wait(_) | NextAction::Again | NextAction::Close => return action,
            };
        }
    }

    /// Does what a connection's turn asks for.
    fn finish_turn(&mut self, key: Key, action: NextAction) {
        let action = self.supply(key, action);
        if action == NextAction::Close {
            return self.close(key);
        }
        let Some(Source::Connection(connection)) = self.set.get_mut(key) else {
            return;
        };
        connection.renew_deadline(&self.worker);
        self.wheel.schedule(key, connection.deadline());
        match action {
            // With other triggers its socket is silent already, or after one more event.
            NextAction::Wait(Interest::NONE) if self.trigger != Trigger::Level => {}
            NextAction::Wait(interest) if *connection.interest() != interest => {
                *connection.interest() = interest;
                self.modify(key, interest);
            }
            // A oneshot source is silent until it is armed again.
            NextAction::Wait(interest) if self.trigger == Trigger::Oneshot => self.modify(key, interest),
            NextAction::Again => self.again.push(key),
            NextAction::Wait(_) | NextAction::Stats | NextAction::Block | NextAction::Close => {}
        }
    }

    fn modify(&mut self, key: Key, interest: Interest) {
        if self.set.modify(key, interest, self.trigger).is_err() {
            self.close(key);
        }
    }

    fn close(&mut self, key: Key) {
        let source = self.withdraw(key);
        self.end(source);
    }

    /// Takes a source out of the set. If the kernel refuses, events of it that still come are stale.
    fn withdraw(&mut self, key: Key) -> Option<Source<C>> {
        self.set.withdraw(key).map_or_else(WithdrawError::into_source, Some)
    }

    /// Closes a connection that is not in the set.
    fn end(&mut self, source: Option<Source<C>>) {
        if let Some(Source::Connection(connection)) = source {
            connection.close(&mut self.worker);
        }
        self.worker.core.output.bytes.clear();
        self.worker.closed();
    }

    /// Does what follows deadlines that had passed at a time.
    fn expire(&mut self, at: Tick) {
        self.wheel.advance(at);
        while let Some(key) = self.wheel.next_passed(&mut self.set) {
            self.idle = false;
            if let Some(Source::Connection(connection)) = self.set.get_mut(key) {
                let action = connection.expire(&mut self.worker);
                self.finish_turn(key, action);
            }
        }
    }

    /// Takes the listener out of the set, and closes idle connections to make room.
    fn pause(&mut self, shortage: &Shortage) {
        self.worker.server.stats.report_shortage(shortage);
        self.make_room();
        let ListenerState::Watched(key) = self.listener else {
            return;
        };
        self.worker.core.pause_accepting();
        if let Some(Source::Listener(listener)) = self.withdraw(key) {
            self.listener = ListenerState::Paused(listener);
        }
    }

    /// Puts the listener back into the set when the pause is over.
    fn watch_listener_again(&mut self) {
        if !matches!(self.listener, ListenerState::Paused(_)) || !self.worker.core.may_accept(self.set.len()) {
            return;
        }
        let ListenerState::Paused(listener) = std::mem::replace(&mut self.listener, ListenerState::Closed) else {
            return;
        };
        match self.set.declare_with(Source::Listener(listener), self.watch) {
            Ok(declared) => self.listener = ListenerState::Watched(declared.key),
            Err(declined) => {
                if let Source::Listener(listener) = declined.source {
                    self.listener = ListenerState::Paused(listener);
                }
                self.worker.core.pause_accepting();
            }
        }
    }

    /// Starts to drain: accepts the backlog, closes the listener, and gives every connection a turn, so that even requests
    /// whose events were lost are answered.
    fn drain(&mut self) {
        if !self.worker.core.start_drain() {
            return;
        }
        if !self.abandons_backlog() {
            // Also from a listener that others watch: this loop may be the only one that was woken for what waits.
            self.policy = AcceptPolicy::All;
            self.accept();
        }
        self.more_to_accept = false;
        match std::mem::replace(&mut self.listener, ListenerState::Closed) {
            ListenerState::Watched(key) => drop(self.set.withdraw(key)),
            // It stays open until the acceptor has handed over all that it accepted.
            ListenerState::Handoff(queue) => self.listener = ListenerState::Handoff(queue),
            ListenerState::Paused(_) | ListenerState::Closed => {}
        }
        let keys: Vec<Key> = self.set.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.serve(key, EofHint::Possible);
        }
    }

    /// Whether the loop leaves while the server goes on, and is to close its own listener with what waits.
    fn abandons_backlog(&self) -> bool {
        let server = &self.worker.server;
        let abandons = |recycle: Recycle| recycle.backlog == Backlog::Abandon;
        let is_own = server.config.accept_sharing == AcceptSharing::Reuseport;
        is_own && server.config.recycle.is_some_and(abandons) && !server.stats.is_draining()
    }

    /// Closes connections that have been idle for long.
    fn make_room(&mut self) {
        let connections = self.set.iter().filter_map(|(key, source)| match source {
            Source::Connection(connection) => Some((key, connection.awaited())),
            Source::Listener(_) => None,
        });
        for key in evict(&mut self.worker.core, connections) {
            self.close(key);
        }
    }

    fn report(&mut self) {
        self.worker.report_with(self.set.counters());
    }
}

impl<C: TakesTurns> Accept for EventLoop<C> {
    type Connection = OwnedFd;

    fn room(&mut self) -> Result<(), Shortage> {
        if self.worker.core.room(self.connections()) == 0 {
            return Err(Shortage::Connections);
        }
        C::room(&mut self.worker)
    }

    fn accept(&mut self) -> Accepted {
        let ListenerState::Watched(key) = self.listener else {
            return Accepted::Nobody;
        };
        match self.set.get(key) {
            Some(Source::Listener(listener)) => {
                self.worker.core.stats.calls.accept4 += 1;
                accept_nonblocking(listener)
            }
            Some(Source::Connection(_)) | None => Accepted::Nobody,
        }
    }

    fn take(&mut self, connection: OwnedFd) -> Result<(), Shortage> {
        self.worker.opened();
        self.declare_connection(connection)
    }

    fn stats(&mut self) -> &mut WorkerStats {
        &mut self.worker.core.stats
    }
}

/// Has a connection's work done, or does it.
fn block<C: TakesTurns>(connection: &mut C, key: Key, helpers: Option<&Helpers>, worker: &mut C::Worker) -> NextAction {
    let Some(work) = connection.start_work() else {
        return NextAction::Wait(Interest::NONE);
    };
    let outcome = match helpers {
        None => worker.run_work(work),
        Some(helpers) => match helpers.hand_over(key, work, worker) {
            Ok(()) => return NextAction::Wait(Interest::NONE),
            Err(failure) => Err(failure),
        },
    };
    connection.answer_work(outcome, worker)
}

fn declare<C: TakesTurns>(
    set: &mut InterestSet<Source<C>>,
    listener: OwnedFd,
    watch: Watch,
) -> Result<ListenerState, ServeError> {
    match set.declare_with(Source::Listener(listener), watch) {
        Ok(declared) => Ok(ListenerState::Watched(declared.key)),
        Err(declined) => Err(declined.error.into()),
    }
}
