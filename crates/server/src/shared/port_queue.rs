//! The driver of `completion-port`: a pool of threads on one interest set, of which a limited number runs at once.
//!
//! The threads serve a [`Dispatch`], as those of the shared queue do. When each of them may run is for the
//! [port](crate::completion_port) to say.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use c10k_event::Events;

use super::dispatch::Dispatch;
use super::keeper;
use super::queue::{EVENTS_PER_WAIT, LONGEST_WAIT, eof_hint};
use crate::completion_port::{Port, PortThread, Summons, ThreadStates, run_monitor};
use crate::context::{ServerContext, WorkerContext};
use crate::readiness::INPUT_BYTES;
use crate::stats::WorkerStats;
use crate::{ServeError, Stop};

/// The threads of the pool and of the monitor, which share this. A thread that is blocked when the server ends outlives it, so they
/// own it.
#[derive(Debug)]
pub(crate) struct PortQueue {
    dispatch: Dispatch,
    port: Arc<Port>,
    states: ThreadStates,
}

/// A thread that was started.
type Started = JoinHandle<Result<(), ServeError>>;

impl PortQueue {
    /// Serves connections with so many threads, of which so many run at once, until the server is over.
    ///
    /// A thread that has no place when the drain deadline passes is left alone: it is blocked, or was. It ends when it has done what it
    /// does, or with the process.
    pub(crate) fn run(
        server: &Arc<ServerContext>,
        listener: OwnedFd,
        stop: &Stop,
        threads: usize,
        concurrency: usize,
    ) -> Result<(), ServeError> {
        let queue = Arc::new(PortQueue {
            dispatch: Dispatch::open(server, listener)?,
            port: Port::new(concurrency, threads),
            states: ThreadStates::open(threads).map_err(|errno| ServeError::System {
                call: "openat",
                cause: errno.into(),
            })?,
        });
        let mut started = Vec::with_capacity(threads);
        let mut outcome = queue.start(stop, threads, &mut started);
        if outcome.is_ok() {
            keeper::run(&queue.dispatch, queue.worker(0, None), stop);
        } else {
            keeper::end_waits(&queue.dispatch);
        }
        queue.port.end();
        queue.port.await_holders();
        for (thread, started) in started.into_iter().enumerate() {
            if queue.port.is_absent(thread) {
                let served = started.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                outcome = outcome.and(served);
            }
        }
        queue.dispatch.report_events();
        outcome
    }

    /// Starts the pool and the monitor. `started` has the threads of the pool, also if one cannot be started.
    fn start(self: &Arc<PortQueue>, stop: &Stop, threads: usize, started: &mut Vec<Started>) -> Result<(), ServeError> {
        let refused = |cause| ServeError::System { call: "clone", cause };
        for thread in 0..threads {
            let (queue, stop) = (Arc::clone(self), stop.clone());
            let work = move || queue.work(thread).inspect_err(|_| stop.request());
            started.push(Builder::new().spawn(work).map_err(refused)?);
        }
        let queue = Arc::clone(self);
        let watch = move || {
            let mut stats = WorkerStats::default();
            run_monitor(&queue.port, &queue.states, || {
                stats.places_noticed += 1;
                queue.dispatch.server.stats.add(0, &mut stats);
            });
        };
        Builder::new()
            .name("monitor".to_owned())
            .spawn(watch)
            .map(drop)
            .map_err(refused)
    }

    /// Serves connections, as the thread of that number, until the port has ended.
    fn work(&self, thread: usize) -> Result<(), ServeError> {
        self.states.register(thread);
        let mut worker = self.worker(thread, Some(self.port.thread(thread)));
        let mut events = Events::with_capacity(EVENTS_PER_WAIT);
        while worker.seek_event() == Summons::WaitForEvent {
            // Until there is an event the thread is still one of those that wait.
            while events.is_empty() && !events.woken() {
                self.dispatch.set.wait(&mut events, Some(LONGEST_WAIT))?;
            }
            if events.woken() {
                break;
            }
            worker.begin_turn();
            worker.refresh();
            if worker.core.report_is_due() {
                self.dispatch.report_events();
            }
            while let Some((held, readiness)) = self.dispatch.set.take(&mut events) {
                self.dispatch.serve(held, eof_hint(readiness), &mut worker);
            }
            worker.report();
        }
        Ok(())
    }

    fn worker(&self, number: usize, port: Option<PortThread>) -> WorkerContext {
        let server = &self.dispatch.server;
        let mut worker = WorkerContext::new(Arc::clone(server), number, server.max_connections(), INPUT_BYTES);
        worker.port = port;
        worker
    }
}
