//! This library on each mechanism, and for comparison a loop written by hand with the same system calls, the same buffers
//! and nothing else.

use crate::workload::{Reader, Ring, Waiting};
use c10k_event::{Events, EventsPerCall, HandWritten, Interest, InterestSet, Mechanism, Trigger};
use c10k_sys::{
    epoll::Event as EpollEvent,
    poll::{POLLIN, POLLRDHUP, PollEntry, poll},
    poll_ring::{PollRing, Shots},
    ring::Setup,
    select::{FdBits, select},
    signal::{self, Async, Receiver, Signal, SignalFd, SignalSet},
};
use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    io::Errno,
};
use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Duration,
};

/// The most events that a wait returns, the same for all competitors.
pub(crate) const BATCH: usize = 4_096;

/// One way to run the workload. It is created with all readers registered, and deregisters them when it is dropped.
pub(crate) trait Competitor {
    /// Waits once and handles the events.
    fn turn(&mut self, ring: &Ring, waiting: Waiting);
}

pub(crate) fn timeout(waiting: Waiting) -> Option<Duration> {
    match waiting {
        Waiting::Blocking => None,
        Waiting::Polling => Some(Duration::ZERO),
    }
}

/// This library.
pub(crate) struct Ours<'a> {
    set: InterestSet<Reader<'a>>,
    events: Events,
    trigger: Trigger,
}

impl<'a> Ours<'a> {
    pub(crate) fn open(mechanism: Mechanism, ring: &'a Ring) -> Self {
        let mut set = InterestSet::open(mechanism).expect("the mechanism was probed");
        let trigger = mechanism.default_trigger();
        for reader in ring.readers() {
            set.declare(reader, Interest::READABLE, trigger)
                .expect("a socket can be watched");
        }
        Self {
            set,
            events: Events::with_capacity(BATCH),
            trigger,
        }
    }
}

impl Competitor for Ours<'_> {
    fn turn(&mut self, ring: &Ring, waiting: Waiting) {
        self.set
            .next_events(&mut self.events, timeout(waiting))
            .expect("the wait succeeds");
        while let Some(event) = self.set.take(&mut self.events) {
            let Reader { fd, index } = self.set[event.key];
            ring.handle(fd, index);
            if self.trigger == Trigger::Oneshot {
                self.set
                    .modify(event.key, Interest::READABLE, Trigger::Oneshot)
                    .expect("arming again");
            }
        }
    }
}

/// The hand-written loop with a mechanism's system calls; `None` if its row names none.
pub(crate) fn by_hand<'a>(mechanism: Mechanism, ring: &'a Ring) -> Option<Box<dyn Competitor + 'a>> {
    Some(match mechanism.descriptor().hand_written? {
        HandWritten::Select => Box::new(Select::open(ring)),
        HandWritten::Poll => Box::new(Poll::open(ring)),
        HandWritten::Epoll => Box::new(Epoll::open(ring, mechanism.default_trigger())),
        HandWritten::Signals => Box::new(Signals::open(ring, mechanism.events_per_call())),
        HandWritten::IoUring => Box::new(Uring::open(ring)),
    })
}

struct Select {
    asked: FdBits,
    found: [FdBits; 3],
    none: FdBits,
    bound: usize,
    index: Vec<usize>,
}

impl Select {
    fn open(ring: &Ring) -> Self {
        let mut asked = FdBits::default();
        let mut index = Vec::new();
        for reader in ring.readers() {
            let number = reader.fd.as_raw_fd();
            asked.insert(number);
            let place = usize::try_from(number).expect("not negative");
            index.resize(index.len().max(place + 1), usize::MAX);
            index[place] = reader.index;
        }
        Self {
            asked,
            found: Default::default(),
            none: FdBits::default(),
            bound: index.len(),
            index,
        }
    }
}

impl Competitor for Select {
    fn turn(&mut self, ring: &Ring, waiting: Waiting) {
        let words = self.bound.div_ceil(64);
        let [read, write, except] = &mut self.found;
        read.copy_words(&self.asked, words);
        write.copy_words(&self.none, words);
        except.copy_words(&self.none, words);
        select(self.bound, read, write, except, timeout(waiting)).expect("the wait succeeds");
        for (place, &word) in read.words().iter().enumerate() {
            let mut word = word;
            while word != 0 {
                let index = self.index[place * 64 + word.trailing_zeros() as usize];
                ring.handle(ring.reader(index), index);
                word &= word - 1;
            }
        }
    }
}

struct Poll {
    entries: Vec<PollEntry>,
}

impl Poll {
    fn open(ring: &Ring) -> Self {
        Self {
            entries: ring
                .readers()
                .map(|reader| PollEntry::new(reader.fd, POLLIN | POLLRDHUP))
                .collect(),
        }
    }
}

impl Competitor for Poll {
    fn turn(&mut self, ring: &Ring, waiting: Waiting) {
        let mut ready = poll(&mut self.entries, timeout(waiting)).expect("the wait succeeds");
        for (index, entry) in self.entries.iter().enumerate() {
            if ready == 0 {
                break;
            }
            if entry.found() != 0 {
                ready -= 1;
                ring.handle(ring.reader(index), index);
            }
        }
    }
}

struct Epoll {
    epoll: OwnedFd,
    flags: EventFlags,
    buffer: Vec<EpollEvent>,
}

impl Epoll {
    fn open(ring: &Ring, trigger: Trigger) -> Self {
        let epoll = epoll::create(CreateFlags::CLOEXEC).expect("an epoll set");
        let trigger = match trigger {
            Trigger::Level => EventFlags::empty(),
            Trigger::Edge => EventFlags::ET,
            Trigger::Oneshot => EventFlags::ONESHOT,
        };
        let flags = EventFlags::IN | EventFlags::RDHUP | trigger;
        for reader in ring.readers() {
            epoll::add(&epoll, reader.fd, EventData::new_u64(reader.index as u64), flags).expect("adding");
        }
        Self {
            epoll,
            flags,
            buffer: Vec::with_capacity(BATCH),
        }
    }
}

impl Competitor for Epoll {
    fn turn(&mut self, ring: &Ring, waiting: Waiting) {
        let milliseconds = match waiting {
            Waiting::Blocking => -1,
            Waiting::Polling => 0,
        };
        c10k_sys::epoll::wait(self.epoll.as_fd(), &mut self.buffer, BATCH, milliseconds).expect("the wait");
        for event in &self.buffer {
            let index = usize::try_from(event.data()).expect("an index");
            ring.handle(ring.reader(index), index);
            if self.flags.contains(EventFlags::ONESHOT) {
                let data = EventData::new_u64(event.data());
                epoll::modify(&self.epoll, ring.reader(index), data, self.flags).expect("arming again");
            }
        }
    }
}

struct Signals<'a> {
    ring: &'a Ring,
    mask: SignalSet,
    batch: Option<(SignalFd, usize)>,
    index: Vec<usize>,
}

impl<'a> Signals<'a> {
    fn open(ring: &'a Ring, per_call: EventsPerCall) -> Self {
        let number = Signal::real_time().last().expect("there are real-time signals");
        let mask = SignalSet::of(&[number, Signal::IO]);
        signal::block(&mask).expect("the mask");
        let mut index = Vec::new();
        for reader in ring.readers() {
            signal::set_receiver(reader.fd, Receiver::this_thread().expect("gettid")).expect("F_SETOWN_EX");
            signal::set_signal(reader.fd, number).expect("F_SETSIG");
            let (_, flags) = signal::async_of(reader.fd).expect("F_GETFL");
            signal::set_async(reader.fd, Async::On, flags).expect("F_SETFL");
            let place = usize::try_from(reader.fd.as_raw_fd()).expect("not negative");
            index.resize(index.len().max(place + 1), usize::MAX);
            index[place] = reader.index;
        }
        let batch = match per_call {
            EventsPerCall::One => None,
            EventsPerCall::Many => Some((SignalFd::open(&mask).expect("a signalfd"), BATCH)),
        };
        Self {
            ring,
            mask,
            batch,
            index,
        }
    }

    fn one(&self, waiting: Waiting) {
        match signal::wait(&self.mask, timeout(waiting)) {
            Ok(taken) => {
                let index = self.index[usize::try_from(taken.fd).expect("not negative")];
                self.ring.handle(self.ring.reader(index), index);
            }
            Err(Errno::AGAIN) => {}
            Err(errno) => panic!("rt_sigtimedwait: {errno}"),
        }
    }
}

impl Competitor for Signals<'_> {
    fn turn(&mut self, ring: &Ring, waiting: Waiting) {
        let Some((signal_fd, room)) = &mut self.batch else {
            return self.one(waiting);
        };
        let index = &self.index;
        let taken = signal_fd.take(*room, |taken| {
            let index = index[usize::try_from(taken.fd).expect("not negative")];
            ring.handle(ring.reader(index), index);
        });
        match taken {
            Ok(_) => {}
            Err(Errno::AGAIN) if waiting == Waiting::Polling => {}
            Err(Errno::AGAIN) => self.one(waiting),
            Err(errno) => panic!("read of a signalfd: {errno}"),
        }
    }
}

impl Drop for Signals<'_> {
    fn drop(&mut self) {
        for reader in self.ring.readers() {
            let (_, flags) = signal::async_of(reader.fd).expect("F_GETFL");
            signal::set_async(reader.fd, Async::Off, flags).expect("F_SETFL");
        }
        while signal::wait(&self.mask, Some(Duration::ZERO)).is_ok() {}
    }
}

struct Uring {
    poll_ring: PollRing,
}

impl Uring {
    fn open(ring: &Ring) -> Self {
        let mut poll_ring = PollRing::open(Setup::default(), 1_024, 4_096).expect("the mechanism was probed");
        let bits = u32::from(POLLIN | POLLRDHUP);
        for reader in ring.readers() {
            while !poll_ring.add(reader.fd.as_raw_fd(), bits, reader.index as u64, Shots::Many) {
                poll_ring.enter(0, Some(Duration::ZERO)).expect("submitting");
            }
        }
        Self { poll_ring }
    }
}

impl Competitor for Uring {
    fn turn(&mut self, ring: &Ring, waiting: Waiting) {
        let wanted = u32::from(waiting == Waiting::Blocking);
        match self.poll_ring.enter(wanted, timeout(waiting)) {
            Ok(_) | Err(Errno::TIME) => {}
            Err(errno) => panic!("io_uring_enter: {errno}"),
        }
        for _ in 0..BATCH {
            let Some(completion) = self.poll_ring.pop() else { return };
            assert!(completion.more, "a multishot request ended");
            let index = usize::try_from(completion.data).expect("an index");
            ring.handle(ring.reader(index), index);
        }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        self.poll_ring.cancel_all().expect("cancelling");
    }
}
