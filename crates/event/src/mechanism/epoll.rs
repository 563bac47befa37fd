//! `epoll-level`, `epoll-edge` and `epoll-oneshot`: `epoll_ctl`, `epoll_wait`, `epoll_pwait2`.
//!
//! The interest set lives in the kernel; a wait looks at the ready list only, and the kernel writes what it finds right
//! into the caller's batch. Timeouts that are no whole milliseconds take `epoll_pwait2`; where the kernel has none (before
//! Linux 5.11, or under an old seccomp profile) they are rounded up to milliseconds.

use super::{Backend, Descriptor, Kernel, Refused};
use crate::{
    BusyPoll, Call, Counters, DeclareError, Events, Fact, Interrupts, Key, OpenError, Options, Threading, Trigger,
    Unavailable, Unsupported, Wakeup, Watch, readiness::poll_bits,
};
use c10k_sys::epoll::{BusyPoll as Parameters, Event as EpollEvent, pwait2, wait};
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
    waits: WAITS,
    declares: DECLARES,
    probe,
    open: |options| Epoll::open(&EPOLL_LEVEL, options).map(Kernel::Epoll),
};

pub(super) static EPOLL_EDGE: Descriptor = Descriptor {
    name: "epoll-edge",
    summary: "interest set and ready list in the kernel; told once for each change",
    triggers: &[Trigger::Edge],
    wakeups: &[Wakeup::All, Wakeup::Exclusive],
    threading: Threading::Any,
    tells: Fact::ALL,
    emulated: false,
    waits: WAITS,
    declares: DECLARES,
    probe,
    open: |options| Epoll::open(&EPOLL_EDGE, options).map(Kernel::Epoll),
};

pub(super) static EPOLL_ONESHOT: Descriptor = Descriptor {
    name: "epoll-oneshot",
    summary: "interest set and ready list in the kernel; told once, then silent until armed again",
    triggers: &[Trigger::Oneshot],
    wakeups: &[Wakeup::All],
    threading: Threading::Any,
    tells: Fact::ALL,
    emulated: false,
    waits: WAITS,
    declares: DECLARES,
    probe,
    open: |options| Epoll::open(&EPOLL_ONESHOT, options).map(Kernel::Epoll),
};

const WAITS: &[&str] = &["epoll_wait", "epoll_pwait2"];
const DECLARES: &[&str] = &["epoll_ctl"];

/// The kernel's side of a set on epoll.
pub(crate) struct Epoll {
    descriptor: &'static Descriptor,
    epoll: OwnedFd,
    wait: Wait,
}

/// The call that waits: `epoll_wait`, which is the cheapest, for ever, for no time, or for whole milliseconds;
/// `epoll_pwait2` for times between those.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Wait {
    #[default]
    Nanoseconds,
    /// This kernel has no `epoll_pwait2`: times are rounded up to milliseconds.
    Milliseconds,
}

impl Wait {
    /// Waits once.
    // See `Kernel`.
    #[inline(always)]
    pub(crate) fn wait(
        &mut self,
        epoll: BorrowedFd<'_>,
        buffer: &mut Vec<EpollEvent>,
        room: usize,
        timeout: Option<Duration>,
        counters: &mut Counters,
    ) -> Result<usize, Errno> {
        let milliseconds = match timeout {
            None => -1,
            Some(Duration::ZERO) => 0,
            Some(timeout) => return self.wait_for(epoll, buffer, room, timeout, counters),
        };
        counters.count(Call::EpollWait);
        wait(epoll, buffer, room, milliseconds)
    }

    #[inline(never)]
    fn wait_for(
        &mut self,
        epoll: BorrowedFd<'_>,
        buffer: &mut Vec<EpollEvent>,
        room: usize,
        timeout: Duration,
        counters: &mut Counters,
    ) -> Result<usize, Errno> {
        let milliseconds = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        let whole = Duration::from_millis(u64::from(milliseconds.unsigned_abs())) == timeout;
        if matches!(self, Self::Nanoseconds) && !whole {
            counters.count(Call::EpollPwait2);
            match pwait2(epoll, buffer, room, Some(timeout)) {
                Err(Errno::NOSYS) => *self = Self::Milliseconds,
                outcome => return outcome,
            }
        }
        counters.count(Call::EpollWait);
        wait(epoll, buffer, room, milliseconds)
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
            wait: Wait::default(),
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

    // See `Kernel`.
    #[inline(always)]
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

    // See `Kernel`.
    #[inline(always)]
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused> {
        let Self { epoll, wait, .. } = self;
        let (epoll, room, found) = (epoll.as_fd(), events.room(), events.found());
        wait.wait(epoll, found, room, timeout, counters)
            .map(drop)
            .map_err(Refused::by(Call::EpollWait))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_kernel_is_told_of_busy_polling_what_was_asked() {
        for (interrupts, prefer) in [(Interrupts::Kept, 0), (Interrupts::Deferred, 1)] {
            let options = Options {
                busy_poll: Some(BusyPoll {
                    duration_us: 50,
                    interrupts,
                }),
                ..Options::default()
            };
            match Epoll::open(&EPOLL_EDGE, &options) {
                Ok(set) => {
                    let wanted = Parameters {
                        microseconds: 50,
                        budget: BUSY_POLL_BUDGET,
                        prefer,
                        padding: 0,
                    };
                    assert_eq!(c10k_sys::epoll::busy_poll(set.epoll.as_fd()), Ok(wanted));
                }
                Err(error) => {
                    eprintln!("cannot run here: {error}");
                    assert!(!c10k_testkit::required::is_required(&["epoll-edge"]), "{error}");
                }
            }
        }
    }

    #[test]
    fn without_epoll_pwait2_a_time_between_milliseconds_is_rounded_up() {
        let epoll = epoll::create(CreateFlags::CLOEXEC).expect("a descriptor is left");
        let mut counters = Counters::default();
        for microseconds in [1, 999, 1_500] {
            let timeout = Duration::from_micros(microseconds);
            let started = Instant::now();
            let found = Wait::Milliseconds.wait(
                epoll.as_fd(),
                &mut Vec::with_capacity(1),
                1,
                Some(timeout),
                &mut counters,
            );
            assert_eq!(found, Ok(0));
            assert!(started.elapsed() >= timeout, "a wait of {timeout:?} was cut short");
        }
        assert_eq!(counters.syscalls().collect::<Vec<_>>(), [("epoll_wait", 3)]);
    }
}
