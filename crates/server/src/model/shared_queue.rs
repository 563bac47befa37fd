//! `shared-queue`: several threads that all wait for one epoll set. The question of network pollers: one queue for all, or a
//! loop for each CPU?

use std::sync::Arc;

use c10k_event::{Mechanism, Threading};

use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, ModelOption, PortSharing, Workers};
use super::workers;
use crate::accept::Listeners;
use crate::context::ServerContext;
use crate::shared::SharedQueue;
use crate::{Config, ServeError, Stop};

pub(super) const ROW: Descriptor = Descriptor {
    name: "shared-queue",
    summary: "threads that all wait for one epoll set, one per CPU unless --workers says otherwise; every source is oneshot",
    dispatch: Dispatch::Mechanism,
    workers: Workers::Sharing,
    concurrency: Concurrency::Many,
    options: &[ModelOption::Accept],
    connections_in: ConnectionsIn::Server,
    port: PortSharing::OneListener,
    probe: || Ok(()),
    check,
    run,
};

fn check(config: &Config) -> Result<(), String> {
    let is_able = |mechanism: &Mechanism| mechanism.threading() == Threading::Concurrent;
    if is_able(&config.mechanism) {
        return Ok(());
    }
    let able: Vec<&str> = Mechanism::all().filter(is_able).map(Mechanism::name).collect();
    Err(format!(
        "{} lets one thread wait at a time, and all threads of this model wait at once: use one of {}, or another model",
        config.mechanism,
        able.join(", ")
    ))
}

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    let queue = SharedQueue::open(server, listeners.first)?;
    let threads = vec![(); ROW.worker_count(&server.config)];
    let outcome = workers::run_all(
        threads,
        stop,
        |worker, ()| queue.work(worker),
        || {
            queue.keep(stop);
            Ok(())
        },
    );
    queue.report();
    outcome
}
