//! Telling a server to drain and end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use c10k_event::Waker;
use c10k_sys::termination::TerminationSignals;
use rustix::event::EventfdFlags;
use tokio::sync::Notify;

use crate::ServeError;

/// A request to end, shared between whoever makes it and the server's loops. Clones are the same request.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    requested: AtomicBool,
    wakers: Mutex<Vec<Wake>>,
    /// Readable for good once the stop was requested, for those who wait with `poll`.
    event: OnceLock<OwnedFd>,
}

/// Whom a request wakes.
#[derive(Debug)]
enum Wake {
    Loop(Waker),
    Task(Arc<Notify>),
}

impl Stop {
    /// Not requested yet.
    #[must_use]
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Asks the server to drain and end. Asking again changes nothing.
    pub fn request(&self) {
        self.0.requested.store(true, Ordering::Release);
        let wakers = self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        for waker in &*wakers {
            match waker {
                // A loop that cannot be woken looks at the request by itself within a second.
                Wake::Loop(waker) => drop(waker.wake()),
                Wake::Task(notify) => notify.notify_one(),
            }
        }
        if let Some(event) = self.0.event.get() {
            // Refused only where it is at its maximum, and then it is readable.
            let _ = rustix::io::write(event, &1_u64.to_ne_bytes());
        }
    }

    /// A descriptor that becomes readable, and stays so, when the stop is requested.
    pub(crate) fn event(&self) -> Result<BorrowedFd<'_>, ServeError> {
        if let Some(event) = self.0.event.get() {
            return Ok(event.as_fd());
        }
        let event = rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(|errno| {
            ServeError::System {
                call: "eventfd2",
                cause: errno.into(),
            }
        })?;
        let event = self.0.event.get_or_init(|| event).as_fd();
        if self.is_requested() {
            // Perhaps before there was a descriptor to write to.
            self.request();
        }
        Ok(event)
    }

    /// Whether it was asked to.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Acquire)
    }

    /// Makes SIGTERM and SIGINT request the stop, by a thread that waits for them.
    ///
    /// Call it before any other thread is started: they inherit that the two signals are blocked.
    ///
    /// # Errors
    /// [`ServeError::System`] where the signals cannot be blocked or the thread cannot be started.
    pub fn on_signals(&self) -> Result<(), ServeError> {
        let signals = TerminationSignals::block().map_err(failed("pthread_sigmask"))?;
        let stop = self.clone();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                while signals.wait().is_ok() {
                    stop.request();
                }
            })
            .map_err(failed("clone"))?;
        Ok(())
    }

    /// Has the request wake a loop.
    pub(crate) fn wakes(&self, waker: Waker) {
        self.add(Wake::Loop(waker));
    }

    /// Has the request wake a task.
    pub(crate) fn notifies(&self, notify: Arc<Notify>) {
        self.add(Wake::Task(notify));
    }

    fn add(&self, wake: Wake) {
        self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(wake);
        if self.is_requested() {
            self.request();
        }
    }
}

fn failed(call: &'static str) -> impl Fn(io::Error) -> ServeError {
    move |cause| ServeError::System { call, cause }
}
