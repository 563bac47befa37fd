//! `fork-per-connection`: a master accepts and forks a process for every connection. The Beowulf thread calls it suicide.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::process::Pid;

use super::children;
use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, PortSharing, Workers};
use crate::accept::{AcceptSink, Acceptor, Listeners, Shortage};
use crate::blocking::{BlockingWorker, prepare_interrupts};
use crate::context::ServerContext;
use crate::stats::WorkerStats;
use crate::{ServeError, Stop};

/// Children at once by default.
const MAX_CHILDREN: usize = 4000;

pub(super) const ROW: Descriptor = Descriptor {
    name: "fork-per-connection",
    summary: "a process for every connection, up to 4,000 unless --max-connections says otherwise; more wait in the backlog",
    dispatch: Dispatch::Own,
    workers: Workers::One,
    concurrency: Concurrency::WorkerPerConnection(MAX_CHILDREN),
    options: &[],
    connections_in: ConnectionsIn::Children,
    port: PortSharing::OneListener,
    probe: || Ok(()),
    check: |_| Ok(()),
    run,
};

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    prepare_interrupts();
    let most = server.config.max_connections.unwrap_or(MAX_CHILDREN);
    let acceptor = Acceptor {
        listener: listeners.first,
        server,
        sink: Forker {
            server,
            children: Vec::new(),
        },
        // Their descriptors are in the children.
        max_connections: most,
        at_maximum: |most| Shortage::Workers(most, "processes"),
        stats: WorkerStats::default(),
    };
    let mut forker = acceptor.run(stop)?;
    let drain = server.config.deadlines.drain;
    children::interrupt_all(&mut forker.children, drain, || server.stats.lost());
    Ok(())
}

struct Forker<'a> {
    server: &'a Arc<ServerContext>,
    children: Vec<Pid>,
}

impl AcceptSink for Forker<'_> {
    fn take(&mut self, connection: OwnedFd, stats: &mut WorkerStats) -> Result<(), Shortage> {
        stats.accepted += 1;
        stats.calls.fork += 1;
        self.server.stats.opened();
        let server = Arc::clone(self.server);
        // The connection is moved into the call, so the parent's copy is closed when it returns.
        let child = children::start(move || BlockingWorker::new(server, 0).serve(connection));
        self.children.push(child.map_err(|error| {
            self.server.stats.closed();
            Shortage::Call("fork", error)
        })?);
        Ok(())
    }

    fn maintain(&mut self) {
        children::reap(&mut self.children, || self.server.stats.lost());
        if self.children.is_empty() {
            self.server.stats.no_child_is_left();
        }
    }

    fn needs_polling(&self) -> bool {
        !self.children.is_empty()
    }
}
