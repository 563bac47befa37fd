//! What an event costs through a library, and through the same system calls written by hand.
//!
//! The workload is that of libevent's own benchmark: a ring of socket pairs; an event reads a byte and writes one to the
//! next pair. All use epoll; edge-triggered, but for libevent, which is used as in its own benchmark.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use c10k_competitors::{Libevent, LibeventBase, Polling};
use c10k_event::{Events, Interest, InterestSet, Mechanism};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::{Figures, Options, Outcome, ProbeError};

/// The most events that a wait brings, for everybody.
const BATCH: usize = 1024;

/// The most sources that may be asked for: each is two descriptors.
const MOST: u64 = 9_000;

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

    /// Puts a byte into every so manieth pair.
    fn start(&self, active: usize) -> Result<(), ProbeError> {
        let step = (self.writers.len() / active.max(1)).max(1);
        for writer in self.writers.iter().step_by(step).take(active) {
            rustix::io::write(writer, b"e").map_err(ProbeError::call("write"))?;
        }
        Ok(())
    }

    /// What an event does; how many bytes it passed on. The same code for everybody, and inlined into nobody's loop.
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

/// A reading end that knows its place.
struct Reader<'a> {
    fd: BorrowedFd<'a>,
    index: usize,
}

impl AsFd for Reader<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    if options.sources > MOST {
        return Err(ProbeError::Impossible(format!(
            "--sources {} is more than this probe opens: give at most {MOST}",
            options.sources
        )));
    }
    let ring = Ring::open(usize::try_from(options.sources.max(2)).unwrap_or(2))?;
    ring.start(usize::try_from(options.active.max(1)).unwrap_or(1))?;
    match options.by.as_str() {
        "inline" => inline(options, &ring),
        "c10k" => ours(options, &ring),
        "mio" => by_mio(options, &ring),
        "polling" => by_polling(options, &ring),
        "libevent" => by_libevent(options, &ring),
        other => Err(ProbeError::Way {
            option: "by",
            value: other.to_owned(),
            known: "inline, c10k, mio, polling or libevent",
        }),
    }
}

/// Turns until the time is over; a turn waits once and tells how many bytes it passed on.
fn turns(options: &Options, mut turn: impl FnMut() -> Result<u64, ProbeError>) -> Outcome {
    for _ in 0..10 {
        turn()?;
    }
    let started = Instant::now();
    let mut operations = 0;
    loop {
        operations += turn()?;
        let wall = started.elapsed();
        if wall >= options.time {
            return Ok(Figures {
                operations,
                values: vec![("event_ns", wall.as_secs_f64() * 1e9 / operations.max(1) as f64)],
            });
        }
    }
}

fn inline(options: &Options, ring: &Ring) -> Outcome {
    let set = epoll::create(CreateFlags::CLOEXEC).map_err(ProbeError::call("epoll_create1"))?;
    let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
    for (index, reader) in ring.readers.iter().enumerate() {
        epoll::add(&set, reader, EventData::new_u64(index as u64), flags).map_err(ProbeError::call("epoll_ctl"))?;
    }
    let mut buffer: Vec<epoll::Event> = Vec::with_capacity(BATCH);
    turns(options, || {
        buffer.clear();
        epoll::wait(&set, rustix::buffer::spare_capacity(&mut buffer), None).map_err(ProbeError::call("epoll_wait"))?;
        let passed = buffer
            .iter()
            .map(|event| ring.handle(usize::try_from(event.data.u64()).unwrap_or_default()));
        Ok(passed.sum())
    })
}

fn ours(options: &Options, ring: &Ring) -> Outcome {
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
    turns(options, || {
        set.next_events(&mut events, None).map_err(|error| failed(&error))?;
        let mut passed = 0;
        while let Some(event) = set.take(&mut events) {
            passed += ring.handle(set[event.key].index);
        }
        Ok(passed)
    })
}

fn by_mio(options: &Options, ring: &Ring) -> Outcome {
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
    turns(options, || {
        poll.poll(&mut events, None).map_err(ProbeError::io("mio"))?;
        Ok(events.iter().map(|event| ring.handle(event.token().0)).sum())
    })
}

fn by_polling(options: &Options, ring: &Ring) -> Outcome {
    let batch = NonZeroUsize::new(BATCH).unwrap_or(NonZeroUsize::MIN);
    let readers = ring.readers.iter().map(AsFd::as_fd);
    let mut poller = Polling::open(readers, batch).map_err(ProbeError::io("polling"))?;
    turns(options, || {
        let mut passed = 0;
        poller
            .turn(None, |index| passed += ring.handle(index))
            .map_err(ProbeError::io("polling"))?;
        Ok(passed)
    })
}

fn by_libevent(options: &Options, ring: &Ring) -> Outcome {
    let library = Libevent::load().map_err(ProbeError::Impossible)?;
    let readers = ring.readers.iter().map(AsFd::as_fd);
    let passed = Cell::new(0);
    let handle = |index| passed.set(passed.get() + ring.handle(index));
    let mut base = LibeventBase::open(library, readers, handle).map_err(ProbeError::io("libevent"))?;
    turns(options, || {
        base.turn(true).map_err(ProbeError::io("libevent"))?;
        Ok(passed.take())
    })
}
