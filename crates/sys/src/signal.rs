//! Signals that report readiness: `F_SETOWN_EX`, `F_SETSIG`, `O_ASYNC`, and taking them from the queue of pending
//! signals.

use crate::{poll::errno, timeout};
use rustix::{
    fs::OFlags,
    io::{Errno, Result},
};
use std::{
    fmt,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    time::Duration,
};

/// The number of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signal(i32);

impl Signal {
    /// The kernel sends this signal if it cannot queue another one.
    pub const IO: Self = Self(libc::SIGIO);
    /// The kernel sends this signal for out-of-band data to the owner of a socket.
    pub const URG: Self = Self(libc::SIGURG);
    /// For use by programs.
    pub const USR1: Self = Self(libc::SIGUSR1);

    /// The real-time signals that the C library leaves to programs, the lowest first.
    pub fn real_time() -> impl Iterator<Item = Self> {
        (libc::SIGRTMIN()..=libc::SIGRTMAX()).map(Self)
    }

    /// The signal's number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }
}

/// A set of signals.
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// The set of these signals.
    #[must_use]
    pub fn of(signals: &[Signal]) -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the whole set that it is given, which is ours.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: initialised by the line above.
        let mut set = unsafe { set.assume_init() };
        for signal in signals {
            // SAFETY: the set is ours and initialised; a Signal is a valid number, as all its constructors give one.
            unsafe { libc::sigaddset(&raw mut set, signal.0) };
        }
        Self(set)
    }

    /// The signals of the set, the lowest first.
    pub fn iter(&self) -> impl Iterator<Item = Signal> {
        (1..=libc::SIGRTMAX())
            .map(Signal)
            .filter(|&signal| self.contains(signal))
    }

    /// Whether the set holds this signal.
    #[must_use]
    pub fn contains(&self, signal: Signal) -> bool {
        // SAFETY: the set is initialised, as every SignalSet is; a Signal is a valid number.
        unsafe { libc::sigismember(&raw const self.0, signal.0) == 1 }
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter().map(Signal::number)).finish()
    }
}

/// `pthread_sigmask(SIG_BLOCK, signals)`: the calling thread, and the threads that it starts from now on, no longer
/// take these signals, which stay pending. Returns the signals that were blocked before. See `pthread_sigmask(3)`.
///
/// # Errors
/// Those of a seccomp profile.
pub fn block(signals: &SignalSet) -> Result<SignalSet> {
    change_mask(libc::SIG_BLOCK, signals)
}

/// `pthread_sigmask(SIG_UNBLOCK, signals)`: reverses [`block`]. Pending signals are delivered immediately; without a
/// handler, a real-time signal or `SIGIO` kills the process.
///
/// # Errors
/// As for [`block`].
pub fn unblock(signals: &SignalSet) -> Result<()> {
    change_mask(libc::SIG_UNBLOCK, signals).map(drop)
}

/// `pthread_sigmask(SIG_BLOCK, nothing)`: the signals that the calling thread blocks.
///
/// # Errors
/// As for [`block`].
pub fn blocked() -> Result<SignalSet> {
    change_mask(libc::SIG_BLOCK, &SignalSet::of(&[]))
}

fn change_mask(how: i32, signals: &SignalSet) -> Result<SignalSet> {
    let mut before = SignalSet::of(&[]);
    // SAFETY: both sets are live and initialised; the kernel writes the second one.
    match unsafe { libc::pthread_sigmask(how, &raw const signals.0, &raw mut before.0) } {
        0 => Ok(before),
        error => Err(Errno::from_raw_os_error(error)),
    }
}

/// `rt_sigpending()`: the signals that are pending for the calling thread or its process. See `sigpending(2)`.
///
/// # Errors
/// Those of a seccomp profile.
pub fn pending() -> Result<SignalSet> {
    let mut set = SignalSet::of(&[]);
    // SAFETY: the set is ours and live; the kernel writes the whole of it.
    done(unsafe { libc::sigpending(&raw mut set.0) })?;
    Ok(set)
}

/// The action for a signal that is neither blocked nor waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The default action of the kernel: real-time signals and `SIGIO` kill the process.
    Default,
    /// The signal is ignored.
    Ignore,
}

/// `signal(signal, SIG_DFL or SIG_IGN)` for the whole process. See `signal(2)`.
pub fn dispose(signal: Signal, disposition: Disposition) {
    let handler = match disposition {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignore => libc::SIG_IGN,
    };
    // SAFETY: neither disposition runs code of ours.
    unsafe { libc::signal(signal.0, handler) };
}

/// `sigaction(signal, nothing)`: whether the program has a handler for the signal. See `sigaction(2)`.
///
/// # Errors
/// Those of a seccomp profile.
pub fn has_handler(signal: Signal) -> Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the present action is not changed; the kernel writes it to `action`, which has room for it.
    done(unsafe { libc::sigaction(signal.0, std::ptr::null(), action.as_mut_ptr()) })?;
    // SAFETY: the kernel has written it, and before that it was all zeros, which is a valid sigaction.
    let handler = unsafe { action.assume_init() }.sa_sigaction;
    Ok(![libc::SIG_DFL, libc::SIG_IGN].contains(&handler))
}

/// `sigaction(signal, a handler that does nothing, without SA_RESTART)`: the only effect of the signal is to interrupt
/// a blocking call of the thread that takes it (`EINTR`).
pub fn interrupt_with(signal: Signal) {
    extern "C" fn nothing(_: libc::c_int) {}
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zeros are a valid sigaction: the default disposition, no flags, an empty mask.
    let action = unsafe {
        (*action.as_mut_ptr()).sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.assume_init()
    };
    // SAFETY: the action is live and initialised, and its handler touches nothing.
    unsafe { libc::sigaction(signal.0, &raw const action, std::ptr::null_mut()) };
}

/// Why the kernel sent a signal about a descriptor: `si_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `POLL_IN` or `POLL_MSG`: data, a connection, or the end of the stream.
    In,
    /// `POLL_OUT`: space to write, or an established connection.
    Out,
    /// `POLL_ERR`: an error.
    Error,
    /// `POLL_PRI`: out-of-band data.
    Priority,
    /// `POLL_HUP`: both directions are closed.
    HangUp,
    /// A program sent the signal, not the kernel.
    SentByProgram,
}

/// One signal taken from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The signal.
    pub signal: Signal,
    /// The reason.
    pub reason: Reason,
    /// `si_fd`: the number of the descriptor when it was armed. It has no meaning for [`Reason::SentByProgram`] and
    /// `SIGIO`.
    pub fd: i32,
    /// The signal stands for events with other reasons too: `si_band` has more than the reason's part. Only a kernel with
    /// signal-per-fd (`kernel/signal-per-fd`) does this.
    pub is_mixed: bool,
}

impl Taken {
    #[inline]
    fn new(signal: i32, code: i32, band: libc::c_long, fd: i32) -> Self {
        // <asm-generic/siginfo.h>; the libc crate does not have these. The parts are those of `band_table` (fs/fcntl.c).
        let (reason, part) = match code {
            1 | 3 => (Reason::In, 0x441),
            2 => (Reason::Out, 0x304),
            4 => (Reason::Error, 0x008),
            5 => (Reason::Priority, 0x082),
            6 => (Reason::HangUp, 0x018),
            _ => (Reason::SentByProgram, !0),
        };
        Self {
            signal: Signal(signal),
            reason,
            fd,
            is_mixed: band & !part != 0,
        }
    }
}

/// The beginning of the kernel's `siginfo_t` for signals about descriptors (`_sigpoll`).
#[repr(C)]
struct PollInfo {
    signal: i32,
    errno: i32,
    code: i32,
    #[cfg(target_pointer_width = "64")]
    padding: i32,
    band: libc::c_long,
    fd: i32,
}

/// `rt_sigtimedwait(signals, timeout)`: takes one pending signal, or waits for one. The lowest number comes first, and
/// for each number the oldest signal. Without a timeout it waits without a limit.
///
/// # Errors
/// `EAGAIN` after the timeout; `EINTR`. See `sigtimedwait(2)`.
#[inline]
pub fn wait(signals: &SignalSet, timeout: Option<Duration>) -> Result<Taken> {
    let timeout = timeout.map(timeout::timespec);
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the set and the timespec are live, the kernel writes at most a siginfo_t to `info`, which is one.
    let number = unsafe {
        libc::sigtimedwait(
            &raw const signals.0,
            info.as_mut_ptr(),
            timeout::pointer(timeout.as_ref()),
        )
    };
    if number < 0 {
        return Err(errno());
    }
    // SAFETY: all of `info` is initialised (zeroed, then written by the kernel), PollInfo is a prefix of siginfo_t as
    // the kernel lays it out, consists of integers only, and siginfo_t is at least as aligned.
    let info = unsafe { info.as_ptr().cast::<PollInfo>().read() };
    Ok(Taken::new(number, info.code, info.band, info.fd))
}

/// A `signalfd(2)`: takes many pending signals with one `read`.
#[derive(Debug)]
pub struct SignalFd {
    fd: OwnedFd,
    buffer: Vec<libc::signalfd_siginfo>,
}

impl SignalFd {
    /// `signalfd4(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC)`.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`, `ENODEV`. See `signalfd(2)`.
    pub fn open(signals: &SignalSet) -> Result<Self> {
        // SAFETY: the set is live; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const signals.0, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) };
        if fd < 0 {
            return Err(errno());
        }
        // SAFETY: the kernel has just returned this descriptor; it has no other owner.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, buffer: Vec::new() })
    }

    /// `read(signalfd)`: takes at most `max` pending signals of the calling thread, and at most 65,536, and passes each to
    /// `each`. Returns their number.
    ///
    /// # Errors
    /// `EAGAIN` if no signal is pending; `EINTR`; `EINVAL` if `max` is 0.
    #[inline]
    pub fn take(&mut self, max: usize, mut each: impl FnMut(Taken)) -> Result<usize> {
        // Eight megabytes: a caller with room for more signals than that must not make this buffer grow with it.
        const MOST: usize = 1 << 16;
        let max = max.min(MOST);
        self.buffer.clear();
        self.buffer.reserve(max);
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes at most `max` structures to the vector's own spare room, reserved above, live and
        // exclusively ours.
        let read = unsafe { libc::read(self.fd.as_raw_fd(), self.buffer.as_mut_ptr().cast(), max * size) };
        let count = usize::try_from(read).map_err(|_| errno())? / size;
        // SAFETY: the kernel has initialised `count` whole structures, never more than `max`.
        unsafe { self.buffer.set_len(count) };
        for info in &self.buffer {
            let signal = info.ssi_signo.cast_signed();
            let band = info.ssi_band.cast_signed().into();
            each(Taken::new(signal, info.ssi_code, band, info.ssi_fd));
        }
        Ok(count)
    }
}

/// A thread as the receiver of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver(libc::pid_t);

impl Receiver {
    /// The calling thread: `gettid(2)`.
    ///
    /// # Errors
    /// Those of a seccomp profile.
    pub fn this_thread() -> Result<Self> {
        // SAFETY: the call has no arguments.
        let id = unsafe { libc::syscall(libc::SYS_gettid) };
        // A thread's number fits into 22 bits (proc_sys_kernel(5)).
        libc::pid_t::try_from(id)
            .ok()
            .filter(|&id| id > 0)
            .map(Self)
            .ok_or_else(errno)
    }

    /// Its number, as `gettid(2)` gives it.
    #[must_use]
    pub fn id(self) -> i32 {
        self.0
    }
}

/// Who receives the signals of an open file: a thread, a process or a process group. `struct f_owner_ex`; the libc crate
/// does not have it everywhere.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    kind: i32,
    id: libc::pid_t,
}

impl Owner {
    /// No one.
    pub const NONE: Self = Self {
        kind: F_OWNER_TID,
        id: 0,
    };

    /// Whether there is no receiver: none was set, it has ended, or it is in another pid namespace.
    #[must_use]
    pub fn is_gone(self) -> bool {
        self.id == 0
    }
}

impl From<Receiver> for Owner {
    fn from(receiver: Receiver) -> Self {
        Self {
            kind: F_OWNER_TID,
            id: receiver.0,
        }
    }
}

const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_OWNER_TID: i32 = 0;

/// `fcntl(fd, F_SETOWN_EX, {F_OWNER_TID, receiver})`: the signals of this open file are sent to one thread. See
/// `F_SETOWN_EX(2const)`.
///
/// # Errors
/// `ESRCH` if the thread has ended; `EBADF`.
pub fn set_receiver(fd: BorrowedFd<'_>, receiver: Receiver) -> Result<()> {
    set_owner(fd, receiver.into())
}

/// `fcntl(fd, F_SETOWN_EX, owner)`: who receives the signals of this open file, `SIGURG` too. See `F_SETOWN_EX(2const)`.
///
/// # Errors
/// `ESRCH` if the owner has ended; `EBADF`.
pub fn set_owner(fd: BorrowedFd<'_>, owner: Owner) -> Result<()> {
    // SAFETY: F_SETOWN_EX reads one f_owner_ex, which Owner is laid out as and which is live.
    done(unsafe { libc::fcntl(fd.as_raw_fd(), F_SETOWN_EX, &raw const owner) })
}

/// `fcntl(fd, F_GETOWN_EX)`: who receives the signals of this open file. See `F_GETOWN_EX(2const)`.
///
/// # Errors
/// `EBADF`.
pub fn owner_of(fd: BorrowedFd<'_>) -> Result<Owner> {
    let mut owner = Owner::NONE;
    // SAFETY: F_GETOWN_EX writes one f_owner_ex, which Owner is laid out as and which is live.
    done(unsafe { libc::fcntl(fd.as_raw_fd(), F_GETOWN_EX, &raw mut owner) })?;
    Ok(owner)
}

/// `fcntl(fd, F_GETSIG)`: the signal that this open file sends; `None` for plain `SIGIO`.
///
/// # Errors
/// `EBADF`. See `fcntl(2)`.
pub fn signal_of(fd: BorrowedFd<'_>) -> Result<Option<Signal>> {
    // SAFETY: F_GETSIG has no argument.
    let number = unsafe { libc::fcntl(fd.as_raw_fd(), F_GETSIG) };
    done(number)?;
    Ok((number != 0).then_some(Signal(number)))
}

/// `fcntl(fd, F_SETSIG, signal)`: the signal that this open file sends, with its `si_fd` and `si_code`; `None` for plain
/// `SIGIO` without them.
///
/// # Errors
/// `EINVAL`, `EBADF`. See `fcntl(2)`.
pub fn set_signal(fd: BorrowedFd<'_>, signal: impl Into<Option<Signal>>) -> Result<()> {
    let number = signal.into().map_or(0, Signal::number);
    // SAFETY: F_SETSIG takes an integer.
    done(unsafe { libc::fcntl(fd.as_raw_fd(), F_SETSIG, number) })
}

/// Whether an open file sends signals: `O_ASYNC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Async {
    /// It sends signals.
    On,
    /// It sends no signals.
    Off,
}

/// `fcntl(fd, F_GETFL)`: whether the open file sends signals, and its other flags.
///
/// # Errors
/// `EBADF`.
pub fn async_of(fd: BorrowedFd<'_>) -> Result<(Async, OFlags)> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok((
        if flags.contains(ASYNC) { Async::On } else { Async::Off },
        flags - ASYNC,
    ))
}

/// `fcntl(fd, F_SETFL, flags with or without O_ASYNC)`. If the file cannot send signals, this succeeds without
/// an effect; check with [`async_of`].
///
/// # Errors
/// `EBADF`, `EPERM`. See `fcntl(2)`.
pub fn set_async(fd: BorrowedFd<'_>, state: Async, flags: OFlags) -> Result<()> {
    let flags = match state {
        Async::On => flags | ASYNC,
        Async::Off => flags - ASYNC,
    };
    rustix::fs::fcntl_setfl(fd, flags)
}

const ASYNC: OFlags = OFlags::from_bits_retain(libc::O_ASYNC.cast_unsigned());

fn done(result: i32) -> Result<()> {
    if result < 0 { Err(errno()) } else { Ok(()) }
}

/// `rt_tgsigqueueinfo` in its simplest form, `pthread_sigqueue` to the calling thread: queues one signal that reports
/// no readiness ([`Reason::SentByProgram`]). Tests use it to fill the queue.
///
/// # Errors
/// `EAGAIN` if the queue is full.
pub fn queue_to_this_thread(signal: Signal) -> Result<()> {
    // SAFETY: the value is a null pointer that is not dereferenced; the thread is the calling one and so alive.
    let error = unsafe {
        libc::pthread_sigqueue(
            libc::pthread_self(),
            signal.0,
            libc::sigval {
                sival_ptr: std::ptr::null_mut(),
            },
        )
    };
    if error == 0 {
        Ok(())
    } else {
        Err(Errno::from_raw_os_error(error))
    }
}
