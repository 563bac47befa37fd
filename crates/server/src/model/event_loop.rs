//! `event-loop`: one thread, one interest set, any mechanism. The paper's event-based server.

use std::sync::Arc;

use c10k_record::ServeSummary;

use super::{Descriptor, Dispatch};
use crate::ledger::Ledger;
use crate::reactor::{self, Entrance};
use crate::{ServeError, Server, Stop};

pub(super) const ROW: Descriptor = Descriptor {
    name: "event-loop",
    summary: "one thread, one interest set, any mechanism",
    dispatch: Dispatch::Mechanism,
    probe: || Ok(()),
    check: |_| Ok(()),
    run,
};

fn run(server: Server, stop: &Stop) -> Result<ServeSummary, ServeError> {
    let ledger = Arc::new(Ledger::open(&server.config, 1)?);
    reactor::run(
        &server.config,
        Entrance::Listener(server.listener),
        Arc::clone(&ledger),
        0,
        stop,
    )?;
    Ok(ledger.summary())
}
