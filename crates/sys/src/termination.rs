//! Waiting for SIGTERM, SIGINT and SIGHUP: `pthread_sigmask`, `sigwait`.

use std::io;
use std::mem::MaybeUninit;

/// The signals, blocked in the thread that made this and in every thread and child that it starts afterwards.
#[derive(Debug, Clone, Copy)]
pub struct TerminationSignals {
    hangup: Hangup,
}

/// Whether SIGHUP is one of the signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hangup {
    Included,
    Excluded,
}

impl TerminationSignals {
    /// `pthread_sigmask(SIG_BLOCK, {SIGTERM, SIGINT})`. See pthread_sigmask(3).
    ///
    /// Call it before the first thread is started, otherwise a thread that has not blocked the signals takes them and
    /// the process ends.
    ///
    /// # Errors
    /// None that the kernel documents for these arguments.
    pub fn block() -> io::Result<TerminationSignals> {
        Self::block_set(Hangup::Excluded)
    }

    /// As [`block`](Self::block), and SIGHUP too, which a terminal sends when it is closed. If SIGHUP is ignored, as
    /// nohup(1) has it, it stays ignored.
    ///
    /// # Errors
    /// None that the kernel documents for these arguments.
    pub fn block_with_hangup() -> io::Result<TerminationSignals> {
        // A blocked signal is queued even if it is ignored, so the disposition decides before.
        Self::block_set(if is_ignored(libc::SIGHUP)? {
            Hangup::Excluded
        } else {
            Hangup::Included
        })
    }

    fn block_set(hangup: Hangup) -> io::Result<TerminationSignals> {
        mask(libc::SIG_BLOCK, hangup)?;
        Ok(TerminationSignals { hangup })
    }

    /// `sigwait(signals)`: blocks until one of them is pending and takes it. Returns its number. See sigwait(3).
    ///
    /// # Errors
    /// None that the kernel documents for these arguments.
    pub fn wait(self) -> io::Result<i32> {
        take(&set(self.hangup))
    }

    /// `pthread_sigmask(SIG_UNBLOCK, signals)`, for a child that these signals must end. See pthread_sigmask(3).
    ///
    /// # Errors
    /// None that the kernel documents for these arguments.
    pub fn unblock(self) -> io::Result<()> {
        mask(libc::SIG_UNBLOCK, self.hangup)
    }
}

/// What a process that waits for its children is woken by: SIGCHLD, and the signals that end it. They are blocked in the thread
/// that made this, and in every thread and child that it starts afterwards.
#[derive(Clone, Copy)]
pub struct FamilySignals {
    ending: TerminationSignals,
    before: libc::sigset_t,
}

/// What [`FamilySignals::wait`] took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// A child has changed its state.
    Child,
    /// A signal that ends the process came: SIGTERM, SIGINT or SIGHUP.
    End(i32),
}

impl FamilySignals {
    /// `pthread_sigmask(SIG_BLOCK, {SIGCHLD, SIGTERM, SIGINT, SIGHUP})`, SIGHUP only if it is not ignored. A SIGCHLD that is
    /// ignored gets its default action back, because the kernel would reap the children.
    ///
    /// # Errors
    /// None that the kernel documents for these arguments.
    pub fn block() -> io::Result<FamilySignals> {
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: a null new set changes nothing, and `before` is valid for a write of one set.
        let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), before.as_mut_ptr()) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: the default disposition runs no code of ours.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        let ending = TerminationSignals::block_with_hangup()?;
        let signals = FamilySignals {
            ending,
            // SAFETY: the call has filled it.
            before: unsafe { before.assume_init() },
        };
        set_mask(libc::SIG_BLOCK, &signals.all())?;
        Ok(signals)
    }

    /// `sigwait(signals)`: blocks until one of them is pending and takes it. See sigwait(3).
    ///
    /// # Errors
    /// None that the kernel documents for these arguments.
    pub fn wait(self) -> io::Result<Signalled> {
        Ok(match take(&self.all())? {
            libc::SIGCHLD => Signalled::Child,
            signal => Signalled::End(signal),
        })
    }

    /// `pthread_sigmask(SIG_SETMASK, …)`: the mask as it was before [`block`](Self::block).
    ///
    /// # Errors
    /// None that the kernel documents for these arguments.
    pub fn restore(self) -> io::Result<()> {
        set_mask(libc::SIG_SETMASK, &self.before)
    }

    fn all(self) -> libc::sigset_t {
        let mut all = set(self.ending.hangup);
        // SAFETY: `all` is initialised, and the number is that of a signal.
        unsafe { libc::sigaddset(&raw mut all, libc::SIGCHLD) };
        all
    }
}

/// `sigaction(signal, SIG_DFL)`, then `raise(signal)`: ends the process by a signal that is not blocked, also if it is ignored.
/// A shell starts background commands with SIGINT ignored. See sigaction(2) and raise(3).
///
/// # Errors
/// `EINVAL` for a number that is no signal.
pub fn end_by(signal: i32) -> io::Result<()> {
    // SAFETY: the calls take numbers, and the default action runs no code of this process.
    if unsafe { libc::signal(signal, libc::SIG_DFL) != libc::SIG_ERR && libc::raise(signal) == 0 } {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn is_ignored(signal: libc::c_int) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action changes nothing, and `action` is valid for a write of one sigaction.
    if unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has filled it, and all zeros were valid before.
    let action = unsafe { action.assume_init() };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

fn take(set: &libc::sigset_t) -> io::Result<i32> {
    let mut signal = 0;
    // SAFETY: `set` is an initialised signal set and `signal` is valid for a write; both outlive the call.
    match unsafe { libc::sigwait(set, &raw mut signal) } {
        0 => Ok(signal),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn mask(how: libc::c_int, hangup: Hangup) -> io::Result<()> {
    set_mask(how, &set(hangup))
}

fn set_mask(how: libc::c_int, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` is an initialised signal set that outlives the call; a null old set is allowed.
    match unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

fn set(hangup: Hangup) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises what it is pointed to, and `sigaddset` gets valid signal numbers, for which
    // neither fails.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        if hangup == Hangup::Included {
            libc::sigaddset(set.as_mut_ptr(), libc::SIGHUP);
        }
        set.assume_init()
    }
}
