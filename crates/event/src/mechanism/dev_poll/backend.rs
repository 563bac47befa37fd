//! The kernel's side of a set on the emulated `/dev/poll`.

use crate::{
    Counters, DeclareError, Events, Key, OpenError, Unsupported, Watch,
    counters::Call,
    dev_poll::{ClosedDescriptors, DevPoll, DevPollFd, POLLREMOVE, number_of},
    fd::index,
    mechanism::{
        backend::{Backend, Refused},
        file_kind::{explain, is_always_accepted},
    },
    readiness::poll_bits,
};
use c10k_sys::epoll::Event as EpollEvent;
use rustix::io::Errno;
use std::{
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};

/// An emulated device, and the keys of its descriptors.
pub(crate) struct DevPollSet {
    mechanism: &'static str,
    device: DevPoll,
    /// The key behind each descriptor number.
    keys: Vec<Key>,
}

impl DevPollSet {
    /// Opens an emulated device for the mechanism of this name.
    pub(super) fn open(mechanism: &'static str) -> Result<Self, OpenError> {
        let device = DevPoll::open_for(ClosedDescriptors::Impossible)
            .map_err(|errno| OpenError::refused(mechanism, "epoll_create1", errno))?;
        Ok(Self {
            mechanism,
            device,
            keys: Vec::new(),
        })
    }

    fn write(&mut self, fd: BorrowedFd<'_>, events: u16, counters: &mut Counters) -> Result<(), DeclareError> {
        let entry = DevPollFd {
            fd: fd.as_raw_fd(),
            events,
            revents: 0,
        };
        let what = match self.device.put(entry, counters) {
            Ok(()) => return Ok(()),
            Err(Errno::PERM) if !is_always_accepted(fd) => Unsupported::FileWithoutReadiness,
            Err(Errno::INVAL) if !is_always_accepted(fd) => Unsupported::OwnDescriptor,
            Err(errno) => return Err(explain(self.mechanism, fd, Call::EpollCtl.name(), errno, counters)),
        };
        Err(DeclareError::Unsupported {
            mechanism: self.mechanism,
            what,
        })
    }
}

impl Backend for DevPollSet {
    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        self.write(fd, poll_bits(watch.interest()), counters)?;
        let index = index(fd.as_raw_fd());
        if index >= self.keys.len() {
            self.keys.resize(index + 1, key);
        }
        self.keys[index] = key;
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
        self.write(fd, poll_bits(watch.interest()), counters)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, _key: Key, counters: &mut Counters) -> Result<(), DeclareError> {
        self.write(fd, POLLREMOVE, counters)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.device.epoll())
    }

    // See `Kernel` for why this is inlined.
    #[inline(always)]
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused> {
        let Self { device, keys, .. } = self;
        let (room, found) = (events.room(), events.found());
        device.wait_for_watched(found, room, timeout, counters)?;
        // The device reports numbers; a batch has keys.
        for event in found {
            let key = keys[index(number_of(event))];
            *event = EpollEvent::new(event.bits(), key.to_bits());
        }
        Ok(())
    }
}
