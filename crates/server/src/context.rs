//! What a server's workers share, and what a worker's connections share.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use c10k_event::Counters;
use c10k_http::{BlockingWork, Date, Step, Unsent, WorkFailure};

use crate::Config;
use crate::completion_port::{Entered, Left, PortThread, Summons};
use crate::core::{BodyBudget, ConnectionCore, WorkerCore};
use crate::disk::{self, WorkOutcome};
use crate::helpers::{Admitted, WorkLimit};
use crate::stats::SharedStats;
use crate::timeout::Clock;

/// What all workers of a server share.
#[derive(Debug)]
pub(crate) struct ServerContext {
    pub(crate) config: Config,
    pub(crate) stats: SharedStats,
    /// How many connections the limit on descriptors allows.
    pub(crate) room: usize,
}

impl ServerContext {
    /// How many connections may be open at once, where the model itself sets no limit.
    pub(crate) fn max_connections(&self) -> usize {
        self.config.max_connections.unwrap_or(self.room)
    }

    /// The share of one of so many workers, so that all together stay below the limit.
    pub(crate) fn max_connections_of_each(&self, workers: usize) -> usize {
        (self.max_connections() / workers).max(1)
    }
}

/// What all connections of a worker share: the worker's decisions, and what it does I/O with.
#[derive(Debug)]
pub(crate) struct WorkerContext {
    pub(crate) core: WorkerCore,
    /// The read buffer.
    pub(crate) input: Box<[u8]>,
    pub(crate) server: Arc<ServerContext>,
    /// In a pool of which few threads run at once: the thread of this worker.
    pub(crate) port: Option<PortThread>,
    worker: usize,
    clock: Clock,
    /// The counters of the worker's interest set, as of its last report.
    reported: Counters,
}

impl WorkerContext {
    /// The worker of that number, which may have so many connections open, with a read buffer of so many bytes.
    pub(crate) fn new(
        server: Arc<ServerContext>,
        worker: usize,
        max_connections: usize,
        input_bytes: usize,
    ) -> WorkerContext {
        let mut clock = Clock::new();
        let bodies = BodyBudget::new(server.stats.held_bodies(), server.config.held_bodies);
        let date = clock.refresh().unwrap_or(Date::from_unix(0));
        WorkerContext {
            core: WorkerCore::new(&server.config, bodies, max_connections, date),
            input: vec![0; input_bytes].into_boxed_slice(),
            server,
            port: None,
            worker,
            clock,
            reported: Counters::default(),
        }
    }

    /// Reads the clock.
    #[inline]
    pub(crate) fn refresh(&mut self) {
        let date = self.clock.refresh();
        self.core.advance(self.clock.now(), date);
    }

    /// Counts a connection that was accepted.
    pub(crate) fn opened(&mut self) {
        self.core.stats.accepted += 1;
        self.server.stats.opened();
    }

    /// Counts a connection that was closed.
    pub(crate) fn closed(&mut self) {
        self.core.closed();
        self.server.stats.closed();
    }

    /// Counts a connection that was closed by a request on a ring, and not by a call.
    pub(crate) fn closed_on_ring(&mut self) {
        self.core.closed_without_call();
        self.server.stats.closed();
    }

    /// Adds what was counted to the server's statistics.
    pub(crate) fn report(&mut self) {
        self.server.stats.add(self.worker, self.core.stats_to_report());
    }

    /// The same, with the counters of the worker's interest set.
    pub(crate) fn report_with(&mut self, events: &Counters) {
        self.report();
        self.server
            .stats
            .add_event_counters(self.worker, &events.since(&self.reported));
        self.reported.clone_from(events);
    }

    /// Admits work that may block to the helper threads, and counts it.
    ///
    /// # Errors
    /// How the request is to be answered, if too much work is out.
    pub(crate) fn admit_work(&mut self, limit: &Arc<WorkLimit>) -> Result<Admitted, WorkFailure> {
        let Some(admitted) = limit.admit() else {
            self.core.stats.work_refused += 1;
            return Err(WorkFailure::Shortage);
        };
        self.core.stats.work_handed_over += 1;
        self.server.stats.work_waits(admitted.waiting);
        Ok(admitted)
    }

    /// Answers a request for the statistics ([`Step::Stats`]), after a report.
    pub(crate) fn answer_stats(&mut self, connection: &mut ConnectionCore) -> Step {
        self.report();
        let body = serde_json::to_vec(&self.server.stats.summary()).unwrap_or_default();
        connection.answer_stats(&body, &mut self.core)
    }

    /// Opens the file that a connection asks for ([`Step::Open`]), and answers. Returns the step that follows, and the file
    /// if part of it is to be sent.
    pub(crate) fn answer_file(&mut self, connection: &mut ConnectionCore) -> (Step, Option<OwnedFd>) {
        let found = match (&self.server.config.root, connection.machine.file_path()) {
            (Some(root), Some(path)) => root.find(&path, &mut self.core.stats.calls),
            _ => Err(Unsent::Missing),
        };
        let (file, facts) = match found {
            Ok((file, facts)) => (Some(file), Ok(facts)),
            Err(unsent) => (None, Err(unsent)),
        };
        let step = connection.answer_file(facts, &mut self.core);
        (step, file.filter(|_| connection.machine.needs_file()))
    }

    /// A scheduling point: where few threads run at once and this one has lost its place, it waits for another.
    #[inline]
    pub(crate) fn keep_place(&mut self) {
        if let Some(entered) = self.port.as_ref().and_then(PortThread::check) {
            self.note(Some(entered));
            self.refresh();
        }
    }

    /// Gives up the thread's place and waits until it is to wait for an event.
    pub(crate) fn seek_event(&self) -> Summons {
        self.port.as_ref().map_or(Summons::WaitForEvent, PortThread::seek)
    }

    /// Waits for a place, since there is an event.
    pub(crate) fn begin_turn(&mut self) {
        let entered = self.port.as_ref().map(PortThread::begin);
        self.note(entered);
    }

    fn note(&mut self, entered: Option<Entered>) {
        if let Some(Entered { waits, running }) = entered {
            self.core.stats.place_waits += waits;
            self.server.stats.running(running);
        }
    }

    /// Does the work that a connection asks for ([`Step::Block`]), which may block this thread, and answers. Returns the step
    /// that follows.
    pub(crate) fn do_work(&mut self, connection: &mut ConnectionCore) -> Step {
        let outcome = match connection.machine.blocking_work() {
            Some(work) => self.run_work(work),
            None => Err(WorkFailure::Failed),
        };
        connection.answer_work(outcome.as_deref().map_err(|failure| *failure), &mut self.core)
    }

    /// Does work that may block this thread. A thread of a pool of which few run at once gives its place to another meanwhile.
    pub(crate) fn run_work(&mut self, work: BlockingWork) -> WorkOutcome {
        if self.port.is_some() {
            self.core.stats.places_given_up += 1;
            // While it is blocked, it does not report.
            self.report();
        }
        let left = self.port.as_ref().map(PortThread::leave);
        let outcome = disk::run(self.server.config.disk.as_ref(), work);
        let entered = left.map(Left::enter);
        self.note(entered);
        // Deadlines that follow begin now.
        self.refresh();
        outcome
    }
}
