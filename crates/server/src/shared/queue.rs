//! The driver of `shared-queue`: threads that all wait for one interest set.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use c10k_event::{Events, Readiness};

use super::dispatch::Dispatch;
use super::keeper;
use crate::context::{ServerContext, WorkerContext};
use crate::readiness::{EofHint, INPUT_BYTES};
use crate::{ServeError, Stop};

/// Events fetched in one wait. A thread serves what it has fetched one after the other, and no other thread can take an event
/// over: an event behind a long turn would wait while other threads are free, and if it is that of the listener, nobody could
/// connect meanwhile. With one event that never happens, and each event costs a call that waits.
pub(super) const EVENTS_PER_WAIT: usize = 1;

/// How long a worker waits at most. By then it sees the end of the server even if the kernel refused to end its wait.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(16);

/// What an event says about the end of the input.
pub(super) fn eof_hint(readiness: Readiness) -> EofHint {
    if readiness.is_read_closed() {
        EofHint::Possible
    } else {
        EofHint::None
    }
}

/// A server whose threads share one queue of events.
#[derive(Debug)]
pub(crate) struct SharedQueue(Dispatch);

impl SharedQueue {
    /// A server on this listener. The calling thread has to run [`keep`](SharedQueue::keep).
    pub(crate) fn open(server: &Arc<ServerContext>, listener: OwnedFd) -> Result<SharedQueue, ServeError> {
        Dispatch::open(server, listener).map(SharedQueue)
    }

    /// Serves connections, as the worker of that number, until the keeper ends the waits.
    pub(crate) fn work(&self, worker: usize) -> Result<(), ServeError> {
        let SharedQueue(dispatch) = self;
        let mut worker = self.worker(worker);
        let mut events = Events::with_capacity(EVENTS_PER_WAIT);
        loop {
            dispatch.set.wait(&mut events, Some(LONGEST_WAIT))?;
            if events.woken() {
                worker.report();
                return Ok(());
            }
            worker.refresh();
            if worker.core.report_is_due() {
                dispatch.report_events();
            }
            while let Some((held, readiness)) = dispatch.set.take(&mut events) {
                dispatch.serve(held, eof_hint(readiness), &mut worker);
            }
            worker.report();
        }
    }

    /// Sees to deadlines, pauses and the drain, until the server is over.
    pub(crate) fn keep(&self, stop: &Stop) {
        keeper::run(&self.0, self.worker(0), stop);
    }

    /// Reports the counters of the set, when all threads are done.
    pub(crate) fn report(&self) {
        self.0.report_events();
    }

    /// All workers share the limit on connections.
    fn worker(&self, worker: usize) -> WorkerContext {
        let server = &self.0.server;
        WorkerContext::new(Arc::clone(server), worker, server.max_connections(), INPUT_BYTES)
    }
}
