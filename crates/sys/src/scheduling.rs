//! Scheduling classes that give way: `sched_setscheduler(2)`.

use std::io;

/// A class below the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `SCHED_BATCH`: being woken is no reason to run before whoever runs at the moment.
    Batch,
    /// `SCHED_IDLE`: runs only where nothing else wants to. Entering it needs no privilege; leaving it does on some
    /// kernels, so that a thread should enter it for good.
    Idle,
}

/// `sched_setscheduler(2)`: puts the calling thread into a class. What it starts from then on begins there too.
///
/// # Errors
/// Whatever the kernel or a seccomp filter answers, `EPERM` and `ENOSYS` among it.
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
