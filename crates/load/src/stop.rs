//! Requests to end a run early.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use c10k_sys::termination::TerminationSignals;

use crate::LoadError;
use crate::clock::Moment;

/// Ends a run early: each sending thread ends its measured time when it notices the request, which takes it at most
/// 100 ms. No request is due after that. Requests in progress end normally.
///
/// Clones share the same state.
#[derive(Debug, Clone)]
pub struct Stop(Arc<AtomicU64>);

/// The state before a stop is requested.
const NOT_REQUESTED: u64 = u64::MAX;

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(NOT_REQUESTED)))
    }
}

impl Stop {
    /// Requests the stop. Only the first call has an effect.
    pub fn request(&self) {
        let now = Moment::now().0;
        // An error means that the stop was requested before.
        let _ = self
            .0
            .compare_exchange(NOT_REQUESTED, now, Ordering::Release, Ordering::Relaxed);
    }

    /// When the stop was requested.
    #[must_use]
    pub fn requested(&self) -> Option<Moment> {
        Some(self.0.load(Ordering::Acquire))
            .filter(|&at| at != NOT_REQUESTED)
            .map(Moment)
    }

    /// Makes the first SIGINT, SIGTERM or SIGHUP request the stop. A second one terminates the process, which is the default
    /// action. A SIGHUP that is ignored (nohup(1)) stays ignored.
    ///
    /// Must be called before other threads are started, because they must inherit that the signals are blocked.
    ///
    /// # Errors
    /// [`LoadError::System`] if the signals cannot be blocked or the thread that waits for them cannot be started.
    pub fn on_signals(&self) -> Result<(), LoadError> {
        let failed = |operation| move |source: io::Error| LoadError::System { operation, source };
        let signals = TerminationSignals::block_with_hangup().map_err(failed("blocking SIGINT, SIGTERM and SIGHUP"))?;
        let stop = self.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                if signals.wait().is_ok() {
                    stop.request();
                }
                // Now this is the only thread that does not block the signals: the next one terminates the process.
                let _ = signals.unblock();
                loop {
                    thread::park();
                }
            })
            .map_err(failed("starting the thread that waits for signals"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_request_counts() {
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
