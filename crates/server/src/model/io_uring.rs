//! `io-uring`: completions instead of readiness. Multishot accept and receive, buffers that the kernel takes when data
//! has arrived, one ring for each worker.

use std::sync::Arc;

use c10k_sys::ring_setup;
use c10k_sys::stream_ring::StreamRing;
use rustix::io::Errno;

use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, ModelOption, PortSharing, Workers};
use super::workers;
use crate::accept::Listeners;
use crate::completion::{self, KernelThread};
use crate::context::ServerContext;
use crate::{Config, RingOption, RingOptions, ServeError, Stop, Submission};

pub(super) const ROW: Descriptor = Descriptor {
    name: "io-uring",
    summary: "completions: multishot accept and receive, provided buffers; one ring unless --workers says otherwise",
    dispatch: Dispatch::Own,
    workers: Workers::Fixed(1),
    concurrency: Concurrency::Many,
    options: &[ModelOption::Accept, ModelOption::Submission, ModelOption::Ring],
    connections_in: ConnectionsIn::Server,
    port: PortSharing::ListenerPerWorker,
    probe: || open(Submission::Enter, &RingOptions::default()).map_err(refused),
    check,
    run,
};

/// Opens a ring, to see whether that is possible here.
fn open(submission: Submission, options: &RingOptions) -> Result<(), Errno> {
    StreamRing::open(completion::shape(submission, options)).map(drop)
}

fn refused(errno: Errno) -> String {
    format!("io_uring_setup: {errno}: {}", ring_setup::remedy(errno))
}

/// Opens a ring as it is configured. If the kernel refuses, names the option that is the reason.
fn check(config: &Config) -> Result<(), String> {
    let Err(errno) = open(config.submission, &config.ring) else {
        return Ok(());
    };
    open(config.submission, &RingOptions::default()).map_err(refused)?;
    let reason = config.ring.each().find_map(|(option, alone)| {
        let errno = open(config.submission, &alone).err()?;
        Some(why_not(option, errno, open(Submission::Enter, &alone).is_ok()))
    });
    Err(reason.unwrap_or_else(|| refused(errno)))
}

/// Whether rings can have an option here.
///
/// # Errors
/// The reason, and what to do about it.
pub fn probe_ring_option(option: &'static RingOption) -> Result<(), String> {
    open(Submission::Enter, &RingOptions::default()).map_err(refused)?;
    open(Submission::Enter, &RingOptions::probe(option)).map_err(|errno| why_not(option, errno, false))
}

/// Why the kernel refuses an option; `by_calls`: it would not if calls submitted the requests.
fn why_not(option: &RingOption, errno: Errno, by_calls: bool) -> String {
    let (name, since) = (option.name, option.since);
    if by_calls {
        return format!(
            "--ring {name}: a kernel thread that submits excludes it: leave it out, or use --submission enter"
        );
    }
    format!("--ring {name}: the kernel refuses it ({errno}): it needs Linux {since} or later; leave it out")
}

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    let mut all = vec![listeners.first];
    all.extend(listeners.others);
    let max_connections = server.max_connections_of_each(all.len());
    let thread = KernelThread::new(server.config.submission);
    let work = |worker, listener| completion::run(server, listener, &thread, worker, max_connections, stop);
    workers::run_all(all, stop, work, || Ok(()))
}
