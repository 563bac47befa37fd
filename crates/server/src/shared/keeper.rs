//! The thread that sees to what is not an event: deadlines, pauses of accepting, the drain and the end.
//!
//! It is the thread that started the others and would only wait for their end. It serves no requests, so a long turn of a
//! worker delays no deadline, and the workers wait without timeouts of connections.

use std::thread;
use std::time::Duration;

use c10k_event::{Interest, Key, TryHold};

use super::dispatch::{Dispatch, Listening, Source};
use crate::Stop;
use crate::context::WorkerContext;
use crate::timeout::{TICK, Tick, Ticks};

/// How long the keeper waits at most while the server drains, whose end is no deadline of a connection.
const LONGEST_DRAINING_WAIT: Duration = Duration::from_secs(1);

/// How often the end of the waits is announced. If the kernel refuses this, the workers look by themselves.
const ANNOUNCEMENTS: usize = 2;

/// Runs until `stop` is requested and every request is answered, or the drain deadline has passed. Then ends the waits of the
/// workers.
pub(super) fn run(dispatch: &Dispatch, worker: WorkerContext, stop: &Stop) {
    stop.unparks(thread::current());
    let mut keeper = Keeper {
        dispatch,
        worker,
        resumes_at: None,
        undrained: Vec::new(),
    };
    loop {
        keeper.worker.refresh();
        if stop.is_requested() {
            keeper.drain();
        }
        keeper.expire();
        keeper.drain_connections();
        keeper.resume_accepting();
        keeper.worker.report();
        dispatch.report_events();
        if keeper.worker.core.is_drained(dispatch.set.is_empty()) {
            break;
        }
        thread::park_timeout(keeper.timeout());
    }
    end_waits(dispatch);
}

/// Ends the waits of the workers.
pub(super) fn end_waits(dispatch: &Dispatch) {
    // Stops at the first call that succeeds.
    let _ = (0..ANNOUNCEMENTS).any(|_| dispatch.set.end_waits().is_ok());
}

struct Keeper<'s> {
    dispatch: &'s Dispatch,
    worker: WorkerContext,
    /// When a pause of accepting ends, unless a connection ends before.
    resumes_at: Option<Tick>,
    /// Connections that do not know yet that the server drains, because a worker had them.
    undrained: Vec<Key>,
}

impl Keeper<'_> {
    /// Starts to drain: accepts the backlog and closes the listener.
    fn drain(&mut self) {
        if !self.worker.core.start_drain() {
            return;
        }
        // Before the listener ends: a client that finds it closed gets replies that close their connections.
        self.dispatch.server.stats.start_drain();
        if let Some(held) = self.dispatch.set.hold(self.dispatch.listener) {
            if let Source::Listener(listener) = &*held {
                // Connections for which there is no room now are reset by the end of the listener.
                let _ = self.dispatch.accept_some(listener, u32::MAX, &mut self.worker);
            }
            // If the kernel refuses, the error contains the listener, and this closes it.
            drop(held.withdraw());
        }
        self.undrained = self.dispatch.set.keys();
    }

    /// Makes the workers give every connection a turn. The keeper does not do it itself: there may be a request, and its work may
    /// block.
    fn drain_connections(&mut self) {
        for key in std::mem::take(&mut self.undrained) {
            match self.dispatch.set.try_hold(key) {
                TryHold::Held(held) => self.dispatch.call_for_turn(held, &mut self.worker),
                TryHold::Busy => self.undrained.push(key),
                TryHold::Withdrawn => {}
            }
        }
    }

    fn expire(&mut self) {
        let now = self.worker.core.now();
        for key in self.dispatch.timers.passed(now) {
            let mut held = match self.dispatch.set.try_hold(key) {
                TryHold::Held(held) => held,
                TryHold::Busy => {
                    // The keeper looks again at the next tick.
                    let _ = self.dispatch.timers.list(key, Tick(now.0.saturating_add(1)));
                    continue;
                }
                TryHold::Withdrawn => continue,
            };
            let Source::Connection(served) = &mut *held else {
                continue;
            };
            let deadline = served.connection.awaited().until;
            if deadline > now {
                served.listed = deadline;
                let _ = self.dispatch.timers.list(key, deadline);
                continue;
            }
            served.listed = Tick(u32::MAX);
            let action = served.connection.expire(&mut self.worker);
            self.dispatch.finish(held, action, &mut self.worker);
        }
    }

    /// Arms the listener when its pause is over.
    fn resume_accepting(&mut self) {
        let (now, back_off) = (self.worker.core.now(), self.worker.core.deadlines.back_off);
        let next = now.after(Ticks::covering(back_off));
        let is_over = match self.dispatch.accepting.state() {
            Listening::Open => {
                self.resumes_at = None;
                false
            }
            Listening::Paused => *self.resumes_at.get_or_insert(next) <= now,
            Listening::Room => true,
        };
        if !is_over {
            return;
        }
        self.resumes_at = None;
        self.dispatch.accepting.resume();
        let is_draining = self.worker.core.is_draining();
        let armed = self.dispatch.set.modify(self.dispatch.listener, Interest::READABLE);
        if armed.is_err() && !is_draining {
            self.dispatch.accepting.pause();
            self.resumes_at = Some(next);
        }
    }

    fn timeout(&self) -> Duration {
        let core = &self.worker.core;
        let mut timeout = self.dispatch.timers.timeout(core.now());
        if let Some(resumes_at) = self.resumes_at {
            timeout = timeout.min(core.time_until(resumes_at));
        }
        if core.is_draining() {
            timeout = timeout.min(LONGEST_DRAINING_WAIT);
        }
        if !self.undrained.is_empty() {
            timeout = timeout.min(TICK);
        }
        timeout
    }
}
