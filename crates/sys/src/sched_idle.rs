//! The scheduling class that runs only where nothing else wants to.

use std::io;

/// `sched_setscheduler(2)` with `SCHED_IDLE` for the calling thread.
///
/// Entering the class needs no privilege; leaving it does on some kernels, so that a thread should enter it for good.
///
/// # Errors
/// Whatever the kernel or a seccomp filter answers, `EPERM` and `ENOSYS` among it.
pub fn enter_sched_idle() -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 names the calling thread, and `param` is valid for the length of the call.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const param) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
