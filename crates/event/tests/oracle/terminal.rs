//! Pseudo-terminals as sources of scripts.

#[path = "../support/terminal.rs"]
mod pair;

use c10k_sys::epoll;
pub(crate) use pair::terminal_pair;
use rustix::{
    event::epoll::{CreateFlags, EventData, EventFlags},
    io::retry_on_intr,
};
use std::os::fd::{AsFd, OwnedFd};

/// Shows when what was written to a terminal has arrived: a thread of the kernel moves the bytes.
///
/// It watches the source before any set does, and the kernel wakes the last watcher first: when this one is woken, all are.
pub(crate) struct Arrivals(OwnedFd);

impl Arrivals {
    pub(crate) fn of(source: &OwnedFd) -> Result<Self, String> {
        let failed = |errno| format!("watching a terminal: {errno}");
        let watcher = rustix::event::epoll::create(CreateFlags::CLOEXEC).map_err(failed)?;
        let flags = EventFlags::IN | EventFlags::ET;
        rustix::event::epoll::add(&watcher, source, EventData::new_u64(0), flags).map_err(failed)?;
        Ok(Self(watcher))
    }

    /// Writes to the peer and waits until all of it has arrived. Returns whether the peer took it.
    pub(crate) fn write(&self, peer: &OwnedFd, bytes: &[u8]) -> Result<bool, String> {
        /// Only a hang reaches this limit.
        const HANG_TIMEOUT_MS: i32 = 60_000;
        // The work that io_uring leaves to this thread interrupts calls.
        let wait =
            |milliseconds| retry_on_intr(|| epoll::wait(self.0.as_fd(), &mut Vec::with_capacity(1), 1, milliseconds));
        let _ = wait(0);
        if rustix::io::write(peer, bytes) != Ok(bytes.len()) {
            return Ok(false);
        }
        match wait(HANG_TIMEOUT_MS) {
            Ok(1) => Ok(true),
            outcome => Err(format!("what was written to a terminal does not arrive: {outcome:?}")),
        }
    }
}
