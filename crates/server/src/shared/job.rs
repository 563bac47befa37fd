//! A connection's turn, as the leader hands it to its own thread, and what comes back.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use c10k_event::Key;

use crate::context::WorkerContext;
use crate::readiness::{Connection, EofHint, NextAction};

/// A connection whose descriptor stays in the set while a thread serves it.
pub(super) type Parked = Connection<Arc<OwnedFd>>;

/// Why a connection has a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// An event, or a turn that is continued.
    Ready(EofHint),
    /// A deadline that has passed.
    Deadline,
}

/// A turn that is due.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) key: Key,
    pub(super) connection: Parked,
    pub(super) occasion: Occasion,
}

/// A connection after its turn.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) key: Key,
    pub(super) connection: Parked,
    pub(super) action: NextAction,
}

impl Job {
    /// Serves the connection.
    pub(super) fn run(self, worker: &mut WorkerContext) -> Served {
        let Job {
            key,
            mut connection,
            occasion,
        } = self;
        worker.refresh();
        if worker.server.stats.is_draining() {
            worker.core.start_drain();
        }
        let mut action = match occasion {
            Occasion::Ready(hint) => connection.turn(hint, worker),
            Occasion::Deadline => connection.expire(worker),
        };
        while let NextAction::Stats | NextAction::Block = action {
            action = match action {
                NextAction::Block => connection.do_work(worker),
                _ => connection.answer_stats(worker),
            };
        }
        if action == NextAction::Close {
            worker.core.output.bytes.clear();
        } else {
            connection.renew_deadline(worker);
        }
        worker.report();
        Served {
            key,
            connection,
            action,
        }
    }
}
