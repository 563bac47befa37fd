//! What can go wrong, by operation.

use crate::{Key, Trigger};
use rustix::io::Errno;
use std::{error::Error, fmt, os::fd::RawFd};

/// No mechanism has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no mechanism is called '{name}': use one of {}", crate::mechanism::names())]
pub struct UnknownMechanism {
    /// The name that was looked for.
    pub name: String,
}

/// Why a mechanism cannot run on this machine, in this process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} is refused here ({errno}): {remedy}")]
pub struct Unavailable {
    /// The system call that was refused.
    pub call: &'static str,
    /// With what.
    pub errno: Errno,
    /// The likely cause and what lifts it.
    pub remedy: String,
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
        /// Why.
        reason: Unavailable,
    },
    /// The mechanism has nothing that does what the option says.
    #[error("opening a set on {mechanism}: it cannot do '{option}': leave the option out or choose another mechanism")]
    UnsupportedOption {
        /// The mechanism's name.
        mechanism: &'static str,
        /// The option.
        option: &'static str,
    },
    /// The kernel refused a call for lack of a resource.
    #[error("opening a set on {mechanism}: {call} failed ({errno}): {}", remedy(*.errno))]
    System {
        /// The mechanism's name.
        mechanism: &'static str,
        /// The system call.
        call: &'static str,
        /// Its error.
        errno: Errno,
    },
}

/// What a mechanism does not do. Nothing is approximated instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// This trigger.
    #[error("it has no {0} trigger: declare with one that the mechanism lists, or choose another mechanism")]
    Trigger(Trigger),
    /// Waking only one of several sets.
    #[error("it has no exclusive wake-up: declare without it, or use epoll-level or epoll-edge")]
    ExclusiveWakeup,
    /// Exclusive wake-up together with this interest or trigger.
    #[error("exclusive wake-up does not go with {0}: ask for READABLE and WRITABLE only")]
    ExclusiveWith(&'static str),
    /// Modifying a source that was declared for exclusive wake-up.
    #[error("an exclusive source cannot be modified: withdraw and declare it again")]
    ModifyExclusive,
    /// A file that has no readiness: regular files, directories, block devices, and character devices without `poll`.
    #[error("the file has no readiness to wait for (a regular file, a directory, such a device): just read it")]
    FileWithoutReadiness,
    /// An open file whose signals go elsewhere already (`O_ASYNC` is set): a duplicate of the descriptor is in this set
    /// or another one, or another process uses it. An open file sends its signals to one place.
    #[error("the open file sends its signals elsewhere already: withdraw its duplicate there")]
    SignalsInUse,
    /// A file that cannot send signals about its readiness (no `fasync`), for instance an eventfd or a timerfd.
    #[error("the file sends no signals about its readiness: use another mechanism for it")]
    FileWithoutSignals,
}

/// Why a source was not declared, or not modified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeclareError {
    /// The mechanism does not do this; see [`Unsupported`].
    #[error("{mechanism}: {what}")]
    Unsupported {
        /// The mechanism's name.
        mechanism: &'static str,
        /// What it does not do.
        what: Unsupported,
    },
    /// A source with this descriptor number is in the set already.
    #[error("descriptor {fd} is in the set already: modify its declaration, or declare a duplicate of it")]
    AlreadyDeclared {
        /// The number.
        fd: RawFd,
    },
    /// The key names no source of this set: it was withdrawn. (Another set's key may name a source here; it carries no set.)
    #[error("{0:?} names no source of this set: it was withdrawn, or the key is another set's")]
    UnknownKey(Key),
    /// The source's descriptor is another one than at the declaration: it was replaced through `set[key]`.
    #[error("the source's descriptor is {now}, it was {declared}: withdraw a source before replacing its descriptor")]
    DescriptorReplaced {
        /// The number at the declaration.
        declared: RawFd,
        /// The number now.
        now: RawFd,
    },
    /// The set holds 2^32 - 1 sources already, or has used up as many slots.
    #[error("the set has no key left for another source: withdraw some, or open another set")]
    Full,
    /// The set belongs to another thread or process; see [`Foreign`].
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// The kernel refused a call.
    #[error("{call} refused the source ({errno}): {}", remedy(*.errno))]
    System {
        /// The system call.
        call: &'static str,
        /// Its error.
        errno: Errno,
    },
}

/// A source that was not declared, handed back with the reason.
pub struct Declined<S> {
    /// The source, which the set does not know.
    pub source: S,
    /// Why.
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

impl<S> Error for Declined<S> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// Why a source was not withdrawn as asked.
pub enum WithdrawError<S> {
    /// The key names no source of this set.
    UnknownKey(Key),
    /// The source is out of the set and here, but the kernel could not be told so: it may still watch the open file for
    /// as long as a duplicate of it is open. Its events would be dropped as stale.
    StillWatched {
        /// The source.
        source: S,
        /// What happened.
        error: DeclareError,
    },
}

impl<S> WithdrawError<S> {
    /// The source, where the set had it.
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

/// The set was opened by another thread or process than the one that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// The mechanism ties a set to the thread that opened it.
    #[error("the set is bound to the thread that opened it: open it in the thread that waits")]
    Thread,
    /// The process was forked since; the set is the parent's.
    #[error("the set belongs to the parent process (EACCES): open another one in the child")]
    Process,
}

/// Why a wait failed. An interrupted call is repeated with what is left of the timeout, never reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The set belongs to another thread or process.
    #[error("waiting for events: {0}")]
    Foreign(#[from] Foreign),
    /// The kernel refused the wait.
    #[error("waiting for events: {call} failed ({errno}): {}", remedy(*.errno))]
    System {
        /// The system call.
        call: &'static str,
        /// Its error.
        errno: Errno,
    },
}

/// Why a [`Waker`](crate::Waker) could not be made or could not wake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WakerError {
    /// The channel could not be opened or watched.
    #[error("opening a waker: {0}")]
    Open(DeclareError),
    /// The channel could not be written.
    #[error("waking a set: write failed ({0})")]
    Wake(Errno),
}

/// What usually lifts an error of the kernel.
fn remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::MFILE => "the process has as many open files as RLIMIT_NOFILE allows: raise it with 'ulimit -n'",
        Errno::NFILE => "the system's table of open files is full: raise fs.file-max",
        Errno::NOMEM | Errno::NOBUFS => "the kernel is out of memory for this: free some, or watch fewer sources",
        Errno::NOSPC => {
            "a table of the kernel is full, with epoll fs.epoll.max_user_watches: raise it, or watch fewer sources"
        }
        Errno::BADF => "a descriptor of the set was closed behind its back: withdraw a source before closing it",
        Errno::INVAL => {
            "more than a limit of this process (ulimit -n, ulimit -i), or an argument that this kernel does not know"
        }
        Errno::AGAIN => "a limit of the user is reached: see 'ulimit -a'",
        Errno::LOOP => "the sets watch each other in a circle or too deep",
        _ => "see the call's manual page",
    }
}
