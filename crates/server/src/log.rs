//! The lines that the server prints on standard error while it runs.

use std::fmt::Display;

/// A resource is used up, and accepting pauses.
pub(crate) fn shortage(shortage: &impl Display) {
    eprintln!("c10k serve: {shortage}: accepting resumes when connections end (reported once)");
}

/// The limit on descriptors allows fewer connections than a server usually has.
pub(crate) fn few_descriptors(limit: u64, room: usize) {
    eprintln!(
        "c10k serve: the limit on open descriptors ({limit}) leaves room for {room} connections: raise it if you need more (ulimit -n)"
    );
}

/// Every worker of a fixed number serves a connection; further connections wait elsewhere.
pub(crate) fn full(workers: usize, what: &str, elsewhere: &str) {
    eprintln!(
        "c10k serve: all {workers} {what} have a connection: more connections wait in the {elsewhere}; raise --workers (reported once)"
    );
}

/// A worker was to be replaced, and the next one cannot start.
pub(crate) fn not_replaced(worker: usize, error: &impl Display) {
    eprintln!(
        "c10k serve: worker {worker} is not replaced: {error}: it goes on, and the next try is when its time has passed again"
    );
}

/// A worker process has died unexpectedly.
pub(crate) fn lost_child(worker: usize) {
    eprintln!("c10k serve: worker process {worker} has died: see the kernel's log");
}
