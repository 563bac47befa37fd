//! How much work that may block is out at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bounds the work that was handed over and is not done: one for each helper thread, and a queue. What is beyond is refused.
#[derive(Debug)]
pub(crate) struct WorkLimit {
    helpers: usize,
    queue: usize,
    out: AtomicUsize,
}

/// Work that is out. It is until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    limit: Arc<WorkLimit>,
    /// How much work waited for a helper when this was admitted, this included.
    pub(crate) waiting: usize,
}

impl WorkLimit {
    /// A limit for so many helpers, and a queue for so much work that waits for one.
    pub(crate) fn new(helpers: usize, queue: usize) -> WorkLimit {
        WorkLimit {
            helpers,
            queue,
            out: AtomicUsize::new(0),
        }
    }

    /// Admits one more work. `None` if all helpers have one and the queue is full.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Admitted> {
        let most = self.helpers.saturating_add(self.queue);
        let one_more = |out| (out < most).then_some(out + 1);
        // A number on its own, which orders nothing else.
        let before = self
            .out
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Admitted {
            limit: Arc::clone(self),
            waiting: (before + 1).saturating_sub(self.helpers),
        })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.limit.out.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_beyond_the_helpers_and_the_queue_is_refused_until_some_is_done() {
        let limit = Arc::new(WorkLimit::new(2, 3));
        let mut admitted: Vec<Admitted> = std::iter::from_fn(|| limit.admit()).collect();
        let waiting: Vec<usize> = admitted.iter().map(|admitted| admitted.waiting).collect();
        assert_eq!(waiting, [0, 0, 1, 2, 3]);
        admitted.truncate(4);
        assert_eq!(limit.admit().map(|admitted| admitted.waiting), Some(3));
        drop(admitted);
        assert_eq!(limit.admit().map(|admitted| admitted.waiting), Some(0));
    }
}
