//! `dev-poll-kernel`: the interest set is in the kernel, in a device that scans it at every wait and that files tell by hints
//! when to ask them. The device is our reconstruction of `/dev/poll`, a kernel module (`kernel/dev-poll`).
//!
//! A declaration is one write, a withdrawal one write of `POLLREMOVE`. Written events are added to the cached ones, so a
//! modification writes both, in one call. The set removes a descriptor before its source can be closed: the device does not
//! learn of that.

use super::{
    backend::{Backend, Refused},
    descriptor::{Costs, Descriptor, EventsPerCall},
    file_kind::require_readiness,
    kernel::Kernel,
};
use crate::{
    Counters, DeclareError, Events, Key, OpenError, ReadinessDetail, Threading, Trigger, Unavailable, Wakeup, Watch,
    counters::Call, fd::index, readiness::poll_bits,
};
use c10k_sys::{
    dev_poll::{self, removal},
    poll::PollEntry,
};
use rustix::io::Errno;
use std::{
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    time::Duration,
};

pub(super) static DEV_POLL_KERNEL: Descriptor = Descriptor {
    name: "dev-poll-kernel",
    summary: "interest set in the kernel, scanned at every wait with hints; /dev/poll as a module, our reconstruction",
    triggers: &[Trigger::Level],
    wakeups: &[Wakeup::All],
    threading: Threading::Any,
    reports: ReadinessDetail::ALL,
    busy_poll: false,
    ring: false,
    emulated: false,
    signal_queue: None,
    waits: &["ioctl"],
    events_per_call: EventsPerCall::Many,
    costs: Costs {
        declare: &[("getsockopt", 1), ("write", 1)],
        modify: &[("write", 1)],
        withdraw: &[("write", 1)],
        wait: &[("ioctl", 1)],
        wait_in_vain: &[("ioctl", 1)],
        wait_until_timeout: &[("ioctl", 1)],
    },
    hand_written: None,
    open: |row, _| Device::open(row.name).map(Kernel::boxed),
};

/// The device, and the keys of its descriptors.
struct Device {
    device: OwnedFd,
    /// The key behind each descriptor number.
    keys: Vec<Key>,
    /// Room for a result of each descriptor.
    results: Vec<MaybeUninit<PollEntry>>,
}

impl Device {
    fn open(mechanism: &'static str) -> Result<Self, OpenError> {
        let device = dev_poll::open().map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTTY | Errno::NXIO => OpenError::Unavailable {
                mechanism,
                reason: Unavailable::Refused {
                    call: "open(\"/dev/poll\")",
                    errno,
                    remedy:
                        "the device is the module in kernel/dev-poll, which is for a guest: build it with 'cargo xtask \
                             dev-poll' and load it with 'c10k vm … --module FILE'"
                            .to_owned(),
                },
            },
            errno => OpenError::refused(mechanism, "openat", errno),
        })?;
        Ok(Self {
            device,
            keys: Vec::new(),
            results: Vec::new(),
        })
    }

    /// Writes all of these entries.
    fn write(&self, entries: &[PollEntry], counters: &mut Counters) -> Result<(), DeclareError> {
        let failed = |errno| DeclareError::System { call: "write", errno };
        counters.count(Call::Write);
        match dev_poll::write(&self.device, entries).map_err(failed)? {
            taken if taken == entries.len() => Ok(()),
            // The kernel says why to a call that begins with the entry that it refused.
            taken => self.write(&entries[taken..], counters),
        }
    }
}

impl Backend for Device {
    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        require_readiness(DEV_POLL_KERNEL.name, fd, counters)?;
        self.write(&[PollEntry::new(fd, poll_bits(watch.interest()))], counters)?;
        let index = index(fd.as_raw_fd());
        if index >= self.keys.len() {
            self.keys.resize(index + 1, key);
        }
        self.keys[index] = key;
        self.results.push(MaybeUninit::uninit());
        Ok(())
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        _: Key,
        watch: Watch,
        counters: &mut Counters,
    ) -> Result<(), DeclareError> {
        let entries = [removal(fd.as_raw_fd()), PollEntry::new(fd, poll_bits(watch.interest()))];
        self.write(&entries, counters)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, _: Key, counters: &mut Counters) -> Result<(), DeclareError> {
        self.write(&[removal(fd.as_raw_fd())], counters)?;
        self.results.pop();
        Ok(())
    }

    fn forget(&mut self, number: RawFd, _: Key, counters: &mut Counters) {
        // The device refuses no removal in the process that owns it.
        if self.write(&[removal(number)], counters).is_ok() {
            self.results.pop();
        }
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused> {
        counters.count(Call::Ioctl);
        let room = events.room().min(self.results.len());
        let results = dev_poll::poll(&self.device, &mut self.results[..room], timeout);
        for entry in results.map_err(Refused::by(Call::Ioctl))? {
            events.push(self.keys[index(entry.number())], entry.found());
        }
        Ok(())
    }
}
