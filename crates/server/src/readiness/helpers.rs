//! The helper threads of a loop, to which it gives the work of its connections that may block.

use std::sync::Arc;

use c10k_event::{Key, Waker};
use c10k_http::{BlockingWork, WorkFailure};

use crate::ServeError;
use crate::blocking::STACK_BYTES;
use crate::context::{ServerContext, WorkerContext};
use crate::disk::{self, WorkOutcome};
use crate::helpers::{HelperPool, WorkLimit};
use crate::stop::wake;

/// Threads for one loop, whose keys say to which connection an outcome belongs.
#[derive(Debug)]
pub(crate) struct Helpers {
    pool: HelperPool<Key, BlockingWork, WorkOutcome>,
    limit: Arc<WorkLimit>,
}

impl Helpers {
    /// Starts the threads.
    pub(crate) fn start(server: &ServerContext) -> Result<Helpers, ServeError> {
        let config = &server.config;
        let (helpers, store) = (config.helpers.get(), config.disk.clone());
        let pool = HelperPool::start(helpers, STACK_BYTES, move |work| disk::run(store.as_ref(), work));
        Ok(Helpers {
            pool: pool.map_err(|cause| ServeError::System { call: "clone", cause })?,
            limit: Arc::new(WorkLimit::new(helpers, config.helper_queue)),
        })
    }

    /// Sets what wakes the loop.
    pub(super) fn wakes(&self, waker: Waker) {
        self.pool.wakes(move || wake(&waker));
    }

    /// Hands over what a connection wants done.
    ///
    /// # Errors
    /// How the connection is to be answered at once, if too much work is out.
    pub(super) fn hand_over(
        &self,
        key: Key,
        work: BlockingWork,
        worker: &mut WorkerContext,
    ) -> Result<(), WorkFailure> {
        let admitted = worker.admit_work(&self.limit)?;
        self.pool.hand_over(key, work, admitted);
        Ok(())
    }

    /// Takes what is done, with the connections for which it was. Some of those may be gone.
    pub(super) fn take_done(&self) -> impl Iterator<Item = (Key, WorkOutcome)> + use<> {
        let done = self.pool.take_done().into_iter();
        // Work that panicked has no outcome.
        done.map(|(key, outcome)| (key, outcome.unwrap_or(Err(WorkFailure::Failed))))
    }
}
