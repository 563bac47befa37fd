//! `loop-with-helpers`: the loop of `event-loop`, and threads to which it gives work that may block. What nginx calls
//! `aio threads`, and libuv its thread pool.

use std::sync::Arc;

use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, ModelOption, PortSharing, Workers};
use crate::accept::Listeners;
use crate::context::ServerContext;
use crate::readiness::{self, AcceptSource, Helpers};
use crate::{ServeError, Stop};

pub(super) const ROW: Descriptor = Descriptor {
    name: "loop-with-helpers",
    summary: "an event loop, and 32 threads unless --helpers says otherwise, which do its work that may block; any mechanism",
    dispatch: Dispatch::Mechanism,
    workers: Workers::One,
    concurrency: Concurrency::Many,
    options: &[
        ModelOption::Accept,
        ModelOption::Spin,
        ModelOption::EventsPerWait,
        ModelOption::Helpers,
    ],
    connections_in: ConnectionsIn::Server,
    port: PortSharing::OneListener,
    probe: || Ok(()),
    check: |_| Ok(()),
    run,
};

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    // Before the loop opens its set: threads that start while a set of signals is open inherit what it blocks.
    let helpers = Helpers::start(server)?;
    let source = AcceptSource::Listener(listeners.first);
    readiness::run_with_helpers(server, source, helpers, stop)
}
