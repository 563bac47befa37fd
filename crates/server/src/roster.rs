//! Who is blocked in a system call, so that a stop can reach them.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use c10k_sys::process::signal_thread;
use c10k_sys::signal::{Signal, interrupt_with};
use rustix::process::Pid;
use rustix::thread::gettid;

/// Sent to a thread or a child to interrupt the call that it is blocked in.
pub(crate) const NUDGE: Signal = Signal::USR1;

/// How often it is repeated: the first may come just before the call.
const AGAIN: Duration = Duration::from_millis(20);

/// Makes [`NUDGE`] interrupt calls, in this process and its children, instead of ending them.
pub(crate) fn prepare_nudges() {
    interrupt_with(NUDGE);
}

/// The threads that serve connections.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    present: Mutex<Present>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Present {
    /// Threads announced and not yet gone.
    seats: usize,
    /// Those of them that run, by their number.
    threads: HashSet<i32>,
}

/// A place on a roster, from the announcement of a thread to its end.
#[derive(Debug)]
pub(crate) struct Seat {
    roster: Arc<Roster>,
    thread: Option<i32>,
}

impl Roster {
    /// Counts a thread that is about to be started.
    pub(crate) fn announce(self: &Arc<Roster>) -> Seat {
        self.present().seats += 1;
        Seat {
            roster: Arc::clone(self),
            thread: None,
        }
    }

    /// Interrupts everybody until all have left, or `patience` is over.
    pub(crate) fn see_off(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let mut present = self.present();
        while present.seats > 0 && Instant::now() < end {
            for thread in present.threads.iter().copied().filter_map(Pid::from_raw) {
                // One that has just ended needs no nudge.
                let _ = signal_thread(thread, NUDGE.number());
            }
            present = self
                .left
                .wait_timeout(present, AGAIN)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Called by the thread itself: from here on it can be interrupted.
    pub(crate) fn take(&mut self) {
        let thread = gettid().as_raw_nonzero().get();
        self.thread = Some(thread);
        self.roster.present().threads.insert(thread);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut present = self.roster.present();
        present.seats -= 1;
        if let Some(thread) = self.thread {
            present.threads.remove(&thread);
        }
        if present.seats == 0 {
            self.roster.left.notify_all();
        }
    }
}
