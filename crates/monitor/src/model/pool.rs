//! `pool`: a fixed number of threads, each with one connection at a time and samples of its own.

use std::num::NonZeroUsize;
use std::time::Instant;

use super::descriptor::{Descriptor, Dispatch, Workers};
use crate::blocking::{self, Incoming};
use crate::listener::Listener;
use crate::service::Service;
use crate::{MonitorError, Stop};

/// Threads by default.
const THREADS: usize = 32;

pub(super) const ROW: Descriptor = Descriptor {
    name: "pool",
    summary: "32 threads unless --workers says otherwise, each with one connection at a time, for which it samples; more wait in the backlog",
    dispatch: Dispatch::Own,
    workers: Workers::Fixed(THREADS),
    run,
};

#[expect(
    clippy::needless_pass_by_value,
    reason = "a row's function owns the listener and closes it at the end"
)]
fn run(listener: Listener, service: &Service, stop: &Stop) -> Result<(), MonitorError> {
    let threads = service.config.workers.map_or(THREADS, NonZeroUsize::get);
    let listener = &listener;
    std::thread::scope(|scope| {
        // A worker that fails requests the stop, so that the daemon ends and not just that worker's share of it.
        let work = move || serve_in_turn(listener, service, stop).inspect_err(|_| stop.request());
        let started: Result<Vec<_>, _> = (0..threads)
            .map(|_| std::thread::Builder::new().spawn_scoped(scope, work))
            .collect();
        let started = started
            .map_err(MonitorError::of_call("clone"))
            .inspect_err(|_| stop.request())?;
        let ended = started
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.fold(Ok(()), Result::and)
    })
}

fn serve_in_turn(listener: &Listener, service: &Service, stop: &Stop) -> Result<(), MonitorError> {
    let mut worker = service.worker(service.max_subscribers(), Instant::now())?;
    loop {
        match blocking::next_connection(listener, service, stop, None)? {
            Incoming::Connection(socket) => blocking::serve(socket, &mut worker, stop)?,
            Incoming::Nobody => {}
            Incoming::Stopped => return Ok(()),
        }
    }
}
