//! `epoll-level`, `epoll-edge` and `epoll-oneshot`: `epoll_ctl`, `epoll_pwait2`.
//!
//! The interest set lives in the kernel; a wait looks at the ready list only. Where the kernel has no `epoll_pwait2`
//! (before Linux 5.11, or under an old seccomp profile) `epoll_pwait` is used, with timeouts rounded up to milliseconds.

use super::{Backend, Descriptor, uninterrupted};
use crate::{
    BusyPoll, Call, Counters, DeclareError, Events, Fact, Interrupts, Key, OpenError, Options, Readiness, Threading,
    Trigger, Unavailable, Unsupported, WaitError, Wakeup, Watch, readiness::poll_bits,
};
use c10k_sys::epoll::{BusyPoll as Parameters, Event as EpollEvent, pwait, pwait2};
use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    io::Errno,
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

pub(super) static EPOLL_LEVEL: Descriptor = Descriptor {
    name: "epoll-level",
    summary: "interest set and ready list in the kernel; told as long as a condition holds",
    triggers: &[Trigger::Level],
    wakeups: &[Wakeup::All, Wakeup::Exclusive],
    threading: Threading::Any,
    tells: Fact::ALL,
    emulated: false,
    calls: CALLS,
    probe,
    open: |options| Epoll::open(&EPOLL_LEVEL, options).map(super::boxed),
};

pub(super) static EPOLL_EDGE: Descriptor = Descriptor {
    name: "epoll-edge",
    summary: "interest set and ready list in the kernel; told once for each change",
    triggers: &[Trigger::Edge],
    wakeups: &[Wakeup::All, Wakeup::Exclusive],
    threading: Threading::Any,
    tells: Fact::ALL,
    emulated: false,
    calls: CALLS,
    probe,
    open: |options| Epoll::open(&EPOLL_EDGE, options).map(super::boxed),
};

pub(super) static EPOLL_ONESHOT: Descriptor = Descriptor {
    name: "epoll-oneshot",
    summary: "interest set and ready list in the kernel; told once, then silent until armed again",
    triggers: &[Trigger::Oneshot],
    wakeups: &[Wakeup::All],
    threading: Threading::Any,
    tells: Fact::ALL,
    emulated: false,
    calls: CALLS,
    probe,
    open: |options| Epoll::open(&EPOLL_ONESHOT, options).map(super::boxed),
};

const CALLS: &[&str] = &["epoll_pwait2", "epoll_ctl"];

/// The kernel's side of a set on epoll.
pub(crate) struct Epoll {
    descriptor: &'static Descriptor,
    epoll: OwnedFd,
    buffer: Vec<EpollEvent>,
    wait: Wait,
}

/// Which of the two waiting calls this kernel has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Wait {
    #[default]
    Pwait2,
    Pwait,
}

impl Wait {
    /// Waits once; where `epoll_pwait2` is not there, `epoll_pwait` takes its place from then on.
    #[inline]
    pub(crate) fn wait(
        &mut self,
        epoll: BorrowedFd<'_>,
        buffer: &mut Vec<EpollEvent>,
        room: usize,
        timeout: Option<Duration>,
        counters: &mut Counters,
    ) -> Result<usize, Errno> {
        if matches!(self, Self::Pwait2) {
            counters.count(Call::EpollPwait2);
            match pwait2(epoll, buffer, room, timeout) {
                Err(Errno::NOSYS) => *self = Self::Pwait,
                outcome => return outcome,
            }
        }
        counters.count(Call::EpollPwait);
        pwait(epoll, buffer, room, timeout)
    }

    /// The name of the call.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pwait2 => "epoll_pwait2",
            Self::Pwait => "epoll_pwait",
        }
    }
}

impl Epoll {
    fn open(descriptor: &'static Descriptor, options: &Options) -> Result<Self, OpenError> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|errno| OpenError::System {
            mechanism: descriptor.name,
            call: "epoll_create1",
            errno,
        })?;
        if let Some(busy_poll) = options.busy_poll {
            set_busy_poll(epoll.as_fd(), busy_poll).map_err(|errno| OpenError::System {
                mechanism: descriptor.name,
                call: "ioctl EPIOCSPARAMS",
                errno,
            })?;
        }
        Ok(Self {
            descriptor,
            epoll,
            buffer: Vec::new(),
            wait: Wait::Pwait2,
        })
    }

    fn refused(&self, errno: Errno) -> DeclareError {
        match errno {
            Errno::PERM => DeclareError::Unsupported {
                mechanism: self.descriptor.name,
                what: Unsupported::FileWithoutReadiness,
            },
            errno => DeclareError::System {
                call: "epoll_ctl",
                errno,
            },
        }
    }
}

impl Backend for Epoll {
    fn descriptor(&self) -> &'static Descriptor {
        self.descriptor
    }

    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        counters.count(Call::EpollCtl);
        epoll::add(&self.epoll, fd, EventData::new_u64(key.to_bits()), flags(key, watch))
            .map_err(|errno| self.refused(errno))
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError> {
        counters.count(Call::EpollCtl);
        epoll::modify(&self.epoll, fd, EventData::new_u64(key.to_bits()), flags(key, watch))
            .map_err(|errno| self.refused(errno))
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, _key: Key, counters: &mut Counters) -> Result<(), DeclareError> {
        counters.count(Call::EpollCtl);
        epoll::delete(&self.epoll, fd).map_err(|errno| self.refused(errno))
    }

    fn wait(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
        counters: &mut Counters,
    ) -> Result<(), WaitError> {
        let Self {
            epoll, buffer, wait, ..
        } = self;
        let room = events.room();
        uninterrupted(timeout, |timeout| {
            wait.wait(epoll.as_fd(), buffer, room, timeout, counters)
        })
        .map_err(|errno| WaitError::System {
            call: wait.name(),
            errno,
        })?;
        for event in &*buffer {
            events.push(
                Key::from_bits(event.data()),
                Readiness::from_poll(poll_bits_of(event.bits())),
            );
        }
        Ok(())
    }
}

/// How many packets the kernel takes at most in one look at a device; more than 64 needs `CAP_NET_ADMIN`.
const BUSY_POLL_BUDGET: u16 = 8;

fn set_busy_poll(epoll: BorrowedFd<'_>, busy_poll: BusyPoll) -> Result<(), Errno> {
    let prefer = u8::from(busy_poll.interrupts == Interrupts::Deferred);
    let parameters = Parameters {
        microseconds: busy_poll.duration_us,
        budget: BUSY_POLL_BUDGET,
        prefer,
        padding: 0,
    };
    c10k_sys::epoll::set_busy_poll(epoll, parameters)
}

/// The kernel's bits for a declaration. The waker's channel is told as long as it is full, whatever the row.
fn flags(key: Key, watch: Watch) -> EventFlags {
    let mut flags = EventFlags::from_bits_retain(u32::from(poll_bits(watch.interest())));
    match watch.trigger() {
        _ if key == Key::WAKER => {}
        Trigger::Level => {}
        Trigger::Edge => flags |= EventFlags::ET,
        Trigger::Oneshot => flags |= EventFlags::ONESHOT,
    }
    if watch.wakeup() == Wakeup::Exclusive {
        // EPOLLRDHUP is not among the bits that the kernel lets an exclusive watch have (EPOLLEXCLUSIVE_OK_BITS).
        flags |= EventFlags::EXCLUSIVE;
        flags &= !EventFlags::RDHUP;
    }
    flags
}

/// The bits that epoll shares with `poll(2)`; they are the low sixteen.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the high bits are the flags of epoll_ctl, never set in an event"
)]
const fn poll_bits_of(bits: u32) -> u16 {
    bits as u16
}

/// Whether epoll watches this kind of file (`file_can_poll`): the measure for all mechanisms.
pub(super) fn accepts(fd: BorrowedFd<'_>, counters: &mut Counters) -> Result<bool, DeclareError> {
    let scratch = epoll::create(CreateFlags::CLOEXEC).map_err(|errno| DeclareError::System {
        call: "epoll_create1",
        errno,
    })?;
    counters.count(Call::EpollCtl);
    match epoll::add(&scratch, fd, EventData::new_u64(0), EventFlags::empty()) {
        Ok(()) => {
            counters.count(Call::EpollCtl);
            epoll::delete(&scratch, fd).map_err(|errno| DeclareError::System {
                call: "epoll_ctl",
                errno,
            })?;
            Ok(true)
        }
        Err(Errno::PERM) => Ok(false),
        Err(errno) => Err(DeclareError::System {
            call: "epoll_ctl",
            errno,
        }),
    }
}

fn probe() -> Result<(), Unavailable> {
    epoll::create(CreateFlags::CLOEXEC)
        .map(drop)
        .map_err(|errno| Unavailable {
            call: "epoll_create1",
            errno,
            remedy: "the process or the system has no descriptor left, or a seccomp profile forbids the call"
                .to_owned(),
        })
}
