//! Work that may block, on the runtime's own pool of threads for that.

use std::cell::Cell;

use c10k_http::WorkFailure;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::disk::WorkOutcome;
use crate::helpers::Admitted;

thread_local! {
    /// Whether this is a thread of the pool. It does nothing but such work.
    static DOES_WORK: Cell<bool> = const { Cell::new(false) };
}

/// Work that a thread of the pool does, or will do.
#[derive(Debug)]
pub(super) struct Work(JoinHandle<WorkOutcome>);

impl Work {
    /// Hands work over that was admitted. The calling thread is one of the runtime.
    pub(super) fn start(admitted: Admitted, run: impl FnOnce() -> WorkOutcome + Send + 'static) -> Work {
        Work(spawn_blocking(move || {
            // Until the end, even if the work panics, and not longer: whoever awaits the outcome finds a thread free.
            let _admitted = admitted;
            DOES_WORK.set(true);
            run()
        }))
    }

    /// Waits until it is done. Work that panics has failed.
    pub(super) async fn outcome(self) -> WorkOutcome {
        self.0.await.unwrap_or(Err(WorkFailure::Failed))
    }
}

/// Whether the calling thread does such work, so that a panic is not one of the runtime.
pub(super) fn is_worker() -> bool {
    DOES_WORK.try_with(Cell::get) == Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::runtime::Builder;

    use super::super::runtime_failure;
    use super::*;
    use crate::helpers::WorkLimit;

    #[test]
    fn work_that_panics_ends_neither_the_runtime_nor_the_thread_that_does_it() {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .expect("threads can be started");
        let limit = Arc::new(WorkLimit::new(1, 0));
        let outcomes = runtime_failure::block_on(runtime, is_worker, async {
            let mut outcomes = Vec::new();
            for panics in [true, false, true, false] {
                let admitted = limit.admit().expect("what was handed over is done");
                let work = Work::start(admitted, move || {
                    assert!(!panics, "this is expected");
                    Ok(b"done".to_vec())
                });
                outcomes.push(work.outcome().await);
            }
            Ok(outcomes)
        });
        let (failed, done) = (Err(WorkFailure::Failed), Ok(b"done".to_vec()));
        assert_eq!(
            outcomes.expect("the runtime goes on"),
            [failed.clone(), done.clone(), failed, done]
        );
    }
}
