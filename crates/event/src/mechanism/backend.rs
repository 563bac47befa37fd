//! What each mechanism implements: [`Backend`].

use crate::{
    Events, Key, WaitError, Watch, counters::Call, counters::Counters, error::DeclareError, waker::ChannelKind,
};
use rustix::io::Errno;
use std::{
    os::fd::{BorrowedFd, RawFd},
    time::Duration,
};

/// The kernel's side of a set.
///
/// The set has checked before it calls: a descriptor is in the set at most once, the interest is not empty, and the key
/// of [`change`](Self::change) and [`remove`](Self::remove) is current. [`Key::WAKER`] is watched for reading for as long
/// as the set lives, with the trigger that suits the mechanism best.
pub(crate) trait Backend: Send {
    /// Watches a source. A condition that already holds is reported by the waits that follow.
    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError>;

    /// Replaces the declaration of a watched source and arms it again. A condition that holds is reported again.
    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError>;

    /// Stops watching a source. When this returns, the kernel holds no reference of the set to it.
    fn remove(&mut self, fd: BorrowedFd<'_>, key: Key, counters: &mut Counters) -> Result<(), DeclareError>;

    /// Forgets a source whose descriptor the caller has replaced: the file that was watched may be closed, or open under
    /// another number, and the set can no longer name it to the kernel. Mechanisms whose kernel side forgets closed files
    /// by itself do nothing.
    fn forget(&mut self, _number: RawFd, _key: Key, _counters: &mut Counters) {}

    /// Waits once and puts at most [`Events::room`] events into the batch; without a timeout it waits until there is an
    /// event. Returns `EINTR` if the wait was interrupted or ended for something that is not an event; the caller then
    /// repeats it.
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused>;

    /// Whether [`remove`](Self::remove) and [`forget`](Self::forget) work in other threads than the opener's, for mechanisms
    /// that are bound to it.
    fn removes_in_any_thread(&self) -> bool {
        false
    }

    /// Stops watching a source because the set is being dropped in the process that opened it. Needed only by mechanisms
    /// for which closing the kernel's side is not enough.
    fn abandon(&mut self, _fd: BorrowedFd<'_>) {}

    /// The descriptor that is readable while there are events, if that is the whole of the kernel's side.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The kind of file that can wake this mechanism.
    fn channel_kind(&self) -> ChannelKind {
        ChannelKind::Eventfd
    }
}

/// A wait that the kernel refused. It fits into a register, which a [`WaitError`] does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) call: Call,
    pub(crate) errno: Errno,
}

impl Refused {
    /// Names the call that failed.
    pub(crate) fn by(call: Call) -> impl Fn(Errno) -> Self + Copy {
        move |errno| Self { call, errno }
    }
}

impl From<Refused> for WaitError {
    #[cold]
    fn from(Refused { call, errno }: Refused) -> Self {
        Self::System {
            call: call.name(),
            errno,
        }
    }
}
