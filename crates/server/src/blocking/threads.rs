//! The threads that may be blocked in a system call, so that a stop can interrupt them.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use c10k_sys::process::signal_thread;
use c10k_sys::signal::{Signal, interrupt_with};
use rustix::process::Pid;
use rustix::thread::gettid;

/// Interrupts the call that a thread or a child is blocked in.
const INTERRUPT: Signal = Signal::USR1;

/// How often it is repeated, since the first may come just before the call that it should interrupt.
const REPEAT: Duration = Duration::from_millis(20);

/// The stack of a thread that serves connections. The server itself needs far less.
pub(crate) const STACK_BYTES: usize = 128 * 1024;

/// Makes SIGUSR1 interrupt system calls, in this process and its children, instead of ending the process.
pub(crate) fn prepare_interrupts() {
    interrupt_with(INTERRUPT);
}

/// The threads that serve connections.
#[derive(Debug, Default)]
pub(crate) struct BlockedThreads {
    threads: Mutex<Threads>,
    all_ended: Condvar,
}

#[derive(Debug, Default)]
struct Threads {
    /// How many are expected or running.
    count: usize,
    /// The thread IDs of those that are running.
    running: HashSet<i32>,
}

/// Counts a thread from before its start until its end.
#[derive(Debug)]
pub(crate) struct ThreadGuard {
    threads: Arc<BlockedThreads>,
    id: Option<i32>,
}

impl BlockedThreads {
    /// Counts a thread that is about to be started.
    pub(crate) fn expect_thread(self: &Arc<BlockedThreads>) -> ThreadGuard {
        self.lock().count += 1;
        ThreadGuard {
            threads: Arc::clone(self),
            id: None,
        }
    }

    /// Interrupts all threads until they have ended, or `limit` is over.
    pub(crate) fn interrupt_all(&self, limit: Duration) {
        let end = Instant::now() + limit;
        let mut threads = self.lock();
        while threads.count > 0 && Instant::now() < end {
            for thread in threads.running.iter().copied().filter_map(Pid::from_raw) {
                // This fails only for a thread that has just ended.
                let _ = signal_thread(thread, INTERRUPT.number());
            }
            threads = self
                .all_ended
                .wait_timeout(threads, REPEAT)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ThreadGuard {
    /// Registers the calling thread, so that it is interrupted from here on.
    pub(crate) fn register(&mut self) {
        let id = gettid().as_raw_nonzero().get();
        self.id = Some(id);
        self.threads.lock().running.insert(id);
    }
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        let mut threads = self.threads.lock();
        threads.count -= 1;
        if let Some(id) = self.id {
            threads.running.remove(&id);
        }
        if threads.count == 0 {
            self.threads.all_ended.notify_all();
        }
    }
}
