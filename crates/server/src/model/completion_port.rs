//! `completion-port`: a pool of threads on one queue, of which at most N run at once. The completion ports of Windows NT, which the
//! paper names among the related work: "a single event queue and a fixed number of pre-forked threads".

use std::num::NonZeroUsize;
use std::sync::Arc;

use c10k_event::{Mechanism, Threading};

use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, ModelOption, PortSharing, Workers};
use crate::accept::Listeners;
use crate::completion_port::ThreadStates;
use crate::context::ServerContext;
use crate::shared::PortQueue;
use crate::{Config, ServeError, Stop};

/// As many as the pool of `thread-pool` has, so that the two can block in as many requests at once. A thread that has nothing to do
/// costs its stack and no time.
const THREADS: usize = 64;

pub(super) const ROW: Descriptor = Descriptor {
    name: "completion-port",
    summary: "64 threads unless --workers says otherwise on one epoll set, of which at most --concurrency run; one that blocks \
              gives its place to another",
    dispatch: Dispatch::Mechanism,
    workers: Workers::Pool(THREADS),
    concurrency: Concurrency::Many,
    options: &[ModelOption::Accept, ModelOption::Concurrency],
    connections_in: ConnectionsIn::Server,
    port: PortSharing::OneListener,
    probe,
    check,
    run,
};

/// The monitor needs the states of threads.
fn probe() -> Result<(), String> {
    ThreadStates::open(1)
        .map(drop)
        .map_err(|errno| format!("opening /proc/self/task: {errno}: mount /proc, or use the model shared-queue"))
}

fn check(config: &Config) -> Result<(), String> {
    let is_able = |mechanism: &Mechanism| mechanism.threading() == Threading::Concurrent;
    if !is_able(&config.mechanism) {
        let able: Vec<&str> = Mechanism::all().filter(is_able).map(Mechanism::name).collect();
        return Err(format!(
            "{} lets one thread wait at a time, and several threads of this model wait at once: use one of {}, or another model",
            config.mechanism,
            able.join(", ")
        ));
    }
    let threads = ROW.worker_count(config);
    match config.concurrency {
        Some(most) if most.get() > threads => Err(format!(
            "{most} of {threads} threads cannot run at once: give --workers {most} or more, or a lower --concurrency"
        )),
        _ => Ok(()),
    }
}

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    let threads = ROW.worker_count(&server.config);
    PortQueue::run(
        server,
        listeners.first,
        stop,
        threads,
        concurrency(&server.config, threads),
    )
}

/// How many of so many threads run at once.
fn concurrency(config: &Config, threads: usize) -> usize {
    let cpus = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    config.concurrency.map_or_else(cpus, NonZeroUsize::get).min(threads)
}
