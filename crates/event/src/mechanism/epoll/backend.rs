//! The kernel's side of a set on epoll.

use super::wait::Wait;
use crate::{
    BusyPoll, Counters, DeclareError, Events, Interrupts, Key, OpenError, Options, Trigger, Unsupported, Wakeup, Watch,
    counters::Call,
    mechanism::{
        backend::{Backend, Refused},
        file_kind::{explain, is_always_accepted},
    },
    readiness::poll_bits,
};
use c10k_sys::epoll::BusyPoll as Parameters;
use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    io::Errno,
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

/// An epoll descriptor.
pub(crate) struct Epoll {
    mechanism: &'static str,
    epoll: OwnedFd,
    wait: Wait,
}

impl Epoll {
    /// Opens an epoll descriptor for the mechanism of this name.
    pub(super) fn open(mechanism: &'static str, options: &Options) -> Result<Self, OpenError> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)
            .map_err(|errno| OpenError::refused(mechanism, "epoll_create1", errno))?;
        if let Some(busy_poll) = options.busy_poll {
            set_busy_poll(epoll.as_fd(), busy_poll).map_err(|errno| OpenError::System {
                mechanism,
                call: "ioctl EPIOCSPARAMS",
                errno,
            })?;
        }
        Ok(Self {
            mechanism,
            epoll,
            wait: Wait::default(),
        })
    }

    /// The descriptor, which any number of threads may wait for and control at once.
    pub(crate) fn epoll(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// [`Backend::add`].
    pub(crate) fn add_shared(
        &self,
        fd: BorrowedFd<'_>,
        key: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError> {
        counters.count(Call::EpollCtl);
        epoll::add(&self.epoll, fd, EventData::new_u64(key.to_bits()), flags(key, watch))
            .map_err(|errno| self.refused(fd, watch, errno, counters))
    }

    /// [`Backend::change`].
    // See `Kernel` for why this is inlined.
    #[inline(always)]
    pub(crate) fn change_shared(
        &self,
        fd: BorrowedFd<'_>,
        key: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError> {
        counters.count(Call::EpollCtl);
        epoll::modify(&self.epoll, fd, EventData::new_u64(key.to_bits()), flags(key, watch))
            .map_err(|errno| self.refused(fd, watch, errno, counters))
    }

    /// [`Backend::remove`].
    pub(crate) fn remove_shared(&self, fd: BorrowedFd<'_>, counters: &mut Counters) -> Result<(), DeclareError> {
        counters.count(Call::EpollCtl);
        epoll::delete(&self.epoll, fd).map_err(|errno| DeclareError::System {
            call: Call::EpollCtl.name(),
            errno,
        })
    }

    #[cold]
    fn refused(&self, fd: BorrowedFd<'_>, watch: Watch, errno: Errno, counters: &mut Counters) -> DeclareError {
        let what = match errno {
            Errno::PERM | Errno::INVAL if is_always_accepted(fd) => {
                let call = Call::EpollCtl.name();
                return DeclareError::System { call, errno };
            }
            Errno::PERM => Unsupported::FileWithoutReadiness,
            // The kernel has two reasons, as all bits of the watch are allowed.
            Errno::INVAL if watch.wakeup() == Wakeup::Exclusive => Unsupported::ExclusiveNested,
            Errno::INVAL => Unsupported::OwnDescriptor,
            errno => return explain(self.mechanism, fd, Call::EpollCtl.name(), errno, counters),
        };
        DeclareError::Unsupported {
            mechanism: self.mechanism,
            what,
        }
    }
}

impl Backend for Epoll {
    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        self.add_shared(fd, key, watch, counters)
    }

    // See `Kernel` for why this is inlined.
    #[inline(always)]
    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        key: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError> {
        self.change_shared(fd, key, watch, counters)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, _key: Key, counters: &mut Counters) -> Result<(), DeclareError> {
        self.remove_shared(fd, counters)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.as_fd())
    }

    // See `Kernel` for why this is inlined.
    #[inline(always)]
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused> {
        let Self { epoll, wait, .. } = self;
        let (epoll, room, found) = (epoll.as_fd(), events.room(), events.found());
        wait.wait(epoll, found, room, timeout, counters).map(drop)
    }
}

/// The most packets that the kernel takes from a device at a time; more than 64 needs `CAP_NET_ADMIN`.
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

/// The kernel's bits for a declaration. The waker's channel is level-triggered with every trigger of the row.
fn flags(key: Key, watch: Watch) -> EventFlags {
    let mut flags = EventFlags::from_bits_retain(u32::from(poll_bits(watch.interest())));
    match watch.trigger() {
        _ if key == Key::WAKER => {}
        Trigger::Level => {}
        Trigger::Edge => flags |= EventFlags::ET,
        Trigger::Oneshot => flags |= EventFlags::ONESHOT,
    }
    if watch.wakeup() == Wakeup::Exclusive {
        // The kernel does not allow EPOLLRDHUP in an exclusive watch (EPOLLEXCLUSIVE_OK_BITS).
        flags |= EventFlags::EXCLUSIVE;
        flags &= !EventFlags::RDHUP;
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_polling_sets_the_parameters_that_the_kernel_reports() {
        for (interrupts, prefer) in [(Interrupts::Kept, 0), (Interrupts::Deferred, 1)] {
            let options = Options {
                busy_poll: Some(BusyPoll {
                    duration_us: 50,
                    interrupts,
                }),
                ..Options::default()
            };
            match Epoll::open("epoll-edge", &options) {
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
}
