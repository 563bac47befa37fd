//! `thread-per-connection`: a thread for every connection, started when it is accepted. The paper's on-demand threads.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, PortSharing, Workers};
use crate::accept::{AcceptSink, Acceptor, Listeners, Shortage};
use crate::blocking::{BlockedThreads, BlockingWorker, STACK_BYTES, prepare_interrupts};
use crate::context::ServerContext;
use crate::stats::WorkerStats;
use crate::{ServeError, Stop};

/// Threads at once by default: 8,000 stacks are a quarter of the usual limit on mappings.
const MAX_THREADS: usize = 8000;

pub(super) const ROW: Descriptor = Descriptor {
    name: "thread-per-connection",
    summary: "a thread for every connection, up to 8,000 unless --max-connections says otherwise; more wait in the backlog",
    dispatch: Dispatch::Own,
    workers: Workers::One,
    concurrency: Concurrency::WorkerPerConnection(MAX_THREADS),
    options: &[],
    connections_in: ConnectionsIn::Server,
    port: PortSharing::OneListener,
    probe: || Ok(()),
    check: |_| Ok(()),
    run,
};

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    prepare_interrupts();
    let most = server.config.max_connections.unwrap_or(MAX_THREADS);
    let acceptor = Acceptor {
        listener: listeners.first,
        server,
        sink: Spawner {
            server,
            threads: Arc::default(),
        },
        max_connections: most.min(server.room),
        at_maximum: |most| Shortage::Workers(most, "threads"),
        stats: WorkerStats::default(),
    };
    let spawner = acceptor.run(stop)?;
    spawner.threads.interrupt_all(server.config.deadlines.drain);
    Ok(())
}

struct Spawner<'a> {
    server: &'a Arc<ServerContext>,
    threads: Arc<BlockedThreads>,
}

impl AcceptSink for Spawner<'_> {
    fn take(&mut self, connection: OwnedFd, stats: &mut WorkerStats) -> Result<(), Shortage> {
        let (server, mut guard) = (Arc::clone(self.server), self.threads.expect_thread());
        stats.accepted += 1;
        stats.calls.clone += 1;
        self.server.stats.opened();
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            guard.register();
            BlockingWorker::new(server, 0).serve(connection);
        });
        thread.map(drop).map_err(|error| {
            self.server.stats.closed();
            Shortage::Call("clone", error)
        })
    }
}
