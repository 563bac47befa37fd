//! `fake-poll`: a second mechanism on `ppoll`, in builds with the feature `fake-rows` only.
//!
//! It shows that a mechanism is one file and one row: with the feature, every list, test and table has it. It works, but its
//! declarations search the whole set.

use super::{
    backend::{Backend, Refused},
    descriptor::{Costs, Descriptor, EventsPerCall, HandWritten},
    file_kind::require_readiness,
    kernel::Kernel,
};
use crate::{
    Counters, DeclareError, Events, Key, ReadinessDetail, Threading, Trigger, Wakeup, Watch, counters::Call,
    readiness::poll_bits,
};
use c10k_sys::poll::{PollEntry, poll};
use std::{
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

pub(super) static FAKE_POLL: Descriptor = Descriptor {
    name: "fake-poll",
    summary: "a row for tests: an array of all sources, searched at every declaration",
    triggers: &[Trigger::Level],
    wakeups: &[Wakeup::All],
    threading: Threading::Any,
    reports: ReadinessDetail::ALL,
    busy_poll: false,
    ring: false,
    emulated: false,
    signal_queue: None,
    waits: &["ppoll"],
    events_per_call: EventsPerCall::Many,
    costs: Costs {
        declare: &[("getsockopt", 1)],
        modify: &[],
        withdraw: &[],
        wait: &[("ppoll", 1)],
        wait_in_vain: &[("ppoll", 1)],
        wait_until_timeout: &[("ppoll", 1)],
    },
    hand_written: Some(HandWritten::Poll),
    open: |row, _| {
        Ok(Kernel::boxed(FakePoll {
            mechanism: row.name,
            keys: Vec::new(),
            entries: Vec::new(),
        }))
    },
};

/// The sources in the order in which they are reported.
struct FakePoll {
    mechanism: &'static str,
    keys: Vec<Key>,
    entries: Vec<PollEntry>,
}

impl FakePoll {
    fn position(&self, key: Key) -> Option<usize> {
        self.keys.iter().position(|&known| known == key)
    }
}

impl Backend for FakePoll {
    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        require_readiness(self.mechanism, fd, counters)?;
        self.keys.push(key);
        self.entries.push(PollEntry::new(fd, poll_bits(watch.interest())));
        Ok(())
    }

    fn change(&mut self, _: BorrowedFd<'_>, key: Key, watch: Watch, _: &mut Counters) -> Result<(), DeclareError> {
        if let Some(position) = self.position(key) {
            self.entries[position].ask(poll_bits(watch.interest()));
        }
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, key: Key, counters: &mut Counters) -> Result<(), DeclareError> {
        self.forget(fd.as_raw_fd(), key, counters);
        Ok(())
    }

    fn forget(&mut self, _: RawFd, key: Key, _: &mut Counters) {
        if let Some(position) = self.position(key) {
            self.keys.remove(position);
            self.entries.remove(position);
        }
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused> {
        counters.count(Call::Ppoll);
        poll(&mut self.entries, timeout).map_err(Refused::by(Call::Ppoll))?;
        let mut next = 0;
        for (position, (entry, &key)) in self.entries.iter().zip(&self.keys).enumerate() {
            if entry.found() != 0 && events.room() > 0 {
                events.push(key, entry.found());
                next = position + 1;
            }
        }
        // The sources that were reported move to the end, so that a small batch starves no source.
        self.keys.rotate_left(next);
        self.entries.rotate_left(next);
        Ok(())
    }
}
