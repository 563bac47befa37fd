//! Starting a copy of this process, and interrupting a thread: `fork`, `tgkill`.

use std::io;

use rustix::process::Pid;

/// `fork()`: the child runs `work` and ends with its result as exit code. It runs no destructors and no
/// exit handlers. Returns the child's process id. See fork(2).
///
/// Only the calling thread exists in the child. A lock that another thread held at that moment stays locked in the
/// child (glibc resets its own locks, such as those of the allocator), so `work` must not take locks that other threads
/// take.
///
/// # Errors
/// `EAGAIN` at a limit on processes, `ENOMEM`.
pub fn fork(work: impl FnOnce() -> u8) -> io::Result<Pid> {
    // SAFETY: the child has a copy of all memory; what it may do with it is the caller's duty above, and breaking that
    // hangs the child but corrupts nothing.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(101);
        // SAFETY: `_exit` ends the process, whatever its state.
        unsafe { libc::_exit(i32::from(code)) };
    }
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    Pid::from_raw(pid).ok_or_else(io::Error::last_os_error)
}

/// `tgkill(getpid(), thread, signal)`: sends a signal to one thread of this process. See tgkill(2).
///
/// # Errors
/// `ESRCH` if the thread has ended.
pub fn signal_thread(thread: Pid, signal: i32) -> io::Result<()> {
    let process = rustix::process::getpid().as_raw_nonzero().get();
    let thread = thread.as_raw_nonzero().get();
    // SAFETY: the call takes three numbers and touches no memory of this process.
    if unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
