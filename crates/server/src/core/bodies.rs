//! The memory that the bodies of requests take, of all connections together.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes all workers of a server hold, threads or processes, and how many they may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyBudget {
    held: &'static AtomicU64,
    most: u64,
}

/// The share of one connection. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct BodyShare {
    budget: BodyBudget,
    bytes: u64,
}

impl BodyBudget {
    pub(crate) fn new(held: &'static AtomicU64, most: u64) -> BodyBudget {
        BodyBudget { held, most }
    }

    pub(super) fn share(self) -> BodyShare {
        BodyShare { budget: self, bytes: 0 }
    }
}

impl BodyShare {
    /// Takes what is missing of so many bytes. Returns false, and takes nothing, if that is more than there is.
    pub(super) fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let BodyBudget { held, most } = self.budget;
        if held.fetch_add(more, Ordering::Relaxed).saturating_add(more) > most {
            held.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
