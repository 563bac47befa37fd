//! The driver of user threads: the loop of the event-driven models, with a coroutine for each connection.
//!
//! The code of a connection is that of the blocking models ([`BlockingConnection`](crate::blocking::BlockingConnection)), on
//! a stack of its own. When a call would block, the coroutine is suspended, and the loop of
//! [`readiness`](crate::readiness) runs until the socket is ready or the deadline has passed. Then it resumes the
//! coroutine.

mod connection;
mod stacks;
mod thread;
mod worker;

#[cfg(test)]
mod tests;

pub(crate) use stacks::check_mappings;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use connection::CoroutineConnection;
use worker::CoroutineWorker;

use crate::context::{ServerContext, WorkerContext};
use crate::readiness::{AcceptSource, INPUT_BYTES, run_as};
use crate::{ServeError, Stop};

/// Runs the loop until `stop` is requested and every request is answered, or the drain deadline has passed.
pub(crate) fn run(
    server: &Arc<ServerContext>,
    listener: OwnedFd,
    max_connections: usize,
    stop: &Stop,
) -> Result<(), ServeError> {
    let context = WorkerContext::new(Arc::clone(server), 0, max_connections, INPUT_BYTES);
    run_as::<CoroutineConnection>(CoroutineWorker::new(context), AcceptSource::Listener(listener), stop)
}
