//! `select`: bit maps of the interest set go in, and results come out, at every wait (`pselect6`).
//!
//! The kernel checks every descriptor number up to the highest one, so a wait costs time in proportion to that number. The
//! raw call knows no `FD_SETSIZE`. It reports three conditions only: a read would not block, a write would not block, an
//! exceptional condition. One number that is not an open descriptor fails the whole call with `EBADF`.

use super::{
    backend::{Backend, Refused},
    descriptor::{Costs, Descriptor, EventsPerCall, HandWritten},
    file_kind::require_readiness,
    kernel::Kernel,
};
use crate::{
    Counters, DeclareError, Events, Interest, Key, ReadinessDetail, Threading, Trigger, Wakeup, Watch, counters::Call,
    fd::index,
};
use c10k_sys::{
    poll::{POLLIN, POLLOUT, POLLPRI},
    select::{FdBits, select},
};
use std::{
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

pub(super) static SELECT: Descriptor = Descriptor {
    name: "select",
    summary: "bit maps of all sources, copied in, scanned and copied out at every wait",
    triggers: &[Trigger::Level],
    wakeups: &[Wakeup::All],
    threading: Threading::Any,
    reports: &[ReadinessDetail::Priority],
    busy_poll: false,
    ring: false,
    emulated: false,
    signal_queue: None,
    waits: &["pselect6"],
    events_per_call: EventsPerCall::Many,
    costs: Costs {
        declare: &[("getsockopt", 1)],
        modify: &[],
        withdraw: &[],
        wait: &[("pselect6", 1)],
        wait_in_vain: &[("pselect6", 1)],
        wait_until_timeout: &[("pselect6", 1)],
    },
    hand_written: Some(HandWritten::Select),
    open: |_, _| Ok(Kernel::boxed(Select::default())),
};

/// The interest set as three bit maps, and the key of each descriptor number.
#[derive(Default)]
struct Select {
    asked: Maps,
    found: Maps,
    /// The key of each descriptor number, or [`Key::NONE`]. Eight bytes each, since none of them is in the cache after a scan
    /// of a thousand sockets.
    keys: Vec<Key>,
    /// The number at which the next batch starts, so that a small batch starves no source.
    first: usize,
}

/// The three bit maps of a `pselect6`.
#[derive(Default)]
pub(super) struct Maps {
    pub(super) read: FdBits,
    pub(super) write: FdBits,
    pub(super) except: FdBits,
}

impl Maps {
    /// Each map with the interest that it stands for.
    fn each(&mut self) -> [(&mut FdBits, Interest); 3] {
        [
            (&mut self.read, Interest::READABLE),
            (&mut self.write, Interest::WRITABLE),
            (&mut self.except, Interest::PRIORITY),
        ]
    }

    /// Empties the maps and makes room for the numbers below `bound`.
    pub(super) fn clear(&mut self, bound: usize) {
        self.each().into_iter().for_each(|(map, _)| map.clear(bound));
    }

    /// The results for one number, as bits of `poll(2)`.
    pub(super) fn get(&self, fd: RawFd) -> u16 {
        let maps = [(&self.read, POLLIN), (&self.write, POLLOUT), (&self.except, POLLPRI)];
        maps.into_iter()
            .filter(|(map, _)| map.contains(fd))
            .fold(0, |bits, (_, answer)| bits | answer)
    }

    /// Sets the interest in one number.
    pub(super) fn set(&mut self, fd: RawFd, interest: Interest) {
        for (map, asks) in self.each() {
            if interest.contains(asks) {
                map.insert(fd);
            } else {
                map.remove(fd);
            }
        }
    }
}

impl Select {
    /// Collects results word by word, starting at the number `from`. Returns the number at which the batch was full, or
    /// `None` if all results were collected.
    fn collect(&self, from: usize, events: &mut Events) -> Option<usize> {
        let Maps { read, write, except } = &self.found;
        let words = read
            .words()
            .iter()
            .zip(write.words())
            .zip(except.words())
            .enumerate()
            .skip(from / 64);
        let mut unwanted = (1_u64 << (from % 64)) - 1;
        for (word, ((&read, &write), &except)) in words {
            let mut any = (read | write | except) & !unwanted;
            unwanted = 0;
            while any != 0 {
                let bit = any.trailing_zeros();
                let fd = word * 64 + bit as usize;
                if events.room() == 0 {
                    return Some(fd);
                }
                let key = self.keys[fd];
                if key != Key::NONE {
                    events.push(key, poll_result(read >> bit, write >> bit, except >> bit));
                }
                any &= any - 1;
            }
        }
        None
    }

    /// Collects the results of the numbers below `end`, where the collection started. Returns the number at which the batch
    /// was full, or 0.
    fn collect_before(&mut self, end: usize, events: &mut Events) -> usize {
        for map in [&mut self.found.read, &mut self.found.write, &mut self.found.except] {
            map.truncate(end);
        }
        self.collect(0, events).unwrap_or(0)
    }
}

/// The lowest bit of each map, as bits of `poll(2)`.
fn poll_result(read: u64, write: u64, except: u64) -> u16 {
    let bit = |map: u64, bit| if map & 1 == 1 { bit } else { 0 };
    bit(read, POLLIN) | bit(write, POLLOUT) | bit(except, POLLPRI)
}

impl Backend for Select {
    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        require_readiness(SELECT.name, fd, counters)?;
        let number = fd.as_raw_fd();
        let index = index(number);
        if index >= self.keys.len() {
            self.keys.resize(index + 1, Key::NONE);
        }
        self.keys[index] = key;
        self.asked.set(number, watch.interest());
        Ok(())
    }

    fn change(&mut self, fd: BorrowedFd<'_>, _key: Key, watch: Watch, _: &mut Counters) -> Result<(), DeclareError> {
        self.asked.set(fd.as_raw_fd(), watch.interest());
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>, key: Key, counters: &mut Counters) -> Result<(), DeclareError> {
        self.forget(fd.as_raw_fd(), key, counters);
        Ok(())
    }

    fn forget(&mut self, number: RawFd, _key: Key, _: &mut Counters) {
        self.keys[index(number)] = Key::NONE;
        self.asked.set(number, Interest::NONE);
        while self.keys.last() == Some(&Key::NONE) {
            self.keys.pop();
        }
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>, counters: &mut Counters) -> Result<(), Refused> {
        let bound = self.keys.len();
        let Self { asked, found, .. } = self;
        for ((found, _), (asked, _)) in found.each().into_iter().zip(asked.each()) {
            found.copy_words(asked, bound.div_ceil(64));
        }
        counters.count(Call::Pselect6);
        let found = select(bound, &mut found.read, &mut found.write, &mut found.except, timeout)
            .map_err(Refused::by(Call::Pselect6))?;
        if found == 0 {
            return Ok(());
        }
        // After a batch that was too small, the next one starts with the sources that were left, then with the first ones.
        let first = std::mem::take(&mut self.first);
        self.first = match self.collect(first, events) {
            Some(full) => full,
            None if first > 0 => self.collect_before(first, events),
            None => 0,
        };
        Ok(())
    }
}
