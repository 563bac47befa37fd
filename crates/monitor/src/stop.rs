//! Asking a daemon or a viewer to end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use c10k_event::Waker;
use c10k_sys::termination::TerminationSignals;
use rustix::event::EventfdFlags;

use crate::MonitorError;

/// The pause before the signals are waited for again after that has failed.
const WAIT_AGAIN: Duration = Duration::from_millis(100);

/// A request to drain and end. Clones are the same request.
#[derive(Debug, Clone)]
pub struct Stop(Arc<State>);

#[derive(Debug)]
struct State {
    requested: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
    /// Becomes and stays readable when the stop is requested, in forked children too.
    event: OwnedFd,
}

impl Stop {
    /// A stop that is not requested yet.
    ///
    /// # Errors
    /// [`MonitorError::System`] if the process has no descriptor left.
    pub fn new() -> Result<Stop, MonitorError> {
        let event = rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
            .map_err(MonitorError::of_call("eventfd2"))?;
        Ok(Stop(Arc::new(State {
            requested: AtomicBool::new(false),
            wakers: Mutex::new(Vec::new()),
            event,
        })))
    }

    /// Asks for the end. Asking again changes nothing.
    pub fn request(&self) {
        self.0.requested.store(true, Ordering::Release);
        // This fails only if the counter is at its maximum, and then it is readable.
        let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
        let wakers = self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        for waker in &*wakers {
            // The kernel has no reason to refuse the write. A loop also looks by itself from time to time.
            drop(waker.wake().or_else(|_| waker.wake()));
        }
    }

    /// Whether the stop was requested in this process.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Acquire)
    }

    /// Makes SIGTERM and SIGINT request the stop. A new thread waits for them.
    ///
    /// Call it before any other thread is started, so that all threads inherit that the two signals are blocked.
    ///
    /// # Errors
    /// [`MonitorError::System`] where the signals cannot be blocked or the thread cannot be started.
    pub fn on_signals(&self) -> Result<(), MonitorError> {
        let signals = TerminationSignals::block().map_err(MonitorError::of_call("pthread_sigmask"))?;
        let stop = self.clone();
        let wait = move || {
            loop {
                match signals.wait() {
                    Ok(_) => stop.request(),
                    // Without this thread the signals would stay blocked, and nothing but SIGKILL would end the process.
                    Err(_) => std::thread::sleep(WAIT_AGAIN),
                }
            }
        };
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn(wait).map_err(MonitorError::of_call("clone"))?;
        Ok(())
    }

    /// A descriptor that is readable from the request on.
    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }

    /// Makes the request wake a loop.
    pub(crate) fn wakes(&self, waker: Waker) {
        self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(waker);
        if self.is_requested() {
            self.request();
        }
    }
}
