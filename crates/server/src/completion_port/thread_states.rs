//! Whether a thread of this process sleeps, as the kernel shows it: the state in `/proc/self/task/TID/stat` (proc_pid_stat(5)).
//!
//! The state says what the port has to know: `R` is running or ready to run, `S` and `D` are two ways to sleep. The alternatives say
//! less. `schedstat` and the thread's CPU clock tell only that a thread has not run, which is also so if others had the CPU, and
//! a thread that is ready keeps its place. `wchan` is 0 both for a thread that runs and where the kernel hides its symbols.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, read};
use rustix::thread::gettid;

/// The threads of this process.
pub(crate) const TASKS: &str = "/proc/self/task";

/// Enough for the number, the name of at most 64 bytes and the state.
const BYTES: usize = 128;

/// Opens the directory of [`TASKS`].
pub(crate) fn open_tasks() -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, TASKS, flags, Mode::empty())
}

/// The states of the threads of a pool.
#[derive(Debug)]
pub(crate) struct ThreadStates {
    tasks: OwnedFd,
    /// The kernel's number of each thread; 0 before it has begun.
    ids: Box<[AtomicI32]>,
}

impl ThreadStates {
    /// For so many threads.
    ///
    /// # Errors
    /// `/proc` cannot be opened.
    pub(crate) fn open(threads: usize) -> Result<ThreadStates, Errno> {
        Ok(ThreadStates {
            tasks: open_tasks()?,
            ids: (0..threads).map(|_| AtomicI32::new(0)).collect(),
        })
    }

    /// Notes that the calling thread is the one of that number.
    pub(crate) fn register(&self, thread: usize) {
        self.ids[thread].store(gettid().as_raw_nonzero().get(), Ordering::Release);
    }

    /// Whether a thread sleeps. One whose state cannot be read counts as running: it keeps its place.
    pub(crate) fn sleeps(&self, thread: usize) -> bool {
        let id = self.ids[thread].load(Ordering::Acquire);
        let mut bytes = [0; BYTES];
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let path = format!("{id}/stat");
        let found = openat2(&self.tasks, path, flags, Mode::empty(), ResolveFlags::BENEATH)
            .and_then(|stat| read(&stat, &mut bytes));
        found.is_ok_and(|length| matches!(state(&bytes[..length]), Some(b'S' | b'D')))
    }
}

/// The state follows the name, which is in parentheses and may contain any character.
fn state(stat: &[u8]) -> Option<u8> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(end + 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_found_behind_any_name() {
        assert_eq!(state(b"17 (c10k) S 1 17"), Some(b'S'));
        assert_eq!(state(b"17 (a) R (b) D 1 17"), Some(b'D'));
        assert_eq!(state(b"17 (c10k"), None);
        assert_eq!(state(b"17 (c10k)"), None);
    }

    #[test]
    fn a_thread_that_looks_at_itself_runs() {
        let states = ThreadStates::open(2).expect("/proc");
        states.register(1);
        assert!(!states.sleeps(1));
        assert!(!states.sleeps(0), "it has not begun");
    }
}
