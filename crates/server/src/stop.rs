//! Asking a server to drain and end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use c10k_event::Waker;
use c10k_sys::termination::TerminationSignals;
use rustix::event::EventfdFlags;
use tokio::sync::Notify;

use crate::ServeError;

/// The pause before the signals are waited for again after that has failed.
const WAIT_AGAIN: Duration = Duration::from_millis(100);

/// A request to drain and end, which the server's workers share. Clones are the same request.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<StopState>);

#[derive(Debug, Default)]
struct StopState {
    requested: AtomicBool,
    wakers: Mutex<Vec<Wake>>,
    /// Becomes and stays readable when the stop is requested, for workers that wait with `poll`.
    event: OnceLock<OwnedFd>,
}

/// What a request wakes.
#[derive(Debug)]
enum Wake {
    Loop(Waker),
    Task(Arc<Notify>),
    Thread(Thread),
}

impl Stop {
    /// A stop that is not requested yet.
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
                Wake::Loop(waker) => wake(waker),
                Wake::Task(notify) => notify.notify_one(),
                Wake::Thread(thread) => thread.unpark(),
            }
        }
        if let Some(event) = self.0.event.get() {
            // This fails only if the counter is at its maximum, and then it is readable.
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
            // The request may have come before there was a descriptor to write to.
            self.request();
        }
        Ok(event)
    }

    /// Whether the stop was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Acquire)
    }

    /// Makes SIGTERM and SIGINT request the stop. A new thread waits for them.
    ///
    /// Call it before any other thread is started, so that all threads inherit that the two signals are blocked.
    ///
    /// # Errors
    /// [`ServeError::System`] where the signals cannot be blocked or the thread cannot be started.
    pub fn on_signals(&self) -> Result<(), ServeError> {
        let signals = TerminationSignals::block().map_err(failed("pthread_sigmask"))?;
        let stop = self.clone();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                loop {
                    match signals.wait() {
                        Ok(_) => stop.request(),
                        // Without this thread the signals would stay blocked, and nothing but SIGKILL would end the server.
                        Err(_) => std::thread::sleep(WAIT_AGAIN),
                    }
                }
            })
            .map_err(failed("clone"))?;
        Ok(())
    }

    /// Makes the request wake a loop.
    pub(crate) fn wakes(&self, waker: Waker) {
        self.add(Wake::Loop(waker));
    }

    /// Makes the request wake a task.
    pub(crate) fn notifies(&self, notify: Arc<Notify>) {
        self.add(Wake::Task(notify));
    }

    /// Makes the request unpark a thread.
    pub(crate) fn unparks(&self, thread: Thread) {
        self.add(Wake::Thread(thread));
    }

    fn add(&self, wake: Wake) {
        self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(wake);
        if self.is_requested() {
            self.request();
        }
    }
}

/// Wakes a loop. The kernel has no reason to refuse the write. If it does so twice, the loop looks by itself: within a second
/// if it handles events, within 16 seconds otherwise.
pub(crate) fn wake(waker: &Waker) {
    drop(waker.wake().or_else(|_| waker.wake()));
}

fn failed(call: &'static str) -> impl Fn(io::Error) -> ServeError {
    move |cause| ServeError::System { call, cause }
}
