//! The lines that the server prints on standard error while it runs.

use std::fmt::Display;

/// A resource is used up, and accepting pauses.
pub(crate) fn shortage(shortage: &impl Display) {
    eprintln!("c10k serve: {shortage}: accepting waits for connections to end; said once");
}

/// Every worker of a fixed number serves a connection; further connections wait elsewhere.
pub(crate) fn full(workers: usize, what: &str, elsewhere: &str) {
    eprintln!(
        "c10k serve: all {workers} {what} have a connection: more wait in the {elsewhere}, or give --workers more; said once"
    );
}

/// A worker process has died unexpectedly.
pub(crate) fn lost_child(worker: usize) {
    eprintln!("c10k serve: worker process {worker} has died: see the kernel's log");
}
