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
    /// From the start to the end, failed sessions only.
    pub(crate) fail_time: DurationHistogram,
    /// Ended sessions by the number of good replies that they got. The last place also has all longer ones.
    pub(crate) lengths: Vec<u64>,
}

/// The highest number of replies that has a place of its own in [`SessionStats::lengths`].
const LENGTH_MAX: u64 = 1000;

impl SessionStats {
    /// A session got all its replies.
    pub(crate) fn completed(&mut self, lifetime_ns: u64, replies: u64) {
        self.completed += 1;
        self.lifetime.record(lifetime_ns);
        self.ended_after(replies);
    }

    /// A session ended because a call failed.
    pub(crate) fn failed(&mut self, time_ns: u64, replies: u64) {
        self.failed += 1;
        self.fail_time.record(time_ns);
        self.ended_after(replies);
    }

    fn ended_after(&mut self, replies: u64) {
        let place = replies.min(LENGTH_MAX) as usize;
        if self.lengths.len() <= place {
            self.lengths.resize(place + 1, 0);
        }
        self.lengths[place] += 1;
    }

    /// Adds the sessions of another thread.
    pub(crate) fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.completed += other.completed;
        self.failed += other.failed;
        self.lifetime.add(&other.lifetime);
        self.fail_time.add(&other.fail_time);
        self.lengths.resize(self.lengths.len().max(other.lengths.len()), 0);
        for (sum, count) in self.lengths.iter_mut().zip(&other.lengths) {
            *sum += count;
        }
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
