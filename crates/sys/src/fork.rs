//! Telling a forked child from its parent without a system call.

use crate::poll::errno;
use rustix::io::{Errno, Result};
use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// A process, distinguished from the processes that it was forked from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u64);

/// The present process's number; a child's is one more than its parent's, so it is no ancestor's.
static PRESENT: AtomicU64 = AtomicU64::new(1);

/// What came of registering the handler; a program does it once.
static HANDLER: OnceLock<i32> = OnceLock::new();

thread_local! {
    /// `PRESENT` as this thread has seen it, or 0. It lies in memory that the thread uses anyway, which a check at every
    /// wait can tell from a page of its own.
    static SEEN: Cell<u64> = const { Cell::new(0) };
}

impl Process {
    /// The calling process. A program's first call registers a handler (`pthread_atfork`), a thread's first call asks
    /// for it; later ones read a number. A child is distinguished from its parent if it was made by the C library's `fork`.
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

    /// Whether this is the calling process: one comparison where it is, and the thread has asked before.
    #[must_use]
    #[inline]
    pub fn is_this(self) -> bool {
        SEEN.with(Cell::get) == self.0 || first() == Ok(self)
    }
}

#[cold]
fn first() -> Result<Process> {
    extern "C" fn in_the_child() {
        let present = PRESENT.fetch_add(1, Ordering::Relaxed) + 1;
        // The forking thread is the only one that the child has.
        SEEN.with(|seen| seen.set(present));
    }
    // SAFETY: the handler only stores two numbers, which is allowed in a forked child, and is there as long as the program.
    let error = *HANDLER.get_or_init(|| unsafe { libc::pthread_atfork(None, None, Some(in_the_child)) });
    if error != 0 {
        return Err(Errno::from_raw_os_error(error));
    }
    let present = PRESENT.load(Ordering::Relaxed);
    SEEN.with(|seen| seen.set(present));
    Ok(Process(present))
}

/// `fork(2)`: runs `work` in a child process, which then ends at once with the number that it returned, and waits for it;
/// `None` when a signal ended the child. Nothing of the parent is unwound, flushed or dropped in the child.
///
/// In a program of several threads `work` must not need a lock that another thread may hold at this moment: the child
/// would wait for it for ever.
///
/// # Errors
/// `EAGAIN`, `ENOMEM`. See `fork(2)`.
pub fn in_child(work: impl FnOnce() -> u8) -> Result<Option<u8>> {
    // SAFETY: the child runs `work` on a copy of this process and leaves by _exit; the C library keeps its allocator usable
    // in a forked child. Locks of other threads are the caller's concern, as documented: they can block, not corrupt.
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
