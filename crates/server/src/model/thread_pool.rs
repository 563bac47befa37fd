//! `thread-pool`: a fixed number of threads. An acceptor hands connections to them over a queue. The paper's pre-forked pool
//! of threads.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, PortSharing, Workers};
use crate::accept::{AcceptSink, Acceptor, Listeners, Shortage};
use crate::blocking::{BlockedThreads, BlockingWorker, STACK_BYTES, prepare_interrupts};
use crate::context::ServerContext;
use crate::stats::WorkerStats;
use crate::{ServeError, Stop, log};

pub(super) const ROW: Descriptor = Descriptor {
    name: "thread-pool",
    summary: "64 threads unless --workers says otherwise, each serving one connection at a time; more wait in a queue",
    dispatch: Dispatch::Own,
    workers: Workers::Fixed(64),
    concurrency: Concurrency::OnePerWorker,
    options: &[],
    connections_in: ConnectionsIn::Server,
    port: PortSharing::OneListener,
    probe: || Ok(()),
    check: |_| Ok(()),
    run,
};

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    prepare_interrupts();
    let workers = ROW.worker_count(&server.config);
    let threads = Arc::new(BlockedThreads::default());
    let queue = Arc::new(PoolQueue::default());
    for worker in 0..workers {
        let (server, queue) = (Arc::clone(server), Arc::clone(&queue));
        let mut guard = threads.expect_thread();
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || {
                guard.register();
                let mut worker = BlockingWorker::new(server, worker);
                while let Some(connection) = queue.take() {
                    worker.count_accepted();
                    worker.serve(connection);
                }
            })
            .map_err(|cause| ServeError::System { call: "clone", cause })?;
    }
    let acceptor = Acceptor {
        listener: listeners.first,
        server,
        sink: PoolSink {
            queue: &queue,
            server,
            workers,
        },
        max_connections: server.max_connections(),
        at_maximum: |_| Shortage::Connections,
        stats: WorkerStats::default(),
    };
    acceptor.run(stop)?;
    queue.close();
    threads.interrupt_all(server.config.deadlines.drain);
    Ok(())
}

/// Connections that wait for a thread.
#[derive(Default)]
struct PoolQueue {
    queued: Mutex<Queued>,
    changed: Condvar,
}

#[derive(Default)]
struct Queued {
    connections: VecDeque<OwnedFd>,
    closed: bool,
}

impl PoolQueue {
    fn put(&self, connection: OwnedFd) {
        self.queued
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .connections
            .push_back(connection);
        self.changed.notify_one();
    }

    /// Waits for a connection. `None` when the queue is closed and empty.
    fn take(&self) -> Option<OwnedFd> {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = queued.connections.pop_front() {
                return Some(connection);
            }
            if queued.closed {
                return None;
            }
            queued = self.changed.wait(queued).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }
}

/// Puts connections into the queue.
struct PoolSink<'a> {
    queue: &'a PoolQueue,
    server: &'a ServerContext,
    workers: usize,
}

impl AcceptSink for PoolSink<'_> {
    /// The thread that serves it counts it as accepted, so that the balance between the threads is reported.
    fn take(&mut self, connection: OwnedFd, _: &mut WorkerStats) -> Result<(), Shortage> {
        // A new maximum of workers + 1 occurs once: no connection had to wait before.
        if self.server.stats.opened() == Some(self.workers + 1) {
            log::full(self.workers, "threads", "queue");
        }
        self.queue.put(connection);
        Ok(())
    }
}
