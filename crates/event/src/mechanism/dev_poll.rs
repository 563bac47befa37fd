//! `dev-poll`: the interest set in the kernel, written incrementally, and state notification, as `/dev/poll` had it;
//! emulated by [`DevPoll`] on epoll.
//!
//! A declaration is one write, a withdrawal one write of `POLLREMOVE`. Written events are added to what is cached, so a
//! modification removes the descriptor and writes it again. The set owns its sources, so none can be closed while it is
//! cached, and the emulation's search for closed descriptors is left out.

use super::{Backend, Descriptor, Kernel, Refused, refuse_busy_poll};
use crate::{
    Call, Counters, DeclareError, Events, Fact, Key, OpenError, Options, Threading, Trigger, Unavailable, Unsupported,
    Wakeup, Watch,
    dev_poll::{Closing, DevPoll, DevPollFd, POLLREMOVE, number_of},
    readiness::poll_bits,
};
use c10k_sys::epoll::Event as EpollEvent;
use rustix::io::Errno;
use std::{
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

pub(super) static DEV_POLL: Descriptor = Descriptor {
    name: "dev-poll",
    summary: "interest set in the kernel, state told at every wait; /dev/poll emulated on epoll",
    triggers: &[Trigger::Level],
    wakeups: &[Wakeup::All],
    threading: Threading::Any,
    tells: Fact::ALL,
    emulated: true,
    waits: &["epoll_wait", "epoll_pwait2"],
    declares: &["epoll_ctl"],
    probe,
    open: |options| DevPollSet::open(options).map(Kernel::DevPoll),
};

/// The kernel's side of a set on the emulated `/dev/poll`.
pub(crate) struct DevPollSet {
    device: DevPoll,
    /// The key behind each descriptor number.
    keys: Vec<Key>,
}

impl DevPollSet {
    fn open(options: &Options) -> Result<Self, OpenError> {
        refuse_busy_poll(&DEV_POLL, options)?;
        let device = DevPoll::open_for(Closing::Precluded).map_err(|errno| OpenError::System {
            mechanism: DEV_POLL.name,
            call: "epoll_create1",
            errno,
        })?;
        Ok(Self {
            device,
            keys: Vec::new(),
        })
    }

    fn write(&mut self, fd: RawFd, events: u16, counters: &mut Counters) -> Result<(), DeclareError> {
        self.device
            .put(DevPollFd { fd, events, revents: 0 }, counters)
            .map_err(|errno| match errno {
                Errno::PERM => DeclareError::Unsupported {
                    mechanism: DEV_POLL.name,
                    what: Unsupported::FileWithoutReadiness,
                },
                errno => DeclareError::System {
                    call: "epoll_ctl",
                    errno,
                },
            })
    }
}

impl Backend for DevPollSet {
    fn descriptor(&self) -> &'static Descriptor {
        &DEV_POLL
    }

    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        let number = fd.as_raw_fd();
        self.write(number, poll_bits(watch.interest()), counters)?;
        let place = super::select::place(number);
        if place >= self.keys.len() {
            self.keys.resize(place + 1, key);
        }
        self.keys[place] = key;
        Ok(())
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError> {
        self.remove(fd, key, counters)?;
        self.write(fd.as_raw_fd(), poll_bits(watch.interest()), counters)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, _key: Key, counters: &mut Counters) -> Result<(), DeclareError> {
        self.write(fd.as_raw_fd(), POLLREMOVE, counters)
    }

    // See `Kernel`.
    #[inline(always)]
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused> {
        let Self { device, keys } = self;
        let (room, found) = (events.room(), events.found());
        device
            .wait_for_watched(found, room, timeout, counters)
            .map_err(Refused::by(Call::EpollWait))?;
        // The device tells numbers; a batch has keys.
        for event in found {
            let key = keys[super::select::place(number_of(event))];
            *event = EpollEvent::new(event.bits(), key.to_bits());
        }
        Ok(())
    }
}

fn probe() -> Result<(), Unavailable> {
    DevPoll::open_for(Closing::Precluded)
        .map(drop)
        .map_err(|errno| Unavailable {
            call: "epoll_create1",
            errno,
            remedy: "the process or the system has no descriptor left, or a seccomp profile forbids the call"
                .to_owned(),
        })
}
