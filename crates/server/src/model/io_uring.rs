//! `io-uring`: completions in place of readiness. Multishot accept and receive, buffers that the kernel takes when data
//! has arrived, one ring for each worker.

use std::sync::Arc;

use c10k_record::ServeSummary;
use c10k_sys::ring_setup;
use c10k_sys::stream_ring::StreamRing;

use super::{Descriptor, Dispatch};
use crate::ledger::Ledger;
use crate::proactor;
use crate::{Config, ServeError, Server, Stop, Submission, limits};

pub(super) const ROW: Descriptor = Descriptor {
    name: "io-uring",
    summary: "completions: multishot accept and receive, provided buffers; one ring unless --workers says otherwise",
    dispatch: Dispatch::Own,
    probe: || open(Submission::Enter),
    check: |config: &Config| open(config.submission),
    run,
};

/// Whether a ring of that kind can be had here.
fn open(submission: Submission) -> Result<(), String> {
    StreamRing::open(proactor::shape(submission))
        .map(drop)
        .map_err(|errno| format!("io_uring_setup: {errno}: {}", ring_setup::remedy(errno)))
}

fn run(server: Server, stop: &Stop) -> Result<ServeSummary, ServeError> {
    let Server {
        mut config,
        listener,
        siblings,
        ..
    } = server;
    let workers = config.worker_loops();
    let ledger = Arc::new(Ledger::open(&config, workers)?);
    let room = config.max_connections.unwrap_or_else(limits::room_for_connections);
    // Each ring keeps to its share, so that all together stay below the cap.
    config.max_connections = Some((room / workers).max(1));
    let listeners = std::iter::once(listener).chain(siblings);
    std::thread::scope(|scope| {
        let threads: Vec<_> = listeners
            .enumerate()
            .map(|(worker, listener)| {
                let (config, ledger) = (&config, Arc::clone(&ledger));
                scope.spawn(move || {
                    let outcome = proactor::run(config, listener, ledger, worker, stop);
                    if outcome.is_err() {
                        // One ring that fails ends the server, not a share of its connections.
                        stop.request();
                    }
                    outcome
                })
            })
            .collect();
        let served = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        served.fold(Ok(()), Result::and)
    })?;
    Ok(ledger.summary())
}
