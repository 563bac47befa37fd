//! What passes between a run and whoever watches it: how far it is, and the word to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use c10k_record::LoadPhase;
use c10k_sys::termination::TerminationSignals;

use crate::LoadError;
use crate::clock::Moment;

/// How often a sending thread looks whether it is to stop, and tells how far it is.
pub(crate) const PULSE: Duration = Duration::from_millis(100);

/// What a run tells while it goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum News {
    /// It has entered a phase.
    Phase(LoadPhase, Moment),
    /// How far it is, about ten times a second.
    Progress(Progress),
}

/// How far a run is. Counts are some milliseconds old; those of requests begin with the measured time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// Since the first request was due; zero while connections are opened.
    pub done: Duration,
    /// Until the last request is due; without the time that opening connections takes.
    pub left: Duration,
    /// Connections that are open, idle ones included.
    pub connections: u64,
    /// Requests that were due.
    pub intended: u64,
    /// Requests answered.
    pub completed: u64,
    /// Requests that failed, timed out or were never sent.
    pub lost: u64,
}

/// Asks a run to end early: from that moment on no request is due, and what is under way ends as it would have.
#[derive(Debug, Clone)]
pub struct Stop(Arc<AtomicU64>);

/// No moment: nobody has asked.
const NOT_ASKED: u64 = u64::MAX;

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(NOT_ASKED)))
    }
}

impl Stop {
    /// Asks. Only the first call counts.
    pub fn request(&self) {
        let now = Moment::now().0;
        // An error says that it was asked before.
        let _ = self
            .0
            .compare_exchange(NOT_ASKED, now, Ordering::Release, Ordering::Relaxed);
    }

    /// When it was asked; `None` where it was not.
    #[must_use]
    pub fn requested(&self) -> Option<Moment> {
        Some(self.0.load(Ordering::Acquire))
            .filter(|&at| at != NOT_ASKED)
            .map(Moment)
    }

    /// Has the first SIGINT or SIGTERM ask; a second one ends the process at once, as it does without this.
    ///
    /// To be called before any other thread is started: they inherit that the two signals are blocked.
    ///
    /// # Errors
    /// [`LoadError::System`] where the signals cannot be blocked or the thread that waits for them cannot be started.
    pub fn on_signals(&self) -> Result<(), LoadError> {
        let failed = |operation| move |source: io::Error| LoadError::System { operation, source };
        let signals = TerminationSignals::block().map_err(failed("blocking SIGINT and SIGTERM"))?;
        let stop = self.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                if signals.wait().is_ok() {
                    stop.request();
                }
                // The only thread that does not block them takes the next one, and the process ends.
                let _ = signals.unblock();
                loop {
                    thread::park();
                }
            })
            .map_err(failed("starting the thread that waits for signals"))?;
        Ok(())
    }
}

/// Where one sending thread tells how far it is. Only that thread writes, once a [`PULSE`].
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    pub(crate) connections: AtomicU64,
    pub(crate) intended: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) lost: AtomicU64,
}

impl Gauge {
    /// Adds what this thread tells to `progress`.
    pub(crate) fn add_to(&self, progress: &mut Progress) {
        progress.connections += self.connections.load(Ordering::Relaxed);
        progress.intended += self.intended.load(Ordering::Relaxed);
        progress.completed += self.completed.load(Ordering::Relaxed);
        progress.lost += self.lost.load(Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_request_to_stop_is_the_one_that_counts() {
        let stop = Stop::default();
        assert_eq!(stop.requested(), None);
        let before = Moment::now();
        stop.clone().request();
        let first = stop.requested();
        assert!(first >= Some(before));
        stop.request();
        assert_eq!(stop.requested(), first);
    }
}
