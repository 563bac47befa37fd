//! `leader-follower`: several threads, of which one at a time waits. Schmidt's pattern.

use std::sync::Arc;

use c10k_event::{Mechanism, Threading};

use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, ModelOption, PortSharing, Workers};
use super::workers;
use crate::accept::Listeners;
use crate::context::ServerContext;
use crate::shared::LeaderFollower;
use crate::{Config, ServeError, Stop};

pub(super) const ROW: Descriptor = Descriptor {
    name: "leader-follower",
    summary: "threads of which one waits, takes an event, lets another wait, and serves it; one per CPU unless --workers says \
              otherwise",
    dispatch: Dispatch::Mechanism,
    workers: Workers::Sharing,
    concurrency: Concurrency::Many,
    options: &[ModelOption::Accept, ModelOption::EventsPerWait],
    connections_in: ConnectionsIn::Server,
    port: PortSharing::OneListener,
    probe: || Ok(()),
    check,
    run,
};

fn check(config: &Config) -> Result<(), String> {
    let is_able = |mechanism: &Mechanism| mechanism.threading() != Threading::Opener;
    if is_able(&config.mechanism) {
        return Ok(());
    }
    let able: Vec<&str> = Mechanism::all().filter(is_able).map(Mechanism::name).collect();
    Err(format!(
        "the kernel ties {} to the thread that opened the set, and the threads of this model take turns: use one of {}, or \
         another model",
        config.mechanism,
        able.join(", ")
    ))
}

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    let group = LeaderFollower::open(server, listeners.first, stop)?;
    let threads = vec![(); ROW.worker_count(&server.config)];
    workers::run_all(threads, stop, |worker, ()| group.work(worker, stop), || Ok(()))
}
