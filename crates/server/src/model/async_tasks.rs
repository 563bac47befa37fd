//! `async-tasks`: a task of the tokio runtime for every connection. Today's user threads, which need no stacks.

use std::sync::Arc;

use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, ModelOption, PortSharing, Workers};
use crate::accept::Listeners;
use crate::context::ServerContext;
use crate::{ServeError, Stop, task};

pub(super) const ROW: Descriptor = Descriptor {
    name: "async-tasks",
    summary: "a task of the tokio runtime for every connection, on one thread unless --workers says otherwise",
    dispatch: Dispatch::Own,
    workers: Workers::Runtime(1),
    concurrency: Concurrency::Many,
    options: &[ModelOption::Helpers],
    connections_in: ConnectionsIn::Server,
    port: PortSharing::OneListener,
    probe: || Ok(()),
    check: |_| Ok(()),
    run,
};

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    task::run(server, listeners.first, ROW.worker_count(&server.config), stop)
}
