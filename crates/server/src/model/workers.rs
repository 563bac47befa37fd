//! Worker threads that end together.

use crate::{ServeError, Stop};

/// Runs `work` for each item in a thread of its own, numbered from 0, while `meanwhile` runs in this one. A worker that
/// fails requests the stop, so that the server ends and not just that worker's share of it.
pub(super) fn run_all<T: Send>(
    items: Vec<T>,
    stop: &Stop,
    work: impl Fn(usize, T) -> Result<(), ServeError> + Sync,
    meanwhile: impl FnOnce() -> Result<(), ServeError>,
) -> Result<(), ServeError> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .into_iter()
            .enumerate()
            .map(|(worker, item)| scope.spawn(move || work(worker, item).inspect_err(|_| stop.request())))
            .collect();
        let outcome = meanwhile().inspect_err(|_| stop.request());
        let served = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        served.fold(outcome, Result::and)
    })
}
