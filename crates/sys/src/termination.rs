//! Waiting for SIGTERM and SIGINT: `pthread_sigmask`, `sigwait`.

use std::io;
use std::mem::MaybeUninit;

/// The two signals, blocked in the thread that made this and in every thread and child that it starts afterwards.
#[derive(Debug, Clone, Copy)]
pub struct TerminationSignals(());

impl TerminationSignals {
    /// `pthread_sigmask(SIG_BLOCK, {SIGTERM, SIGINT})`. See pthread_sigmask(3).
    ///
    /// Call it before the first thread is started, otherwise a thread that has not blocked the signals takes them and
    /// the process ends.
    ///
    /// # Errors
    /// None that the kernel documents for these arguments.
    pub fn block() -> io::Result<TerminationSignals> {
        mask(libc::SIG_BLOCK)?;
        Ok(TerminationSignals(()))
    }

    /// `sigwait({SIGTERM, SIGINT})`: blocks until one of them is pending and takes it. Returns its number. See
    /// sigwait(3).
    ///
    /// # Errors
    /// None that the kernel documents for these arguments.
    pub fn wait(self) -> io::Result<i32> {
        let set = set();
        let mut signal = 0;
        // SAFETY: `set` is an initialised signal set and `signal` is valid for a write; both outlive the call.
        match unsafe { libc::sigwait(&raw const set, &raw mut signal) } {
            0 => Ok(signal),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// `pthread_sigmask(SIG_UNBLOCK, {SIGTERM, SIGINT})`, for a child that these signals must end. See
    /// pthread_sigmask(3).
    ///
    /// # Errors
    /// None that the kernel documents for these arguments.
    pub fn unblock(self) -> io::Result<()> {
        mask(libc::SIG_UNBLOCK)
    }
}

fn mask(how: libc::c_int) -> io::Result<()> {
    let set = set();
    // SAFETY: `set` is an initialised signal set that outlives the call; a null old set is allowed.
    match unsafe { libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises what it is pointed to, and `sigaddset` gets valid signal numbers, for which
    // neither fails.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        set.assume_init()
    }
}
