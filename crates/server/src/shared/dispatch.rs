//! What the threads of the shared queue have in common, and what a thread does with a source that it holds.
//!
//! A source is oneshot: the thread that took its event has it alone until it arms the source again. A connection is armed at
//! the end of its turn; a condition that holds by then is reported again, to any thread. The listener is oneshot too: one thread
//! at a time accepts, so the limit on connections is kept without a lock of its own.
//!
//! No thread waits for a source while it holds another one, except that the thread that accepts tries those of idle
//! connections, without waiting.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::Thread;

use c10k_event::{Held, Interest, Key, SharedSet, TryHold};

use super::timers::{Attention, Timers};
use crate::ServeError;
use crate::accept::{Accept, Accepted, BatchEnd, Shortage, accept_batch, accept_nonblocking};
use crate::context::{ServerContext, WorkerContext};
use crate::core::evict_visited;
use crate::readiness::{Connection, EofHint, NextAction};
use crate::stats::WorkerStats;
use crate::timeout::Tick;

/// A source of the set.
#[derive(Debug)]
pub(super) enum Source {
    Listener(OwnedFd),
    Connection(Served),
}

/// A connection, and the deadline that is listed for it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) connection: Connection,
    /// Not later than the connection's own; `Tick(u32::MAX)` if none is listed.
    pub(super) listed: Tick,
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Source::Listener(listener) => listener.as_fd(),
            Source::Connection(served) => served.connection.as_fd(),
        }
    }
}

/// What the threads share.
#[derive(Debug)]
pub(super) struct Dispatch {
    pub(super) server: Arc<ServerContext>,
    pub(super) set: SharedSet<Source>,
    pub(super) listener: Key,
    pub(super) accepting: Accepting,
    pub(super) timers: Timers,
    /// The thread that sees to deadlines, pauses and the drain.
    keeper: Thread,
}

impl Dispatch {
    /// The calling thread is the keeper.
    pub(super) fn open(server: &Arc<ServerContext>, listener: OwnedFd) -> Result<Dispatch, ServeError> {
        let config = &server.config;
        let set = SharedSet::open_with(config.mechanism, &config.event_options)?;
        let declared = set.declare(Source::Listener(listener), Interest::READABLE);
        let listener = declared.map_err(|declined| declined.error)?;
        Ok(Dispatch {
            server: Arc::clone(server),
            set,
            listener,
            accepting: Accepting::new(),
            timers: Timers::new(),
            keeper: std::thread::current(),
        })
    }

    /// Does what the event of a source asks for.
    pub(super) fn serve(&self, mut held: Held<'_, Source>, hint: EofHint, worker: &mut WorkerContext) {
        if self.server.stats.is_draining() {
            worker.core.start_drain();
        }
        match &mut *held {
            Source::Listener(_) => self.accept(held, worker),
            Source::Connection(served) => {
                let action = served.connection.turn(hint, worker);
                self.finish(held, action, worker);
            }
        }
    }

    /// Does what a connection's turn asks for, and arms the connection.
    pub(super) fn finish(&self, mut held: Held<'_, Source>, mut action: NextAction, worker: &mut WorkerContext) {
        let key = held.key();
        let Source::Connection(served) = &mut *held else {
            return;
        };
        let interest = loop {
            action = match action {
                NextAction::Stats => {
                    self.report_events();
                    served.connection.answer_stats(worker)
                }
                NextAction::Block => served.connection.do_work(worker),
                NextAction::Close => return self.close(held, worker),
                NextAction::Wait(interest) => break interest,
                // The event that continues the turn comes behind those of all connections that are ready.
                NextAction::Again => break served.connection.continues_when(),
            };
        };
        served.connection.renew_deadline(worker);
        let deadline = served.connection.awaited().until;
        if deadline < served.listed {
            served.listed = deadline;
            self.attend(self.timers.list(key, deadline));
        }
        if held.arm(interest).is_err() {
            self.close(held, worker);
        }
    }

    /// Lets a worker give the connection a turn, soon: its socket is ready to be written, or it has output to send first.
    pub(super) fn call_for_turn(&self, mut held: Held<'_, Source>, worker: &mut WorkerContext) {
        if held.arm(Interest::READABLE | Interest::WRITABLE).is_err() {
            self.close(held, worker);
        }
    }

    fn close(&self, held: Held<'_, Source>, worker: &mut WorkerContext) {
        // If the kernel refuses, the error contains the source. Either way it is closed here.
        drop(held.withdraw());
        worker.core.output.bytes.clear();
        worker.closed();
        let last = self.server.stats.is_draining() && self.set.is_empty();
        if self.accepting.note_room() || last {
            self.keeper.unpark();
        }
    }

    /// Accepts as many connections as the policy says, and arms the listener unless there is a shortage.
    fn accept(&self, mut held: Held<'_, Source>, worker: &mut WorkerContext) {
        let Source::Listener(listener) = &*held else {
            return;
        };
        let most = self.server.config.accept.most();
        if let Err(shortage) = self.accept_some(listener, most, worker) {
            self.server.stats.report_shortage(&shortage);
            self.make_room(worker);
            self.accepting.pause();
            // A connection may have ended before the pause.
            if self.accept_some(listener, most, worker).is_err() {
                return self.keeper.unpark();
            }
            self.accepting.resume();
        }
        if let Err(error) = held.arm(Interest::READABLE) {
            // Otherwise the listener would never be ready again.
            let shortage = Shortage::Watch("the listener", error.to_string());
            self.server.stats.report_shortage(&shortage);
            self.accepting.pause();
            self.keeper.unpark();
        }
    }

    /// Accepts at most so many connections, for a thread that holds the listener.
    pub(super) fn accept_some(
        &self,
        listener: &OwnedFd,
        most: u32,
        worker: &mut WorkerContext,
    ) -> Result<BatchEnd, Shortage> {
        let mut batch = Batch {
            dispatch: self,
            listener,
            worker,
        };
        accept_batch(&mut batch, most)
    }

    fn declare_connection(&self, socket: OwnedFd, worker: &mut WorkerContext) -> Result<(), Shortage> {
        let mut connection = Connection::new(socket);
        connection.renew_deadline(worker);
        let deadline = connection.awaited().until;
        let served = Served {
            connection,
            listed: deadline,
        };
        match self.set.declare(Source::Connection(served), Interest::READABLE) {
            Ok(key) => {
                self.attend(self.timers.list_new(key, deadline));
                Ok(())
            }
            Err(declined) => {
                drop(declined.source);
                worker.closed();
                Err(Shortage::Watch("a connection", declined.error.to_string()))
            }
        }
    }

    /// Closes connections that have been idle for long, and that no thread holds.
    fn make_room(&self, worker: &mut WorkerContext) {
        let chosen = evict_visited(&mut worker.core, |visit| {
            for key in self.set.keys() {
                if let TryHold::Held(held) = self.set.try_hold(key)
                    && let Source::Connection(Served { connection, .. }) = &*held
                {
                    visit((key, connection.awaited().until), connection.awaited());
                }
            }
        });
        for (key, idle_until) in chosen {
            match self.set.try_hold(key) {
                TryHold::Held(held) if is_due(&held, idle_until) => self.close(held, worker),
                // It has just become active, or is gone.
                _ => worker.core.stats.evicted -= 1,
            }
        }
    }

    fn attend(&self, attention: Attention) {
        if attention == Attention::Now {
            self.keeper.unpark();
        }
    }

    /// Reports the counters of the set, as those of the first worker.
    pub(super) fn report_events(&self) {
        self.server.stats.set_event_counters(0, &self.set.counters());
    }
}

/// Whether the deadline of a connection is still this one.
fn is_due(source: &Source, deadline: Tick) -> bool {
    match source {
        Source::Connection(served) => served.connection.awaited().until == deadline,
        Source::Listener(_) => false,
    }
}

/// A batch of accepted connections.
struct Batch<'a> {
    dispatch: &'a Dispatch,
    listener: &'a OwnedFd,
    worker: &'a mut WorkerContext,
}

impl Accept for Batch<'_> {
    type Connection = OwnedFd;

    fn room(&mut self) -> Result<(), Shortage> {
        match self.worker.core.room(self.dispatch.server.stats.open_connections()) {
            0 => Err(Shortage::Connections),
            _ => Ok(()),
        }
    }

    fn accept(&mut self) -> Accepted {
        self.worker.core.stats.calls.accept4 += 1;
        accept_nonblocking(self.listener)
    }

    fn take(&mut self, connection: OwnedFd) -> Result<(), Shortage> {
        self.worker.opened();
        self.dispatch.declare_connection(connection, self.worker)
    }

    fn stats(&mut self) -> &mut WorkerStats {
        &mut self.worker.core.stats
    }
}

/// Whether the listener is armed.
#[derive(Debug)]
pub(super) struct Accepting(AtomicU8);

/// The states of [`Accepting`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listening {
    /// It is armed, or a thread accepts.
    Open,
    /// It is not, for want of room.
    Paused,
    /// It is not, and a connection has ended since.
    Room,
}

impl Accepting {
    fn new() -> Accepting {
        Accepting(AtomicU8::new(Listening::Open as u8))
    }

    /// What is tried after this and fails for want of room can wait for the end of a connection, or for the back-off.
    pub(super) fn pause(&self) {
        self.0.store(Listening::Paused as u8, Ordering::SeqCst);
    }

    pub(super) fn resume(&self) {
        self.0.store(Listening::Open as u8, Ordering::SeqCst);
    }

    /// Notes that a connection has ended. Returns whether the keeper has to arm the listener for that.
    fn note_room(&self) -> bool {
        let (paused, room) = (Listening::Paused as u8, Listening::Room as u8);
        // Either this sees the pause, or the thread that pauses sees, after it has said so, that there is room.
        self.0
            .compare_exchange(paused, room, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    pub(super) fn state(&self) -> Listening {
        let state = self.0.load(Ordering::SeqCst);
        [Listening::Open, Listening::Paused]
            .into_iter()
            .find(|listening| *listening as u8 == state)
            .unwrap_or(Listening::Room)
    }
}
