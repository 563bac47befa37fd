//! Scheduling classes with a lower priority: `sched_setscheduler(2)`.

use std::io;

/// A class with a lower priority than the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `SCHED_BATCH`: a thread that wakes up does not preempt the running thread.
    Batch,
    /// `SCHED_IDLE`: runs only if no other thread is ready to run. Entering it needs no privilege, but leaving it does
    /// on some kernels, so a thread should stay in it.
    Idle,
}

/// `sched_setscheduler(2)`: puts the calling thread into a class. The threads and processes that it starts later
/// inherit the class.
///
/// # Errors
/// The error of the kernel or of a seccomp filter, for example `EPERM` or `ENOSYS`.
pub fn enter(class: Class) -> io::Result<()> {
    let policy = match class {
        Class::Batch => libc::SCHED_BATCH,
        Class::Idle => libc::SCHED_IDLE,
    };
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 names the calling thread, and `param` is valid for the length of the call.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const param) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
