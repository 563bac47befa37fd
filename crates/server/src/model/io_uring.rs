//! `io-uring`: completions instead of readiness. Multishot accept and receive, buffers that the kernel takes when data
//! has arrived, one ring for each worker.

use std::sync::Arc;

use c10k_sys::ring_setup;
use c10k_sys::stream_ring::StreamRing;

use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, ModelOption, PortSharing, Workers};
use super::workers;
use crate::accept::Listeners;
use crate::completion;
use crate::context::ServerContext;
use crate::{Config, ServeError, Stop, Submission};

pub(super) const ROW: Descriptor = Descriptor {
    name: "io-uring",
    summary: "completions: multishot accept and receive, provided buffers; one ring unless --workers says otherwise",
    dispatch: Dispatch::Own,
    workers: Workers::Fixed(1),
    concurrency: Concurrency::Many,
    options: &[ModelOption::Accept, ModelOption::Submission],
    connections_in: ConnectionsIn::Server,
    port: PortSharing::ListenerPerWorker,
    probe: || open(Submission::Enter),
    check: |config: &Config| open(config.submission),
    run,
};

/// Opens a ring, to see whether that is possible here.
fn open(submission: Submission) -> Result<(), String> {
    StreamRing::open(completion::shape(submission))
        .map(drop)
        .map_err(|errno| format!("io_uring_setup: {errno}: {}", ring_setup::remedy(errno)))
}

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    let mut all = vec![listeners.first];
    all.extend(listeners.others);
    let max_connections = server.max_connections_of_each(all.len());
    let work = |worker, listener| completion::run(server, listener, worker, max_connections, stop);
    workers::run_all(all, stop, work, || Ok(()))
}
