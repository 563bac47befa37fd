//! `poll`: the whole interest set goes to the kernel at every wait (`ppoll`).
//!
//! The kernel looks at each entry in turn, so a wait costs time in proportion to the set, ready or not. More entries
//! than `RLIMIT_NOFILE` are refused with `EINVAL`; an entry that is not an open descriptor answers `POLLNVAL`, which
//! arrives as an error of that source alone.

use super::{Backend, Descriptor, Refused, refuse_busy_poll, require_readiness};
use crate::{
    Call, Counters, DeclareError, Events, Fact, Key, OpenError, Options, Threading, Trigger, Unavailable, Wakeup,
    Watch, readiness::poll_bits,
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
    tells: Fact::ALL,
    emulated: false,
    waits: &["ppoll"],
    declares: &["fstat"],
    probe,
    open: |options| Poll::open(options).map(super::boxed),
};

/// The interest set as the kernel wants it, with the key of each entry beside it.
#[derive(Default)]
pub(crate) struct Poll {
    entries: Vec<PollEntry>,
    keys: Vec<Key>,
    /// Where each key's entry is, by the key's index; the waker's is the last one more than any index.
    positions: Positions,
    /// The entry at which the next batch starts looking, so that a small batch starves nobody.
    first: usize,
}

impl Poll {
    fn open(options: &Options) -> Result<Self, OpenError> {
        refuse_busy_poll(&POLL, options)?;
        Ok(Self::default())
    }

    /// Gathers what a part of the array tells, until all that is `ready` was found; returns the position at which the batch
    /// was full.
    fn gather(&self, part: Range<usize>, ready: &mut usize, events: &mut Events) -> Option<usize> {
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
    fn descriptor(&self) -> &'static Descriptor {
        &POLL
    }

    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        require_readiness(&POLL, fd, counters)?;
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
        // A wait after a batch that was too small looks first at what that one left.
        let count = self.entries.len();
        let first = if self.first < count { self.first } else { 0 };
        self.first = match self.gather(first..count, &mut ready, events) {
            None if first > 0 => self.gather(0..first, &mut ready, events),
            full => full,
        }
        .unwrap_or(0);
        Ok(())
    }
}

/// A position for each key's index.
#[derive(Default)]
pub(super) struct Positions {
    waker: usize,
    by_index: Vec<usize>,
}

impl Positions {
    pub(super) fn set(&mut self, key: Key, position: usize) {
        if key == Key::WAKER {
            self.waker = position;
            return;
        }
        if key.index() >= self.by_index.len() {
            self.by_index.resize(key.index() + 1, usize::MAX);
        }
        self.by_index[key.index()] = position;
    }

    pub(super) fn get(&self, key: Key) -> usize {
        if key == Key::WAKER {
            self.waker
        } else {
            self.by_index[key.index()]
        }
    }
}

fn probe() -> Result<(), Unavailable> {
    poll(&mut [], Some(Duration::ZERO))
        .map(drop)
        .map_err(|errno| Unavailable {
            call: "ppoll",
            errno,
            remedy: "a seccomp profile forbids the call: allow it".to_owned(),
        })
}
