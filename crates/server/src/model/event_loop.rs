//! `event-loop`: one thread, one interest set, any mechanism. The paper's event-based server.

use std::sync::Arc;

use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, ModelOption, PortSharing, Workers};
use crate::accept::Listeners;
use crate::context::ServerContext;
use crate::readiness::{self, AcceptSource};
use crate::{ServeError, Stop};

pub(super) const ROW: Descriptor = Descriptor {
    name: "event-loop",
    summary: "one thread, one interest set, any mechanism",
    dispatch: Dispatch::Mechanism,
    workers: Workers::One,
    concurrency: Concurrency::Many,
    options: &[ModelOption::Accept, ModelOption::Spin, ModelOption::EventsPerWait],
    connections_in: ConnectionsIn::Server,
    port: PortSharing::OneListener,
    probe: || Ok(()),
    check: |_| Ok(()),
    run,
};

pub(super) fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    let source = AcceptSource::Listener(listeners.first);
    readiness::run(server, source, 0, server.max_connections(), stop)
}
