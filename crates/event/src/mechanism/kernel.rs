//! A backend as a set holds it, with static dispatch for the mechanisms whose waits are shortest.

use super::{
    backend::{Backend, Refused},
    dev_poll::backend::DevPollSet,
    epoll::backend::Epoll,
};
use crate::{Counters, DeclareError, Events, Key, Watch};
use rustix::io::Errno;
use std::{
    ops::{Deref, DerefMut},
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

/// A backend as a set holds it.
///
/// Short waits are inlined into the loop around them (`inline(always)`, down to the system call): returning after a system
/// call from a function that was entered before it cost as much as all the rest that the library adds to a wait. All other
/// calls are dynamic.
pub(crate) enum Kernel {
    DevPoll(DevPollSet),
    Epoll(Epoll),
    Other(Box<dyn Backend>),
}

impl Kernel {
    /// A backend whose waits cost more than a dynamic call.
    pub(super) fn boxed(backend: impl Backend + 'static) -> Self {
        Self::Other(Box::new(backend))
    }

    /// The backend that several threads may use at once; `None` if this one is used by one thread at a time.
    pub(crate) fn into_concurrent(self) -> Option<Epoll> {
        match self {
            Self::Epoll(backend) => Some(backend),
            Self::DevPoll(_) | Self::Other(_) => None,
        }
    }

    /// Waits for events and puts at most [`Events::room`] events into the batch. Without a timeout it waits until there is
    /// an event.
    #[inline(always)]
    pub(crate) fn wait(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
        counters: &mut Counters,
    ) -> Result<(), Refused> {
        if let Some(finite) = timeout
            && !finite.is_zero()
        {
            return wait_within(&mut **self, events, finite, counters);
        }
        loop {
            let outcome = match self {
                Self::DevPoll(backend) => backend.wait(events, timeout, counters),
                Self::Epoll(backend) => backend.wait(events, timeout, counters),
                Self::Other(backend) => backend.wait(events, timeout, counters),
            };
            match outcome {
                Err(Refused { errno: Errno::INTR, .. }) => {}
                outcome => return outcome,
            }
        }
    }

    /// Replaces a source's declaration. Inlined for the mechanism with which a program does this once per event: to arm a
    /// oneshot source again.
    #[inline(always)]
    pub(crate) fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError> {
        match self {
            Self::Epoll(backend) => backend.change(fd, key, watch, counters),
            Self::DevPoll(_) | Self::Other(_) => (**self).change(fd, key, watch, counters),
        }
    }
}

impl Deref for Kernel {
    type Target = dyn Backend;

    #[inline]
    fn deref(&self) -> &Self::Target {
        match self {
            Self::DevPoll(backend) => backend,
            Self::Epoll(backend) => backend,
            Self::Other(backend) => &**backend,
        }
    }
}

impl DerefMut for Kernel {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::DevPoll(backend) => backend,
            Self::Epoll(backend) => backend,
            Self::Other(backend) => &mut **backend,
        }
    }
}

/// Repeats an interrupted wait with the rest of its timeout. Kept out of line, so that waits that need no clock do not
/// carry its code.
#[inline(never)]
fn wait_within(
    backend: &mut dyn Backend,
    events: &mut Events,
    timeout: Duration,
    counters: &mut Counters,
) -> Result<(), Refused> {
    let started = Instant::now();
    let mut left = timeout;
    loop {
        match backend.wait(events, Some(left), counters) {
            Err(Refused { errno: Errno::INTR, .. }) => left = timeout.saturating_sub(started.elapsed()),
            outcome => return outcome,
        }
    }
}
