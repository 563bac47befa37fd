//! `loop-per-core`: an event loop in each of several threads. The paper's hybrid.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use c10k_event::{MECHANISMS, Wakeup};
use rustix::io::ioctl_fionbio;

use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, ModelOption, PortSharing, Workers};
use super::workers;
use crate::accept::{AcceptSink, Acceptor, HandoffQueue, Listeners, Shortage};
use crate::context::ServerContext;
use crate::readiness::{self, AcceptSource};
use crate::stats::WorkerStats;
use crate::{AcceptSharing, Config, ServeError, Stop};

pub(super) const ROW: Descriptor = Descriptor {
    name: "loop-per-core",
    summary: "an event loop in each of several threads, one per CPU unless --workers says otherwise",
    dispatch: Dispatch::Mechanism,
    workers: Workers::PerCpu,
    concurrency: Concurrency::Many,
    options: &[
        ModelOption::Accept,
        ModelOption::AcceptSharing,
        ModelOption::Spin,
        ModelOption::EventsPerWait,
    ],
    connections_in: ConnectionsIn::Server,
    port: PortSharing::ByAcceptSharing,
    probe: || Ok(()),
    check,
    run,
};

fn check(config: &Config) -> Result<(), String> {
    let name = config.mechanism.name();
    let exclusive = MECHANISMS
        .iter()
        .filter(|row| row.wakeups.contains(&Wakeup::Exclusive))
        .map(|row| row.name);
    let able: Vec<&str> = exclusive.collect();
    if config.accept_sharing != AcceptSharing::Exclusive || able.contains(&name) {
        return Ok(());
    }
    Err(format!(
        "{name} cannot wake one loop of several: use another accept sharing, or one of {}",
        able.join(", ")
    ))
}

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    let loops = ROW.worker_count(&server.config);
    let max_connections = server.max_connections_of_each(loops);
    let work = |worker, source| readiness::run(server, source, worker, max_connections, stop);
    if server.config.accept_sharing == AcceptSharing::Handoff {
        let queues: Vec<Arc<HandoffQueue>> = (0..loops).map(|_| Arc::default()).collect();
        let sources = queues.iter().map(|queue| AcceptSource::Handoff(Arc::clone(queue)));
        return workers::run_all(sources.collect(), stop, work, || {
            hand_off(listeners.first, &queues, server, stop)
        });
    }
    workers::run_all(
        sources(listeners, server.config.accept_sharing, loops)?,
        stop,
        work,
        || Ok(()),
    )
}

/// What each loop accepts from.
fn sources(listeners: Listeners, sharing: AcceptSharing, loops: usize) -> Result<Vec<AcceptSource>, ServeError> {
    if sharing == AcceptSharing::Reuseport {
        let all = listeners.others.into_iter().chain([listeners.first]);
        return Ok(all.map(AcceptSource::Listener).collect());
    }
    // Each loop closes its own copy when it drains.
    (0..loops)
        .map(|_| listeners.first.try_clone())
        .map(|copy| copy.map_err(|cause| ServeError::System { call: "fcntl", cause }))
        .map(|copy| match sharing {
            AcceptSharing::Exclusive => copy.map(AcceptSource::Exclusive),
            AcceptSharing::Reuseport | AcceptSharing::Shared | AcceptSharing::Handoff => {
                copy.map(AcceptSource::Listener)
            }
        })
        .collect()
}

/// Accepts for all loops.
fn hand_off(
    listener: OwnedFd,
    queues: &[Arc<HandoffQueue>],
    server: &ServerContext,
    stop: &Stop,
) -> Result<(), ServeError> {
    let acceptor = Acceptor {
        listener,
        server,
        sink: RoundRobin {
            queues,
            next: 0,
            server,
        },
        max_connections: server.max_connections(),
        at_maximum: |_| Shortage::Connections,
        stats: WorkerStats::default(),
    };
    let outcome = acceptor.run(stop).map(drop);
    queues.iter().for_each(|queue| queue.close());
    outcome
}

/// Hands connections to the loops in turn.
struct RoundRobin<'a> {
    queues: &'a [Arc<HandoffQueue>],
    next: usize,
    server: &'a ServerContext,
}

impl AcceptSink for RoundRobin<'_> {
    /// The loop that serves it counts it as accepted.
    fn take(&mut self, connection: OwnedFd, _: &mut WorkerStats) -> Result<(), Shortage> {
        ioctl_fionbio(&connection, true).map_err(|errno| Shortage::Call("ioctl", errno.into()))?;
        self.server.stats.opened();
        self.queues[self.next].put(connection);
        self.next = (self.next + 1) % self.queues.len();
        Ok(())
    }
}
