//! Scripts that drive a set and compare it, after every step, with a naive `poll(2)` over all sources.
//!
//! A script is a string of bytes, three per step, so a random generator, a fuzzer and a committed corpus can all
//! provide scripts. The sources are UNIX sockets and pipes. The kernel updates their state within the call that causes
//! the change, so the set must report exactly the state that a scan finds after the step.

use c10k_event::{Events, Interest, InterestSet, Key, Mechanism, Readiness, Trigger};
use c10k_sys::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, PollEntry, poll};
use rustix::{
    fs::OFlags,
    io::Errno,
    net::{AddressFamily, Shutdown, SocketFlags, SocketType},
    pipe::PipeFlags,
};
use std::{
    collections::HashMap,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

/// The maximum number of sources at a time.
const SOURCES: usize = 12;
/// The number of bytes of a step.
pub(crate) const STEP: usize = 3;

/// A bit in the first byte of a step: the set is not checked after the step, so events accumulate.
const UNCHECKED: u8 = 0x80;

/// A declared source and the state that the oracle keeps for it.
struct Source {
    key: Key,
    interest: Interest,
    peer: Option<OwnedFd>,
    kind: Kind,
    /// Readiness that was reported and has held since then.
    reported: Readiness,
    /// Readiness that any scan has found since the declaration. The set may report nothing else.
    ever: Readiness,
    /// Whether a oneshot source is armed: its event is still to come.
    armed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Stream,
    Datagram,
    Pipe,
}

struct Run {
    set: InterestSet<OwnedFd>,
    events: Events,
    trigger: Trigger,
    sources: Vec<Source>,
    duplicates: Vec<OwnedFd>,
    /// The source that received new data in this step.
    fresh: Option<Key>,
}

/// Runs a script on one mechanism with one trigger.
///
/// # Errors
/// What the set reported wrongly, and after which step.
pub(crate) fn run(mechanism: Mechanism, trigger: Trigger, script: &[u8]) -> Result<(), String> {
    let set = InterestSet::open(mechanism).map_err(|error| error.to_string())?;
    let events = Events::with_capacity(4 * SOURCES);
    let mut run = Run {
        set,
        events,
        trigger,
        sources: Vec::new(),
        duplicates: Vec::new(),
        fresh: None,
    };
    for (index, step) in script.chunks_exact(STEP).enumerate() {
        let at = |problem| format!("{mechanism}, {trigger}, step {index} {step:?}: {problem}");
        run.fresh = None;
        run.step(step[0] & !UNCHECKED, usize::from(step[1]), step[2])
            .map_err(at)?;
        let found = run.scan();
        if step[0] & UNCHECKED == 0 {
            run.check(&found).map_err(at)?;
        }
    }
    Ok(())
}

impl Run {
    fn step(&mut self, operation: u8, which: usize, how: u8) -> Result<(), String> {
        if self.sources.is_empty() || operation.is_multiple_of(14) {
            return if self.sources.len() < SOURCES {
                self.declare(how)
            } else {
                Ok(())
            };
        }
        let at = which % self.sources.len();
        match operation % 14 {
            1 => self.modify(at, how),
            2 => drop(self.withdraw(at)?),
            3 => {
                let interest = self.sources[at].interest;
                let (source, fd) = self.withdraw(at)?;
                self.insert(fd, source.peer, source.kind, interest)?;
            }
            4 => self.peer_writes(at),
            5 => drop(rustix::io::read(&self.set[self.sources[at].key], &mut [0])),
            6 => drain(&self.set[self.sources[at].key]),
            // Only a watched socket is filled. A UNIX stream socket that is filled while it sends no signals sends none
            // when there is space again, until another send finds a full buffer. This is a limit of the kernel, and
            // `rt_signal_facts` has a test for it.
            7 if self.sources[at].kind == Kind::Stream && !self.sources[at].interest.is_none() => {
                fill(&self.set[self.sources[at].key]);
            }
            8 => self.sources[at].peer.iter().for_each(drain),
            9 => self.peer_closes_a_half(at),
            10 => self.sources[at].peer = None,
            11 if self.duplicates.len() < SOURCES => {
                let duplicate = rustix::io::dup(&self.set[self.sources[at].key]);
                self.duplicates
                    .push(duplicate.map_err(|errno| format!("dup: {errno}"))?);
            }
            12 => drop(self.duplicates.pop()),
            13 => self.withdraw_with_the_event_in_the_batch(at)?,
            _ => {}
        }
        Ok(())
    }

    fn declare(&mut self, how: u8) -> Result<(), String> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let pair = |kind| rustix::net::socketpair(AddressFamily::UNIX, kind, flags, None);
        let interest = interest(how);
        let (kind, opened, interest) = match how >> 4 & 3 {
            0 | 1 => (Kind::Stream, pair(SocketType::STREAM), interest),
            // Whether a datagram socket is writable depends on its peer, and signals do not report that.
            2 => (Kind::Datagram, pair(SocketType::DGRAM), Interest::READABLE),
            _ => {
                let ends = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC);
                (Kind::Pipe, ends, Interest::READABLE)
            }
        };
        let (source, peer) = opened.map_err(|errno| format!("opening a source: {errno}"))?;
        if how & 0x80 != 0 {
            let _ = rustix::io::write(&peer, b"early");
        }
        self.insert(source, Some(peer), kind, interest)
    }

    fn insert(&mut self, fd: OwnedFd, peer: Option<OwnedFd>, kind: Kind, interest: Interest) -> Result<(), String> {
        let key = self
            .set
            .declare(fd, interest, self.trigger)
            .map_err(|declined| declined.to_string())?;
        let (reported, ever) = (Readiness::NONE, Readiness::NONE);
        self.sources.push(Source {
            key,
            interest,
            peer,
            kind,
            reported,
            ever,
            armed: true,
        });
        Ok(())
    }

    fn modify(&mut self, at: usize, how: u8) {
        let source = &mut self.sources[at];
        source.interest = if source.kind == Kind::Stream {
            interest(how)
        } else {
            Interest::READABLE
        };
        source.reported = Readiness::NONE;
        source.armed = true;
        self.set
            .modify(source.key, source.interest, self.trigger)
            .expect("a current source can be modified");
    }

    fn withdraw(&mut self, at: usize) -> Result<(Source, OwnedFd), String> {
        let source = self.sources.swap_remove(at);
        let fd = self.set.withdraw(source.key).map_err(|error| error.to_string())?;
        Ok((source, fd))
    }

    fn peer_writes(&mut self, at: usize) {
        let source = &self.sources[at];
        if let Some(peer) = &source.peer
            && rustix::io::write(peer, b"x").is_ok()
        {
            self.fresh = Some(source.key);
        }
    }

    fn peer_closes_a_half(&mut self, at: usize) {
        let source = &mut self.sources[at];
        match (&source.peer, source.kind) {
            (Some(peer), Kind::Stream) => drop(rustix::net::shutdown(peer, Shutdown::Write)),
            (_, Kind::Pipe) => source.peer = None,
            _ => {}
        }
    }

    /// Fetches a batch, withdraws a source, and checks that the rest of the batch has no event of it.
    fn withdraw_with_the_event_in_the_batch(&mut self, at: usize) -> Result<(), String> {
        self.set
            .next_events(&mut self.events, Some(Duration::ZERO))
            .map_err(|error| error.to_string())?;
        drop(self.withdraw(at)?);
        while let Some(event) = self.set.take(&mut self.events) {
            let source = self.sources.iter_mut().find(|source| source.key == event.key);
            let source = source.ok_or_else(|| format!("{event:?} belongs to a source that is not in the set"))?;
            source.record(readable_or_writable(event.readiness), 1, self.trigger)?;
        }
        Ok(())
    }

    /// Collects all events of the set, by key: the readiness, and the number of events.
    fn collect(&mut self) -> Result<HashMap<Key, (Readiness, usize)>, String> {
        let mut reported: HashMap<Key, (Readiness, usize)> = HashMap::new();
        loop {
            let count = self
                .set
                .next_events(&mut self.events, Some(Duration::ZERO))
                .map_err(|error| error.to_string())?;
            while let Some(event) = self.set.take(&mut self.events) {
                let (readiness, times) = reported.entry(event.key).or_default();
                *readiness |= readable_or_writable(event.readiness);
                *times += 1;
            }
            // With the level trigger this would never end. One batch has room for all sources.
            if count == 0 || self.trigger == Trigger::Level {
                return Ok(reported);
            }
        }
    }

    /// Polls all sources. Returns the readiness of each and updates the state that the oracle keeps.
    fn scan(&mut self) -> Vec<Readiness> {
        let asked = |source: &Source| PollEntry::new(self.set[source.key].as_fd(), POLLIN | POLLOUT | POLLRDHUP);
        let mut entries: Vec<_> = self.sources.iter().map(asked).collect();
        poll(&mut entries, Some(Duration::ZERO)).expect("poll(2)");
        let holds = |entry: &PollEntry| {
            let mut ready = Readiness::NONE;
            if entry.found() & (POLLIN | POLLHUP | POLLERR | POLLRDHUP) != 0 {
                ready |= Readiness::READABLE;
            }
            if entry.found() & (POLLOUT | POLLERR) != 0 {
                ready |= Readiness::WRITABLE;
            }
            ready
        };
        let mut found = Vec::new();
        for (source, holding) in self.sources.iter_mut().zip(entries.iter().map(holds)) {
            let wanted = both(holding, asked_for(source.interest));
            source.ever |= holding;
            source.reported = both(source.reported, wanted);
            found.push(wanted);
        }
        found
    }

    /// Compares the events of the set with the result of the scan.
    fn check(&mut self, found: &[Readiness]) -> Result<(), String> {
        if self.trigger == Trigger::Level {
            // The first wait may return only events that were already pending. The next wait reports the current state.
            let mut pending = self.collect()?;
            for source in &mut self.sources {
                let (reported, times) = pending.remove(&source.key).unwrap_or_default();
                source.record(reported, times, self.trigger)?;
            }
            none_left(&pending)?;
        }
        let mut now = self.collect()?;
        for (source, &found) in self.sources.iter_mut().zip(found) {
            let (reported, times) = now.remove(&source.key).unwrap_or_default();
            source.record(reported, times, self.trigger)?;
            source.compare(reported, found, self.trigger, self.fresh)?;
        }
        none_left(&now)
    }
}

fn none_left(reported: &HashMap<Key, (Readiness, usize)>) -> Result<(), String> {
    if reported.is_empty() {
        Ok(())
    } else {
        Err(format!("events with keys that are not current: {reported:?}"))
    }
}

impl Source {
    /// Records an event. Its readiness must have held at some time; a oneshot source may report once only.
    fn record(&mut self, reported: Readiness, times: usize, trigger: Trigger) -> Result<(), String> {
        if !self.ever.contains(reported) {
            return Err(format!("{:?} reported {reported:?}, which never held", self.key));
        }
        if trigger == Trigger::Oneshot && times > usize::from(self.armed) {
            return Err(format!(
                "{:?} reported {reported:?} {times} times, armed: {}",
                self.key, self.armed
            ));
        }
        self.armed &= times == 0;
        self.reported |= reported;
        Ok(())
    }

    /// Compares the reported readiness with the readiness that the scan found.
    fn compare(
        &self,
        reported: Readiness,
        found: Readiness,
        trigger: Trigger,
        fresh: Option<Key>,
    ) -> Result<(), String> {
        let key = self.key;
        match trigger {
            Trigger::Level if reported != found => {
                Err(format!("{key:?} reported {reported:?}, poll(2) finds {found:?}"))
            }
            Trigger::Edge if !self.reported.contains(found) => Err(format!(
                "{key:?} reported {:?} in total, poll(2) finds {found:?}",
                self.reported
            )),
            Trigger::Edge if fresh == Some(key) && found.is_readable() && !reported.is_readable() => {
                Err(format!("{key:?} has new data and did not report it"))
            }
            Trigger::Oneshot if self.armed && !found.is_none() => {
                Err(format!("{key:?} is armed and did not report {found:?}"))
            }
            _ => Ok(()),
        }
    }
}

fn interest(how: u8) -> Interest {
    match how & 7 {
        0..=2 => Interest::READABLE,
        3 => Interest::WRITABLE,
        4 => Interest::NONE,
        _ => Interest::READABLE | Interest::WRITABLE,
    }
}

/// The readiness that an interest asks for.
fn asked_for(interest: Interest) -> Readiness {
    [
        (Interest::READABLE, Readiness::READABLE),
        (Interest::WRITABLE, Readiness::WRITABLE),
    ]
    .into_iter()
    .filter(|(asked, _)| interest.contains(*asked))
    .fold(Readiness::NONE, |sum, (_, answer)| sum | answer)
}

/// The bits of a readiness that an interest can ask for.
fn readable_or_writable(reported: Readiness) -> Readiness {
    both(reported, Readiness::READABLE | Readiness::WRITABLE)
}

fn both(a: Readiness, b: Readiness) -> Readiness {
    [Readiness::READABLE, Readiness::WRITABLE]
        .into_iter()
        .filter(|&bit| a.contains(bit) && b.contains(bit))
        .fold(Readiness::NONE, |sum, bit| sum | bit)
}

fn drain(fd: impl AsFd) {
    let mut buffer = [0; 65_536];
    while rustix::io::read(&fd, &mut buffer).is_ok_and(|count| count > 0) {}
}

/// Writes until the socket is full or closed.
fn fill(fd: impl AsFd) {
    use rustix::net::{SendFlags, send};
    while let Ok(_) | Err(Errno::INTR) = send(&fd, &[0; 16_384], SendFlags::NOSIGNAL) {}
    debug_assert!(rustix::fs::fcntl_getfl(&fd).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK)));
}
