//! `poll`: the whole interest set goes to the kernel at every wait (`ppoll`).
//!
//! The kernel checks each entry in turn, so a wait costs time in proportion to the set, ready or not. More entries than
//! `RLIMIT_NOFILE` are refused with `EINVAL`. An entry that is not an open descriptor returns `POLLNVAL`, which is
//! reported as an error of that source alone.

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
    ops::Range,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

pub(super) static POLL: Descriptor = Descriptor {
    name: "poll",
    summary: "an array of all sources, passed in and scanned at every wait",
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
    open: |_, _| Ok(Kernel::boxed(Poll::default())),
};

/// The array that the kernel gets, and the key of each entry.
#[derive(Default)]
struct Poll {
    entries: Vec<PollEntry>,
    keys: Vec<Key>,
    /// The position of each key's entry.
    positions: Positions,
    /// The entry at which the next batch starts, so that a small batch starves no source.
    first: usize,
}

impl Poll {
    /// Collects the events of a part of the array until `ready` entries were found. Returns the position at which the batch
    /// was full.
    fn collect(&self, part: Range<usize>, ready: &mut usize, events: &mut Events) -> Option<usize> {
        let entries = self.entries[part.clone()].iter().zip(&self.keys[part.clone()]);
        for (position, (entry, &key)) in part.zip(entries) {
            if *ready == 0 {
                return None;
            }
            let found = entry.found();
            if found == 0 {
                continue;
            }
            if events.room() == 0 {
                return Some(position);
            }
            events.push(key, found);
            *ready -= 1;
        }
        None
    }
}

impl Backend for Poll {
    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        require_readiness(POLL.name, fd, counters)?;
        self.positions.set(key, self.entries.len());
        self.entries.push(PollEntry::new(fd, poll_bits(watch.interest())));
        self.keys.push(key);
        Ok(())
    }

    fn change(&mut self, _fd: BorrowedFd<'_>, key: Key, watch: Watch, _: &mut Counters) -> Result<(), DeclareError> {
        self.entries[self.positions.get(key)].ask(poll_bits(watch.interest()));
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, key: Key, counters: &mut Counters) -> Result<(), DeclareError> {
        self.forget(fd.as_raw_fd(), key, counters);
        Ok(())
    }

    fn forget(&mut self, _number: RawFd, key: Key, _: &mut Counters) {
        let position = self.positions.get(key);
        self.entries.swap_remove(position);
        self.keys.swap_remove(position);
        if let Some(&moved) = self.keys.get(position) {
            self.positions.set(moved, position);
        }
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused> {
        counters.count(Call::Ppoll);
        let mut ready = poll(&mut self.entries, timeout).map_err(Refused::by(Call::Ppoll))?;
        // After a batch that was too small, the next one starts with the sources that were left.
        let count = self.entries.len();
        let first = if self.first < count { self.first } else { 0 };
        self.first = match self.collect(first..count, &mut ready, events) {
            None if first > 0 => self.collect(0..first, &mut ready, events),
            full => full,
        }
        .unwrap_or(0);
        Ok(())
    }
}

/// The position of each key, by the key's index; the waker's key has none.
#[derive(Default)]
struct Positions {
    waker: usize,
    by_index: Vec<usize>,
}

impl Positions {
    fn set(&mut self, key: Key, position: usize) {
        if key == Key::WAKER {
            self.waker = position;
            return;
        }
        if key.index() >= self.by_index.len() {
            self.by_index.resize(key.index() + 1, usize::MAX);
        }
        self.by_index[key.index()] = position;
    }

    fn get(&self, key: Key) -> usize {
        if key == Key::WAKER {
            self.waker
        } else {
            self.by_index[key.index()]
        }
    }
}
