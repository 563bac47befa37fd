//! Connections on their way from an acceptor to an event loop.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use c10k_event::Waker;

use crate::stop::wake;

/// The queue of one loop.
#[derive(Debug, Default)]
pub(crate) struct HandoffQueue(Mutex<Queued>);

#[derive(Debug, Default)]
struct Queued {
    connections: Vec<OwnedFd>,
    waker: Option<Waker>,
    closed: bool,
}

impl HandoffQueue {
    /// Sets what wakes the loop.
    pub(crate) fn wakes(&self, waker: Waker) {
        self.change(|queued| queued.waker = Some(waker));
    }

    /// Hands a connection over.
    pub(crate) fn put(&self, connection: OwnedFd) {
        self.change(|queued| queued.connections.push(connection));
    }

    /// Reports that no more connections will come.
    pub(crate) fn close(&self) {
        self.change(|queued| queued.closed = true);
    }

    /// Takes the queued connections. Returns also whether the queue is closed.
    pub(crate) fn drain(&self) -> (Vec<OwnedFd>, bool) {
        let mut queued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut queued.connections), queued.closed)
    }

    fn change(&self, change: impl FnOnce(&mut Queued)) {
        let mut queued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut queued);
        if let Some(waker) = &queued.waker {
            wake(waker);
        }
    }
}
