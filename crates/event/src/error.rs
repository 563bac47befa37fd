//! What can go wrong, by operation.
//!
//! All errors of this crate follow one convention. The text of an error is complete and fits on one line: operation, cause
//! and remedy. [`source`](Error::source) returns nothing, so a report that prints the whole chain repeats nothing. Every
//! error converts into an [`io::Error`] with the kind of the kernel's error; the `io::Error` contains the original error.

use crate::{Key, Trigger};
use rustix::io::Errno;
use std::{error::Error, fmt, io, os::fd::RawFd};

/// Why a mechanism cannot run on this machine, in this process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The kernel refused a system call.
    #[error("{call} is refused here ({errno}): {remedy}")]
    Refused {
        /// The system call.
        call: &'static str,
        /// Its error.
        errno: Errno,
        /// The likely cause and the remedy.
        remedy: String,
    },
    /// The program was built without a feature of this crate.
    #[error("the program was built without the feature '{feature}' of c10k-event: build it with that feature")]
    FeatureMissing {
        /// The feature.
        feature: &'static str,
    },
    /// The program uses the signals that the mechanism needs.
    #[error("{0}")]
    Signal(SignalConflict),
}

/// Why a set can have no signal of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalConflict {
    /// Every real-time signal is blocked in this thread, has a handler, or belongs to another set of this thread.
    #[error(
        "every real-time signal is blocked in this thread, has a handler or belongs to another set of the thread: \
         unblock one, or name one with Options::signal"
    )]
    NoneFree,
    /// The named signal belongs to another set of this thread.
    #[error("signal {0} belongs to another set of this thread: name another one")]
    InUse(i32),
    /// The named signal is none of the real-time signals that programs may use.
    #[error("{0} is no real-time signal: name one from SIGRTMIN to SIGRTMAX ('kill -l' lists them)")]
    NotRealTime(i32),
    /// The program has a handler for `SIGIO`, which the kernel also sends when the queue of signals is full.
    #[error(
        "the program has a handler for SIGIO, which a set must take, because the kernel sends it when the queue of \
         signals is full: remove the handler, or use another mechanism"
    )]
    HandlerOfSigio,
}

/// Why a set could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The mechanism cannot run here.
    #[error("opening a set on {mechanism}: {reason}")]
    Unavailable {
        /// The mechanism's name.
        mechanism: &'static str,
        /// Why it cannot run.
        reason: Unavailable,
    },
    /// The mechanism does not offer what the option asks for.
    #[error(
        "opening a set on {mechanism}: it does not offer {option}: leave the option out or choose another mechanism"
    )]
    UnsupportedOption {
        /// The mechanism's name.
        mechanism: &'static str,
        /// The option.
        option: &'static str,
    },
    /// An option has a value out of its range.
    #[error("opening a set on {mechanism}: {option} is out of range: {remedy}")]
    OptionOutOfRange {
        /// The mechanism's name.
        mechanism: &'static str,
        /// The option.
        option: &'static str,
        /// What to give instead.
        remedy: &'static str,
    },
    /// The kernel lets one thread wait for a set on this mechanism at a time.
    #[error("opening a shared set on {mechanism}: it lets one thread wait at a time: use one of {able}")]
    OneThreadWaits {
        /// The mechanism's name.
        mechanism: &'static str,
        /// The mechanisms that let several threads wait.
        able: String,
    },
    /// The kernel refused a call for lack of a resource.
    #[error("opening a set on {mechanism}: {call} failed ({errno}): {}", remedy(.call, *.errno))]
    System {
        /// The mechanism's name.
        mechanism: &'static str,
        /// The system call.
        call: &'static str,
        /// Its error.
        errno: Errno,
    },
}

/// What a mechanism does not offer. Nothing is approximated instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// This trigger.
    #[error("it has no {0} trigger: declare with one that the mechanism lists, or choose another mechanism")]
    Trigger(Trigger),
    /// Waking only one of several sets.
    #[error("it has no exclusive wake-up: declare without it, or use epoll-level or epoll-edge")]
    ExclusiveWakeup,
    /// Exclusive wake-up together with this interest.
    #[error("exclusive wake-up cannot be combined with {0}: ask for READABLE and WRITABLE only")]
    ExclusiveWith(&'static str),
    /// Exclusive wake-up for an epoll descriptor, for instance another set's.
    #[error("an epoll descriptor cannot be watched with exclusive wake-up: declare it without")]
    ExclusiveNested,
    /// The descriptor of the set itself.
    #[error("a set cannot watch itself: declare the descriptor of another set")]
    OwnDescriptor,
    /// Modifying a source that was declared for exclusive wake-up.
    #[error("an exclusive source cannot be modified: withdraw it and declare it again")]
    ModifyExclusive,
    /// A file without readiness: regular files, directories, block devices, and character devices without `poll`.
    #[error("the file has no readiness to wait for (a regular file, a directory or such a device): read it directly")]
    FileWithoutReadiness,
    /// A descriptor that was opened with `O_PATH`: it names a file, which is not open.
    #[error("the descriptor was opened with O_PATH and only names the file: open the file itself")]
    PathOnly,
    /// An open file that already sends its signals elsewhere (`O_ASYNC` is set): a duplicate of the descriptor is in this
    /// set or another one, or another process uses it. An open file sends its signals to one receiver.
    #[error("the open file already sends its signals elsewhere: withdraw its duplicate there")]
    SignalsInUse,
    /// A file that cannot send signals about its readiness (no `fasync`), for instance an eventfd or a timerfd.
    #[error("the file sends no signals about its readiness: use another mechanism for it")]
    FileWithoutSignals,
    /// A file of which the kernel signals only some changes: a terminal or another character device, a socket of MPTCP, SCTP,
    /// vsock or of a family that is not in the table of the crate's documentation.
    #[error("the kernel signals only some changes of such a file: use another mechanism for it")]
    FileWithIncompleteSignals,
    /// A file that several wait queues wake: a terminal, a FIFO that is open for reading and writing, some other devices. The
    /// kernel accepts poll requests of AIO for files with one.
    #[error(
        "the file has several wait queues (a terminal, a FIFO opened for reading and writing): use another mechanism for it"
    )]
    FileWithSeveralQueues,
    /// The kernel would not signal that the file has room again: a local stream socket without room at its declaration, or
    /// a local datagram socket that is connected to a named one.
    #[error(
        "the kernel may not signal room in this local socket: declare a stream socket before it is full, ask for READABLE \
         only, or use another mechanism for it"
    )]
    RoomWithoutSignals,
}

/// Why a source was not declared or not modified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeclareError {
    /// The mechanism does not offer this; see [`Unsupported`].
    #[error("{mechanism}: {what}")]
    Unsupported {
        /// The mechanism's name.
        mechanism: &'static str,
        /// What it does not offer.
        what: Unsupported,
    },
    /// A source with this descriptor number is already in the set.
    #[error("descriptor {fd} is already in the set: modify its declaration, or declare a duplicate of it")]
    AlreadyDeclared {
        /// The number.
        fd: RawFd,
    },
    /// The key names no source of this set: the source was withdrawn. (A key does not record its set, so the key of another
    /// set may name a source of this one.)
    #[error("{0:?} names no source of this set: it was withdrawn, or the key belongs to another set")]
    UnknownKey(Key),
    /// The source's descriptor was replaced through `set[key]` after the declaration.
    #[error("the source's descriptor is {now}, it was {declared}: withdraw a source before replacing its descriptor")]
    DescriptorReplaced {
        /// The number at the declaration.
        declared: RawFd,
        /// The number now.
        now: RawFd,
    },
    /// The set holds 2^32 - 1 sources, or has used up as many slots.
    #[error("the set has no key left for another source: withdraw some, or open another set")]
    Full,
    /// The set belongs to another thread or process.
    #[error("{0}")]
    WrongContext(WrongContext),
    /// The kernel refused a call.
    #[error("{call} refused the source ({errno}): {}", remedy(.call, *.errno))]
    System {
        /// The system call.
        call: &'static str,
        /// Its error.
        errno: Errno,
    },
}

/// A source that was not declared, returned with the reason.
///
/// With `?` it becomes an [`io::Error`], a [`DeclareError`] or a `Box<dyn Error>`; the first two drop the source, which
/// closes it.
pub struct Declined<S> {
    /// The source, which is not in the set.
    pub source: S,
    /// The reason.
    pub error: DeclareError,
}

impl<S> fmt::Debug for Declined<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Declined")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Display for Declined<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "declaring a source: {}", self.error)
    }
}

impl<S> Error for Declined<S> {}

impl<S> From<Declined<S>> for DeclareError {
    fn from(declined: Declined<S>) -> Self {
        declined.error
    }
}

/// Why a source was not withdrawn as asked.
pub enum WithdrawError<S> {
    /// The key names no source of this set.
    UnknownKey(Key),
    /// The source is out of the set and returned here, but the kernel may still watch the open file for as long as a
    /// duplicate of it is open. Its events are dropped as stale.
    StillWatched {
        /// The source.
        source: S,
        /// What happened.
        error: DeclareError,
    },
}

impl<S> WithdrawError<S> {
    /// The source, if the set had it.
    pub fn into_source(self) -> Option<S> {
        match self {
            Self::UnknownKey(_) => None,
            Self::StillWatched { source, .. } => Some(source),
        }
    }
}

impl<S> fmt::Debug for WithdrawError<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey(key) => formatter.debug_tuple("UnknownKey").field(key).finish(),
            Self::StillWatched { error, .. } => formatter
                .debug_struct("StillWatched")
                .field("error", error)
                .finish_non_exhaustive(),
        }
    }
}

impl<S> fmt::Display for WithdrawError<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey(key) => write!(formatter, "withdrawing a source: {}", DeclareError::UnknownKey(*key)),
            Self::StillWatched { error, .. } => {
                write!(formatter, "withdrawing a source: it is out of the set, but {error}")
            }
        }
    }
}

impl<S> Error for WithdrawError<S> {}

/// A set was used in another thread or process than it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongContext {
    /// The mechanism ties a set to the thread that opened it.
    #[error("the set is bound to the thread that opened it: open it in the thread that waits")]
    Thread,
    /// The process was forked after the set was opened; the set belongs to the parent.
    #[error("the set belongs to the parent process (EACCES): open another one in the child")]
    Process,
}

/// Why a wait failed. An interrupted call is repeated with the rest of the timeout and never reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The set belongs to another thread or process.
    #[error("waiting for events: {0}")]
    WrongContext(WrongContext),
    /// The batch holds events that another set found.
    #[error("waiting for events: the batch holds {left} events of another set: take them there, or clear the batch")]
    OtherSet {
        /// The number of its events.
        left: usize,
    },
    /// The kernel refused the wait.
    #[error("waiting for events: {call} failed ({errno}): {}", remedy(.call, *.errno))]
    System {
        /// The system call.
        call: &'static str,
        /// Its error.
        errno: Errno,
    },
}

/// Why a [`Waker`](crate::Waker) could not be opened or could not wake its set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WakerError {
    /// The channel could not be opened or watched.
    #[error("opening a waker: {0}")]
    Open(DeclareError),
    /// The channel could not be written.
    #[error("waking a set: write failed ({0}): {remedy}", remedy = remedy("write", *.0))]
    Wake(Errno),
    /// The waker belongs to the parent process.
    #[error("waking a set: {0}")]
    WrongContext(WrongContext),
}

impl From<WrongContext> for DeclareError {
    fn from(context: WrongContext) -> Self {
        Self::WrongContext(context)
    }
}

impl From<WrongContext> for WaitError {
    fn from(context: WrongContext) -> Self {
        Self::WrongContext(context)
    }
}

impl Unavailable {
    /// The kernel refused a call, with the usual remedy.
    pub(crate) fn refused(call: &'static str, errno: Errno) -> Self {
        Self::Refused {
            call,
            errno,
            remedy: remedy(call, errno).to_owned(),
        }
    }

    /// The kernel's error, if the kernel is the reason.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::FeatureMissing { .. } | Self::Signal(_) => None,
        }
    }
}

impl OpenError {
    /// The kernel refused a call: for lack of a resource, or because the mechanism cannot run here.
    pub(crate) fn refused(mechanism: &'static str, call: &'static str, errno: Errno) -> Self {
        match errno {
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::AGAIN => {
                Self::System { mechanism, call, errno }
            }
            errno => Self::Unavailable {
                mechanism,
                reason: Unavailable::refused(call, errno),
            },
        }
    }

    /// The kernel's error, if the kernel is the reason.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Unavailable { reason, .. } => reason.errno(),
            Self::UnsupportedOption { .. } | Self::OptionOutOfRange { .. } | Self::OneThreadWaits { .. } => None,
            Self::System { errno, .. } => Some(*errno),
        }
    }
}

impl DeclareError {
    /// The kernel's error, if the kernel is the reason.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::System { errno, .. } => Some(*errno),
            Self::WrongContext(context) => context.errno(),
            _ => None,
        }
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Unsupported { .. } => io::ErrorKind::Unsupported,
            Self::AlreadyDeclared { .. } => io::ErrorKind::AlreadyExists,
            Self::UnknownKey(_) => io::ErrorKind::NotFound,
            Self::DescriptorReplaced { .. } => io::ErrorKind::InvalidInput,
            Self::Full => io::ErrorKind::QuotaExceeded,
            Self::WrongContext(_) | Self::System { .. } => kind(self.errno(), io::ErrorKind::PermissionDenied),
        }
    }
}

impl WrongContext {
    /// The error that the kernel has for this case, for a set of the parent process.
    #[must_use]
    pub fn errno(self) -> Option<Errno> {
        match self {
            Self::Thread => None,
            Self::Process => Some(Errno::ACCESS),
        }
    }
}

impl WaitError {
    /// The kernel's error, if the kernel is the reason.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::WrongContext(context) => context.errno(),
            Self::OtherSet { .. } => None,
            Self::System { errno, .. } => Some(*errno),
        }
    }
}

impl WakerError {
    /// The kernel's error, if the kernel is the reason.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Open(error) => error.errno(),
            Self::Wake(errno) => Some(*errno),
            Self::WrongContext(context) => context.errno(),
        }
    }
}

impl From<Unavailable> for io::Error {
    fn from(error: Unavailable) -> Self {
        Self::new(kind(error.errno(), io::ErrorKind::Unsupported), error)
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        let otherwise = match error {
            OpenError::OptionOutOfRange { .. } => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::Unsupported,
        };
        Self::new(kind(error.errno(), otherwise), error)
    }
}

impl From<DeclareError> for io::Error {
    fn from(error: DeclareError) -> Self {
        Self::new(error.kind(), error)
    }
}

impl<S> From<Declined<S>> for io::Error {
    fn from(declined: Declined<S>) -> Self {
        declined.error.into()
    }
}

impl<S> From<WithdrawError<S>> for io::Error {
    fn from(error: WithdrawError<S>) -> Self {
        match error {
            WithdrawError::UnknownKey(key) => DeclareError::UnknownKey(key).into(),
            WithdrawError::StillWatched { error, .. } => error.into(),
        }
    }
}

impl From<WrongContext> for io::Error {
    fn from(error: WrongContext) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, error)
    }
}

impl From<WaitError> for io::Error {
    fn from(error: WaitError) -> Self {
        let otherwise = match error {
            WaitError::OtherSet { .. } => io::ErrorKind::InvalidInput,
            WaitError::WrongContext(_) | WaitError::System { .. } => io::ErrorKind::PermissionDenied,
        };
        Self::new(kind(error.errno(), otherwise), error)
    }
}

impl From<WakerError> for io::Error {
    fn from(error: WakerError) -> Self {
        match error {
            WakerError::Open(ref cause) => Self::new(cause.kind(), error),
            WakerError::Wake(errno) => Self::new(kind(Some(errno), io::ErrorKind::Other), error),
            WakerError::WrongContext(context) => {
                Self::new(kind(context.errno(), io::ErrorKind::PermissionDenied), error)
            }
        }
    }
}

/// The kind of the kernel's error, or `otherwise` if the kernel is not the reason.
fn kind(errno: Option<Errno>, otherwise: io::ErrorKind) -> io::ErrorKind {
    errno.map_or(otherwise, |errno| io::Error::from(errno).kind())
}

/// The usual remedy for an error of a system call.
fn remedy(call: &str, errno: Errno) -> &'static str {
    match (call, errno) {
        ("io_setup", Errno::AGAIN) => {
            "all AIO contexts of the system together are for no more requests than fs.aio-max-nr: raise it (sysctl -w \
             fs.aio-max-nr=1048576), or watch fewer sources"
        }
        ("io_setup", Errno::NOSYS) => {
            "the kernel was built without CONFIG_AIO, or a seccomp profile hides the call: allow it there"
        }
        ("io_setup", Errno::OPNOTSUPP) => {
            "the completion ring of this kernel has an unknown layout: choose another mechanism"
        }
        ("io_submit", Errno::INVAL) => {
            "the kernel is older than Linux 4.19, which has the poll requests, or a seccomp profile forbids the call"
        }
        (_, errno) => general_remedy(errno),
    }
}

/// The remedy for an error that has the same causes with all calls.
fn general_remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::MFILE => "the process has as many open files as RLIMIT_NOFILE allows: raise it with 'ulimit -n'",
        Errno::NFILE => "the system's table of open files is full: raise fs.file-max",
        Errno::NOMEM | Errno::NOBUFS => "the kernel has no memory left for this: free some, or watch fewer sources",
        Errno::NOSPC => {
            "a table of the kernel is full, with epoll fs.epoll.max_user_watches: raise it, or watch fewer sources"
        }
        Errno::BADF => "a descriptor of the set was closed by other code: withdraw a source before closing it",
        Errno::INVAL => {
            "a limit of this process is exceeded (ulimit -n, ulimit -i), or this kernel does not know an argument"
        }
        Errno::AGAIN => "a limit of the user is reached: see 'ulimit -a'",
        Errno::PERM | Errno::ACCESS => "a seccomp profile or another policy forbids the call: allow it there",
        Errno::NOSYS => "the kernel does not have the call, or a seccomp profile hides it: allow it there",
        Errno::LOOP => "the sets watch each other in a circle, or too many levels deep",
        _ => "see the manual page of the call",
    }
}
