//! What the server says while it runs, a line on standard error each.

/// Something is used up, and accepting waits.
pub(crate) fn shortage(why: &str) {
    eprintln!("c10k serve: {why}: accepting waits for connections to end; said once");
}

/// Every thread or process of a fixed number serves a connection; the others wait elsewhere.
pub(crate) fn full(workers: usize, what: &str, elsewhere: &str) {
    eprintln!(
        "c10k serve: all {workers} {what} have a connection: more wait in the {elsewhere}, or give --workers more; said once"
    );
}

/// A child has died that nobody told to.
pub(crate) fn lost_child(worker: usize) {
    eprintln!("c10k serve: worker process {worker} has died: see the kernel's log");
}
