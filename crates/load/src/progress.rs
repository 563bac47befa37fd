//! What a run reports to its caller while it is running.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use c10k_record::LoadPhase;

use crate::clock::Moment;

/// How often a sending thread reports its progress and checks whether it should stop.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// What a run reports while it is running.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RunEvent {
    /// It has entered a phase.
    Phase(LoadPhase, Moment),
    /// Its progress, about ten times per second.
    Progress(Progress),
}

/// The progress of a run. Counts may be 100 ms old; those of requests exclude the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// The time since the start of the schedule; zero while connections are opened.
    pub done: Duration,
    /// The time until the end of the schedule; zero while connections are opened.
    pub left: Duration,
    /// Open connections, including idle ones.
    pub connections: u64,
    /// Requests that were due.
    pub intended: u64,
    /// Requests that were answered.
    pub completed: u64,
    /// Requests that failed, timed out or were never sent.
    pub lost: u64,
}

/// The progress of one sending thread. Only that thread writes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ThreadProgress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    intended: AtomicU64,
    completed: AtomicU64,
    lost: AtomicU64,
}

impl ThreadProgress {
    /// Replaces the counts of this thread.
    pub(crate) fn report(&self, connections: u64, intended: u64, completed: u64, lost: u64) {
        let counts = &self.0;
        for (count, value) in [
            (&counts.connections, connections),
            (&counts.intended, intended),
            (&counts.completed, completed),
            (&counts.lost, lost),
        ] {
            count.store(value, Ordering::Relaxed);
        }
    }

    /// Adds the counts of this thread to `progress`.
    pub(crate) fn add_to(&self, progress: &mut Progress) {
        let counts = &self.0;
        progress.connections += counts.connections.load(Ordering::Relaxed);
        progress.intended += counts.intended.load(Ordering::Relaxed);
        progress.completed += counts.completed.load(Ordering::Relaxed);
        progress.lost += counts.lost.load(Ordering::Relaxed);
    }
}
