//! Scheduling classes: `sched_setscheduler(2)`.

use std::io;

use rustix::process::Pid;

/// A class with another priority than the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `SCHED_BATCH`: a thread that wakes up does not preempt the running thread.
    Batch,
    /// `SCHED_IDLE`: runs only if no other thread is ready to run. Entering it needs no privilege, but leaving it does
    /// on some kernels, so a thread should stay in it.
    Idle,
    /// `SCHED_FIFO`: runs before all threads of the other classes, until it waits. Needs `CAP_SYS_NICE`, or a limit
    /// `RLIMIT_RTPRIO` of at least the priority.
    Fifo {
        /// 1 to 99: a thread with a higher one runs first.
        priority: u8,
    },
}

/// `sched_setscheduler(2)`: puts the calling thread into a class. The threads and processes that it starts later
/// inherit the class.
///
/// # Errors
/// The error of the kernel or of a seccomp filter, for example `EPERM` or `ENOSYS`; `EINVAL` for a priority that there is not.
pub fn enter(class: Class) -> io::Result<()> {
    set(0, class)
}

/// The same for another thread, by its number.
///
/// # Errors
/// As [`enter`]; `ESRCH` if there is no such thread.
pub fn set_of(thread: Pid, class: Class) -> io::Result<()> {
    set(thread.as_raw_nonzero().get(), class)
}

fn set(thread: libc::pid_t, class: Class) -> io::Result<()> {
    let (policy, sched_priority) = match class {
        Class::Batch => (libc::SCHED_BATCH, 0),
        Class::Idle => (libc::SCHED_IDLE, 0),
        Class::Fifo { priority } => (libc::SCHED_FIFO, i32::from(priority)),
    };
    let param = libc::sched_param { sched_priority };
    // SAFETY: `thread` is a number that the kernel checks, 0 names the calling thread, and `param` is valid for the length of the
    // call.
    if unsafe { libc::sched_setscheduler(thread, policy, &raw const param) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
