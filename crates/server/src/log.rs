//! What the server says while it runs: one line on standard error, once for each cause.

/// Something is used up, and accepting waits.
pub(crate) fn shortage(why: &str) {
    eprintln!("c10k serve: {why}: accepting waits for connections to end; said once");
}

/// A child has died that nobody told to.
pub(crate) fn lost_child(worker: usize) {
    eprintln!("c10k serve: worker process {worker} has died: see the kernel's log");
}
