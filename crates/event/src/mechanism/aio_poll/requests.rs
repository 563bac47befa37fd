//! The sources' requests, by key.

use crate::{Key, Trigger};
use c10k_sys::aio_ring::Ticket;
use std::os::fd::RawFd;

/// A source's request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) key: Key,
    pub(super) fd: RawFd,
    /// Those of `poll(2)`.
    pub(super) bits: u16,
    pub(super) trigger: Trigger,
    pub(super) state: State,
}

/// Where a request is, according to the completions taken from the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It ended with its event.
    Ended,
    /// The next wait submits it.
    Queued,
    /// The kernel has it, or its completion is in the ring.
    Submitted(Ticket),
}

/// The requests of all sources and of the waker.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waker: Option<Request>,
    by_index: Vec<Option<Request>>,
    count: usize,
}

impl Requests {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The request of a current key.
    #[inline]
    pub(super) fn get(&mut self, key: Key) -> Option<&mut Request> {
        self.slot(key)?.as_mut().filter(|request| request.key == key)
    }

    /// Adds a request. Its key has none.
    pub(super) fn insert(&mut self, request: Request) {
        let key = request.key;
        if key != Key::WAKER && key.index() >= self.by_index.len() {
            self.by_index.resize(key.index() + 1, None);
        }
        if let Some(slot) = self.slot(key) {
            *slot = Some(request);
            self.count += 1;
        }
    }

    /// Removes the request of a current key.
    pub(super) fn remove(&mut self, key: Key) {
        if self.get(key).is_some()
            && let Some(slot) = self.slot(key)
        {
            *slot = None;
            self.count -= 1;
        }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Request> {
        self.waker.iter_mut().chain(self.by_index.iter_mut().flatten())
    }

    fn slot(&mut self, key: Key) -> Option<&mut Option<Request>> {
        if key == Key::WAKER {
            Some(&mut self.waker)
        } else {
            self.by_index.get_mut(key.index())
        }
    }
}
