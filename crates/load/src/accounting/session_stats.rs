//! How many sessions were started and how they ended.

use c10k_record::SessionTotals;

use crate::accounting::histogram::DurationHistogram;

/// The sessions of one thread, or of all threads.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionStats {
    /// Sessions started.
    pub(crate) started: u64,
    /// Sessions whose calls were all answered.
    pub(crate) completed: u64,
    /// Sessions that ended because a call failed.
    pub(crate) failed: u64,
    /// From the start to the last reply, completed sessions only.
    pub(crate) lifetime: DurationHistogram,
}

impl SessionStats {
    /// Adds the sessions of another thread.
    pub(crate) fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.completed += other.completed;
        self.failed += other.failed;
        self.lifetime.add(&other.lifetime);
    }

    /// The totals for the record. Sessions that neither completed nor failed were cut off by the end of the run.
    #[must_use]
    pub(crate) fn totals(&self) -> SessionTotals {
        SessionTotals {
            started: self.started,
            completed: self.completed,
            failed: self.failed,
            cut_off: self.started - self.completed - self.failed,
            lifetime_ns: self.lifetime.summary(),
        }
    }
}
