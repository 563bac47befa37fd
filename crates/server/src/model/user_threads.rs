//! `user-threads`: a coroutine for every connection, with a stack of its own and the code of the blocking models, on one
//! thread. The Beowulf thread calls them much lighter than threads, and much more like a procedure call.

use std::sync::Arc;

use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, ModelOption, PortSharing, Workers};
use crate::accept::Listeners;
use crate::context::ServerContext;
use crate::coroutine;
use crate::{Config, ServeError, Stop};

/// Connections at once by default. Their stacks fit into the kernel's usual limit on memory mappings.
const MAX_CONNECTIONS: usize = 30_000;

pub(super) const ROW: Descriptor = Descriptor {
    name: "user-threads",
    summary: "a coroutine with its own stack for every connection, up to 30,000 unless --max-connections says otherwise; one thread, any mechanism",
    dispatch: Dispatch::Mechanism,
    workers: Workers::One,
    concurrency: Concurrency::Many,
    options: &[ModelOption::Accept, ModelOption::Spin, ModelOption::EventsPerWait],
    connections_in: ConnectionsIn::Server,
    port: PortSharing::OneListener,
    probe: || Ok(()),
    check,
    run,
};

/// Whether there are memory mappings for the stacks of as many connections as there are descriptors for.
fn check(config: &Config) -> Result<(), String> {
    let room = ROW.room(config);
    coroutine::check_mappings(most(config, room).min(room))
}

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    coroutine::run(server, listeners.first, most(&server.config, server.room), stop)
}

/// How many connections may be open at once.
fn most(config: &Config, room: usize) -> usize {
    config.max_connections.unwrap_or(MAX_CONNECTIONS.min(room))
}
