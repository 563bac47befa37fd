//! `loop-per-core`: an event loop in each of several threads. The paper's hybrid.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use c10k_event::{MECHANISMS, Wakeup};
use rustix::io::ioctl_fionbio;

use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, ModelOption, PortSharing, Workers};
use super::recycling::{self, Queues, Supply};
use super::workers;
use crate::accept::{AcceptSink, Acceptor, Listeners, Shortage, address_of};
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
        ModelOption::Recycle,
    ],
    connections_in: ConnectionsIn::Server,
    port: PortSharing::ByAcceptSharing,
    probe: || Ok(()),
    check,
    run,
};

fn check(config: &Config) -> Result<(), String> {
    check_recycling(config)?;
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

/// Whether workers serve for long enough, and whether new listeners can be opened for those that come later, if each has its own.
fn check_recycling(config: &Config) -> Result<(), String> {
    let Some(recycle) = config.recycle else { return Ok(()) };
    recycle.checked().map_err(|error| format!("--recycle: {error}"))?;
    if config.accept_sharing != AcceptSharing::Reuseport {
        return Ok(());
    }
    let remedy = "use --accept-sharing exclusive, shared or handoff";
    if config.user.is_some() {
        return Err(format!(
            "--recycle opens listeners later, and the kernel lets only one user share a port, which is not --user: {remedy}"
        ));
    }
    if ROW.worker_count(config) == 1 {
        return Err(format!(
            "--recycle needs a port that listeners share, and one worker has the port alone: give --workers 2 or more, or {remedy}"
        ));
    }
    Ok(())
}

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    let loops = ROW.worker_count(&server.config);
    let sharing = server.config.accept_sharing;
    if sharing == AcceptSharing::Handoff {
        return run_with_acceptor(listeners.first, loops, server, stop);
    }
    if let Some(recycle) = server.config.recycle {
        let supply = match sharing {
            // A copy would keep the listener of a worker that has left.
            AcceptSharing::Reuseport => Supply::OwnListener(address_of(&listeners.first)?),
            AcceptSharing::Exclusive | AcceptSharing::Shared | AcceptSharing::Handoff => {
                let copy = listeners.first.try_clone().map_err(failed_copy)?;
                Supply::Copies(copy, source_of(sharing))
            }
        };
        let first = sources(listeners, sharing, loops)?;
        return recycling::run(first, supply, server, recycle, stop);
    }
    let max_connections = server.max_connections_of_each(loops);
    let work = |worker, source| readiness::run(server, source, worker, max_connections, stop);
    workers::run_all(sources(listeners, sharing, loops)?, stop, work, || Ok(()))
}

/// One thread accepts, and the loops get their connections from queues.
fn run_with_acceptor(
    listener: OwnedFd,
    loops: usize,
    server: &Arc<ServerContext>,
    stop: &Stop,
) -> Result<(), ServeError> {
    let queues = Queues::new(loops);
    let first: Vec<AcceptSource> = (0..loops)
        .map(|place| AcceptSource::Handoff(queues.of(place)))
        .collect();
    let Some(recycle) = server.config.recycle else {
        let max_connections = server.max_connections_of_each(loops);
        let work = |worker, source| readiness::run(server, source, worker, max_connections, stop);
        return workers::run_all(first, stop, work, || hand_off(listener, &queues, server, stop));
    };
    let replace = |_, first| recycling::run(first, Supply::Queues(&queues), server, recycle, stop);
    workers::run_all(vec![first], stop, replace, || hand_off(listener, &queues, server, stop))
}

fn failed_copy(cause: std::io::Error) -> ServeError {
    ServeError::System { call: "fcntl", cause }
}

/// How a loop uses a listener that it shares.
fn source_of(sharing: AcceptSharing) -> fn(OwnedFd) -> AcceptSource {
    match sharing {
        AcceptSharing::Exclusive => AcceptSource::Exclusive,
        AcceptSharing::Reuseport | AcceptSharing::Shared | AcceptSharing::Handoff => AcceptSource::Listener,
    }
}

/// What each loop accepts from.
fn sources(listeners: Listeners, sharing: AcceptSharing, loops: usize) -> Result<Vec<AcceptSource>, ServeError> {
    if sharing == AcceptSharing::Reuseport {
        let all = listeners.others.into_iter().chain([listeners.first]);
        return Ok(all.map(AcceptSource::Listener).collect());
    }
    // Each loop closes its own copy when it drains.
    (0..loops)
        .map(|_| listeners.first.try_clone().map_err(failed_copy))
        .map(|copy| copy.map(source_of(sharing)))
        .collect()
}

/// Accepts for all loops.
fn hand_off(listener: OwnedFd, queues: &Queues, server: &ServerContext, stop: &Stop) -> Result<(), ServeError> {
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
    queues.close();
    outcome
}

/// Hands connections to the loops in turn.
struct RoundRobin<'a> {
    queues: &'a Queues,
    next: usize,
    server: &'a ServerContext,
}

impl AcceptSink for RoundRobin<'_> {
    /// The loop that serves it counts it as accepted.
    fn take(&mut self, connection: OwnedFd, _: &mut WorkerStats) -> Result<(), Shortage> {
        ioctl_fionbio(&connection, true).map_err(|errno| Shortage::Call("ioctl", errno.into()))?;
        self.server.stats.opened();
        self.queues.put(self.next, connection);
        self.next = (self.next + 1) % self.queues.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use c10k_event::Mechanism;

    use super::*;
    use crate::{Backlog, Recycle};

    #[test]
    fn workers_that_would_be_replaced_all_the_time_are_refused() {
        let mut config = Config::new(Mechanism::named("poll").expect("it is in the table"));
        config.accept_sharing = AcceptSharing::Shared;
        for (after, is_right) in [
            (Duration::ZERO, false),
            (Recycle::LEAST - Duration::from_nanos(1), false),
            (Recycle::LEAST, true),
        ] {
            let backlog = Backlog::Accept;
            config.recycle = Some(Recycle { after, backlog });
            let checked = check(&config);
            assert_eq!(checked.is_ok(), is_right, "{checked:?}");
            assert!(is_right || checked.is_err_and(|reason| reason.contains("10ms or more")));
        }
    }
}
