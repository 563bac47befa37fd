//! What an event costs through a library, and through the same system calls written by hand.
//!
//! The workload is that of libevent's own benchmark: a ring of socket pairs, where each event reads a byte and writes it to
//! the next pair. All use epoll with edge triggers, except libevent, which is used as in its own benchmark.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use c10k_competitors::{Libevent, LibeventBase, Polling};
use c10k_event::{Events, Interest, InterestSet, Mechanism};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::error::ProbeError;
use crate::option::{Kind, OptionRow, TIME, names};
use crate::row::{Figure, Figures, Outcome, Probe};
use crate::values::Values;

pub(super) const ROW: Probe = Probe {
    name: "library-cost",
    summary: "one event through an event library",
    options: &[
        TIME,
        OptionRow::by(BY, "The library; `inline` is epoll by hand"),
        OptionRow {
            name: "sources",
            summary: "Sources that are watched",
            // Each takes two descriptors.
            kind: Kind::Count(2, 9000),
            default: Some("100"),
            label: "sources",
            setup_us: 0,
        },
        OptionRow {
            name: "active",
            summary: "Sources that are active at a time",
            kind: Kind::Count(1, 9000),
            default: Some("1"),
            label: "active sources",
            setup_us: 0,
        },
    ],
    figures: &[EVENT_NS],
    run,
};

const EVENT_NS: Figure = Figure {
    key: "event_ns",
    measure: "event-ns",
    label: "time of one event",
    unit: "ns",
};

type Way = fn(Duration, &Ring) -> Outcome;

const WAYS: [(&str, Way); 5] = [
    ("inline", inline),
    ("c10k", ours),
    ("mio", by_mio),
    ("polling", by_polling),
    ("libevent", by_libevent),
];
const BY: &[&str] = &names(&WAYS);

/// The most events that a wait returns, for every library.
const BATCH: usize = 1024;

struct Ring {
    readers: Vec<OwnedFd>,
    writers: Vec<OwnedFd>,
}

impl Ring {
    fn open(sources: usize) -> Result<Self, ProbeError> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let pairs = (0..sources)
            .map(|number| {
                socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(ProbeError::call(format!(
                    "socket pair {number} of {sources} (ulimit -n)"
                )))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let (readers, writers) = pairs.into_iter().unzip();
        Ok(Self { readers, writers })
    }

    /// Writes a byte to `active` pairs at equal distances.
    fn start(&self, active: usize) -> Result<(), ProbeError> {
        let step = (self.writers.len() / active.max(1)).max(1);
        for writer in self.writers.iter().step_by(step).take(active) {
            rustix::io::write(writer, b"e").map_err(ProbeError::call("write"))?;
        }
        Ok(())
    }

    /// Handles an event and returns the number of bytes that it passed on. Every library runs the same code, never inlined.
    #[inline(never)]
    fn handle(&self, index: usize) -> u64 {
        let mut bytes = [0; 64];
        let Ok(count) = rustix::io::read(&self.readers[index], &mut bytes) else {
            return 0;
        };
        let next = &self.writers[(index + 1) % self.writers.len()];
        // A socket buffer holds far more than the bytes under way.
        let _ = rustix::io::write(next, &bytes[..count]);
        count as u64
    }
}

/// A reading end and its index in the ring.
struct Reader<'a> {
    fd: BorrowedFd<'a>,
    index: usize,
}

impl AsFd for Reader<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd
    }
}

fn run(values: &Values) -> Outcome {
    let size = |name| usize::try_from(values.count(name)).unwrap_or(usize::MAX);
    let ring = Ring::open(size("sources"))?;
    ring.start(size("active"))?;
    values.choice("by", &WAYS)(values.time(), &ring)
}

/// Repeats `turn` until the time is over. A turn waits once and returns the number of bytes that it passed on.
fn turns(time: Duration, mut turn: impl FnMut() -> Result<u64, ProbeError>) -> Outcome {
    for _ in 0..10 {
        turn()?;
    }
    let started = Instant::now();
    let mut operations = 0;
    loop {
        operations += turn()?;
        let wall = started.elapsed();
        if wall >= time {
            return Ok(Figures {
                operations,
                values: vec![(EVENT_NS.key, wall.as_secs_f64() * 1e9 / operations.max(1) as f64)],
            });
        }
    }
}

fn inline(time: Duration, ring: &Ring) -> Outcome {
    let set = epoll::create(CreateFlags::CLOEXEC).map_err(ProbeError::call("epoll_create1"))?;
    let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
    for (index, reader) in ring.readers.iter().enumerate() {
        epoll::add(&set, reader, EventData::new_u64(index as u64), flags).map_err(ProbeError::call("epoll_ctl"))?;
    }
    let mut buffer: Vec<epoll::Event> = Vec::with_capacity(BATCH);
    turns(time, || {
        buffer.clear();
        epoll::wait(&set, rustix::buffer::spare_capacity(&mut buffer), None).map_err(ProbeError::call("epoll_wait"))?;
        let passed = buffer
            .iter()
            .map(|event| ring.handle(usize::try_from(event.data.u64()).unwrap_or_default()));
        Ok(passed.sum())
    })
}

fn ours(time: Duration, ring: &Ring) -> Outcome {
    let failed = |error: &dyn std::fmt::Display| ProbeError::Impossible(format!("c10k-event: {error}"));
    let mechanism = Mechanism::named("epoll-edge").map_err(|error| failed(&error))?;
    let mut set = InterestSet::open(mechanism).map_err(|error| failed(&error))?;
    for (index, reader) in ring.readers.iter().enumerate() {
        let reader = Reader {
            fd: reader.as_fd(),
            index,
        };
        set.declare(reader, Interest::READABLE, mechanism.default_trigger())
            .map_err(|error| failed(&error))?;
    }
    let mut events = Events::with_capacity(BATCH);
    turns(time, || {
        set.next_events(&mut events, None).map_err(|error| failed(&error))?;
        let mut passed = 0;
        while let Some(event) = set.take(&mut events) {
            passed += ring.handle(set[event.key].index);
        }
        Ok(passed)
    })
}

fn by_mio(time: Duration, ring: &Ring) -> Outcome {
    use mio::unix::SourceFd;
    use mio::{Interest, Poll, Token};
    let mut poll = Poll::new().map_err(ProbeError::io("mio"))?;
    for (index, reader) in ring.readers.iter().enumerate() {
        let number = reader.as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&number), Token(index), Interest::READABLE)
            .map_err(ProbeError::io("mio"))?;
    }
    let mut events = mio::Events::with_capacity(BATCH);
    turns(time, || {
        poll.poll(&mut events, None).map_err(ProbeError::io("mio"))?;
        Ok(events.iter().map(|event| ring.handle(event.token().0)).sum())
    })
}

fn by_polling(time: Duration, ring: &Ring) -> Outcome {
    let batch = NonZeroUsize::new(BATCH).unwrap_or(NonZeroUsize::MIN);
    let readers = ring.readers.iter().map(AsFd::as_fd);
    let mut poller = Polling::open(readers, batch).map_err(ProbeError::io("polling"))?;
    turns(time, || {
        let mut passed = 0;
        poller
            .turn(None, |index| passed += ring.handle(index))
            .map_err(ProbeError::io("polling"))?;
        Ok(passed)
    })
}

fn by_libevent(time: Duration, ring: &Ring) -> Outcome {
    let library = Libevent::load().map_err(ProbeError::Impossible)?;
    let readers = ring.readers.iter().map(AsFd::as_fd);
    let passed = Cell::new(0);
    let handle = |index| passed.set(passed.get() + ring.handle(index));
    let mut base = LibeventBase::open(library, readers, handle).map_err(ProbeError::io("libevent"))?;
    turns(time, || {
        base.turn(true).map_err(ProbeError::io("libevent"))?;
        Ok(passed.take())
    })
}
