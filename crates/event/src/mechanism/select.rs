//! `select`: bit maps of the interest set go in and results come out at every wait (`pselect6`).
//!
//! The kernel looks at every descriptor number up to the highest one, so a wait costs time in proportion to that number.
//! The raw call knows no `FD_SETSIZE`. It tells three things only: a read would not block, a write would not block, an
//! exceptional condition. One number that is not an open descriptor fails the whole call with `EBADF`.

use super::{Backend, Descriptor, Refused, refuse_busy_poll, require_readiness};
use crate::{
    Call, Counters, DeclareError, Events, Fact, Interest, Key, OpenError, Options, Threading, Trigger, Unavailable,
    Wakeup, Watch,
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
    tells: &[Fact::Priority],
    emulated: false,
    waits: &["pselect6"],
    declares: &["fstat"],
    probe,
    open: |options| Select::open(options).map(super::boxed),
};

/// The interest set as three bit maps, and who is behind each number.
#[derive(Default)]
pub(crate) struct Select {
    asked: Maps,
    found: Maps,
    /// The key behind each descriptor number, or [`Key::NOBODY`]. Eight bytes each: after a scan of a thousand sockets none
    /// of them is in the cache any more.
    keys: Vec<Key>,
    /// The number at which the next batch starts looking, so that a small batch starves nobody.
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
    /// Each map with the interest and the answer that it stands for.
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

    /// The answers about one number, as bits of `poll(2)`.
    pub(super) fn get(&self, fd: RawFd) -> u16 {
        let maps = [(&self.read, POLLIN), (&self.write, POLLOUT), (&self.except, POLLPRI)];
        maps.into_iter()
            .filter(|(map, _)| map.contains(fd))
            .fold(0, |bits, (_, answer)| bits | answer)
    }

    /// Asks about one number.
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
    fn open(options: &Options) -> Result<Self, OpenError> {
        refuse_busy_poll(&SELECT, options)?;
        Ok(Self::default())
    }

    /// Gathers answers word by word from the number `from` on; returns the number at which the batch was full, or `None`
    /// when all were gathered.
    fn gather(&self, from: usize, events: &mut Events) -> Option<usize> {
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
                if key != Key::NOBODY {
                    events.push(key, answers(read >> bit, write >> bit, except >> bit));
                }
                any &= any - 1;
            }
        }
        None
    }

    /// Gathers the answers of the numbers below `end`, which a wait that began there has left; returns where the batch was
    /// full, or 0.
    fn gather_before(&mut self, end: usize, events: &mut Events) -> usize {
        for map in [&mut self.found.read, &mut self.found.write, &mut self.found.except] {
            map.truncate(end);
        }
        self.gather(0, events).unwrap_or(0)
    }
}

/// What the lowest bit of each map tells, as bits of `poll(2)`.
fn answers(read: u64, write: u64, except: u64) -> u16 {
    let told = |map: u64, answer| if map & 1 == 1 { answer } else { 0 };
    told(read, POLLIN) | told(write, POLLOUT) | told(except, POLLPRI)
}

impl Backend for Select {
    fn descriptor(&self) -> &'static Descriptor {
        &SELECT
    }

    fn add(&mut self, fd: BorrowedFd<'_>, key: Key, watch: Watch, counters: &mut Counters) -> Result<(), DeclareError> {
        require_readiness(&SELECT, fd, counters)?;
        let number = fd.as_raw_fd();
        let place = place(number);
        if place >= self.keys.len() {
            self.keys.resize(place + 1, Key::NOBODY);
        }
        self.keys[place] = key;
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
        self.keys[place(number)] = Key::NOBODY;
        self.asked.set(number, Interest::NONE);
        while self.keys.last() == Some(&Key::NOBODY) {
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
        // A wait after a batch that was too small looks first at what that one left; then at all from the start.
        let first = std::mem::take(&mut self.first);
        self.first = match self.gather(first, events) {
            Some(full) => full,
            None if first > 0 => self.gather_before(first, events),
            None => 0,
        };
        Ok(())
    }
}

/// A descriptor's number as an index.
pub(super) fn place(fd: RawFd) -> usize {
    usize::try_from(fd).unwrap_or_else(|_| unreachable!("an open descriptor has no negative number, as {fd} is"))
}

fn probe() -> Result<(), Unavailable> {
    let mut maps = Maps::default();
    select(
        0,
        &mut maps.read,
        &mut maps.write,
        &mut maps.except,
        Some(Duration::ZERO),
    )
    .map(drop)
    .map_err(|errno| Unavailable {
        call: "pselect6",
        errno,
        remedy: "a seccomp profile forbids the call: allow it".to_owned(),
    })
}
