//! Distinguishing a forked child from its parent without a system call.

use crate::poll::errno;
use rustix::io::{Errno, Result};
use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// A process, distinguished from the processes that it was forked from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u64);

/// The number of this process. A child has a higher number than its parent, so no ancestor has the same number.
static PRESENT: AtomicU64 = AtomicU64::new(1);

/// Whether the handler is registered. This is no lock: a child that is forked while another thread holds a lock would wait
/// for it without end. Threads that race register the handler twice, which does no harm: the number grows by two.
static REGISTERED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The value of `PRESENT` when this thread last read it, or 0. Thread-local memory is already in the cache; a page
    /// of its own would cost measurable time at every wait.
    static SEEN: Cell<u64> = const { Cell::new(0) };
}

impl Process {
    /// The calling process. The first call in a program registers a handler (`pthread_atfork`); later calls only read a
    /// number. A child is distinguished from its parent only if the `fork` of the C library created it.
    ///
    /// # Errors
    /// `ENOMEM`. See `pthread_atfork(3)`.
    #[inline]
    pub fn this() -> Result<Self> {
        match SEEN.with(Cell::get) {
            0 => first(),
            seen => Ok(Self(seen)),
        }
    }

    /// Its number. It is not the number that the kernel gives it.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// Whether this is the calling process. If it is, and the thread has called this before, this is one comparison.
    #[must_use]
    #[inline]
    pub fn is_this(self) -> bool {
        SEEN.with(Cell::get) == self.0 || first() == Ok(self)
    }
}

#[cold]
fn first() -> Result<Process> {
    if !REGISTERED.load(Ordering::Acquire) {
        register()?;
        REGISTERED.store(true, Ordering::Release);
    }
    let present = PRESENT.load(Ordering::Relaxed);
    SEEN.with(|seen| seen.set(present));
    Ok(Process(present))
}

fn register() -> Result<()> {
    extern "C" fn in_the_child() {
        let present = PRESENT.fetch_add(1, Ordering::Relaxed) + 1;
        // The forking thread is the only thread of the child.
        SEEN.with(|seen| seen.set(present));
    }
    // SAFETY: the handler only stores two numbers, which is allowed in a forked child, and exists as long as the
    // program.
    match unsafe { libc::pthread_atfork(None, None, Some(in_the_child)) } {
        0 => Ok(()),
        error => Err(Errno::from_raw_os_error(error)),
    }
}

/// `fork(2)`: runs `work` in a child process and waits for it. The child ends with the returned number as its exit
/// code; the result is `None` if a signal killed it. The child does not unwind, flush or drop anything of the parent.
///
/// In a program with several threads `work` must not take a lock that another thread may hold at this moment: the child
/// would wait for it without end.
///
/// # Errors
/// `EAGAIN`, `ENOMEM`. See `fork(2)`.
pub fn in_child(work: impl FnOnce() -> u8) -> Result<Option<u8>> {
    // SAFETY: the child runs `work` on a copy of this process and leaves by _exit; the C library keeps its allocator
    // usable in a forked child. Locks of other threads are the caller's concern, as documented: they can block, not
    // corrupt.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(errno());
    }
    if child == 0 {
        let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(101);
        // SAFETY: ends the process; nothing follows.
        unsafe { libc::_exit(i32::from(status)) }
    }
    let child = rustix::process::Pid::from_raw(child);
    loop {
        match rustix::process::waitpid(child, rustix::process::WaitOptions::empty()) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(status) => {
                let code = status.and_then(|(_, status)| status.exit_status());
                return Ok(code.and_then(|code| u8::try_from(code).ok()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_distinguished_also_if_threads_raced_to_register_the_handler() {
        let parent = Process::this().expect("memory is left");
        register().expect("memory is left");
        let child = in_child(|| u8::from(!parent.is_this() && Process::this() != Ok(parent)));
        assert_eq!(child, Ok(Some(1)));
        assert!(parent.is_this());
    }
}
