//! Scripts that drive a set and compare it, after every step, with a naive `poll(2)` over all sources.
//!
//! A script is a string of bytes, three per step, so a random generator, a fuzzer and a committed corpus can all
//! provide scripts. The sources are UNIX sockets, pipes and pseudo-terminals. The kernel updates their state within the call
//! that causes the change (for terminals the script waits until it has), so the set must report exactly the state that a
//! scan finds after the step: readable, writable, and the reasons if the mechanism reports all of them.

#[path = "terminal.rs"]
mod terminal;

use c10k_event::{
    DeclareError, Declined, Events, Interest, InterestSet, Key, Mechanism, Readiness, ReadinessDetail, Trigger,
    Unsupported,
};
use c10k_sys::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, PollEntry, poll};
use rustix::{
    io::Errno,
    net::{AddressFamily, SendFlags, Shutdown, SocketFlags, SocketType, send},
    pipe::PipeFlags,
};
use std::{
    collections::HashMap,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};
use terminal::Arrivals;

/// The maximum number of sources at a time.
const SOURCES: usize = 12;
/// How long a check waits for what must be reported. Only a failing script reaches this limit.
const HANG_TIMEOUT: Duration = Duration::from_secs(20);
/// The number of bytes of a step.
pub(crate) const STEP: usize = 3;

/// A bit in the first byte of a step: the set is not checked after the step, so events accumulate.
const UNCHECKED: u8 = 0x80;
/// The number of operations.
pub(crate) const OPERATIONS: u8 = 16;
/// A bit in the last byte of a declaration: the source is a terminal.
pub(crate) const TERMINAL: u8 = 0x08;

/// A declared source and the state that the oracle keeps for it.
struct Source {
    key: Key,
    interest: Interest,
    peer: Option<OwnedFd>,
    kind: Kind,
    /// Shows when what the peer of a terminal wrote has arrived.
    arrivals: Option<Arrivals>,
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
    Terminal,
}

struct Run {
    set: InterestSet<OwnedFd>,
    events: Events,
    trigger: Trigger,
    sources: Vec<Source>,
    duplicates: Vec<OwnedFd>,
    /// The source that received new data in this step.
    fresh: Option<Key>,
    /// The bits that are compared: readable, writable, and the reasons if the mechanism reports all of them.
    compared: Readiness,
    /// Whether the mechanism reports what the kernel signals, and refuses what it does not.
    needs_signals: bool,
    /// Whether the mechanism is AIO's. It refuses terminals, which have several wait queues, and a thread of the kernel
    /// completes some of its requests: the set reports a change soon after the step.
    completes_later: bool,
}

/// Runs a script on one mechanism with one trigger.
///
/// # Errors
/// What the set reported wrongly, and after which step.
pub(crate) fn run(mechanism: Mechanism, trigger: Trigger, script: &[u8]) -> Result<(), String> {
    let set = InterestSet::open(mechanism).map_err(|error| error.to_string())?;
    let events = Events::with_capacity(4 * SOURCES);
    let mut compared = Readiness::READABLE | Readiness::WRITABLE;
    if ReadinessDetail::ALL
        .iter()
        .all(|detail| mechanism.reports().contains(detail))
    {
        compared |= Readiness::READ_CLOSED | Readiness::WRITE_CLOSED | Readiness::ERROR;
    }
    let mut run = Run {
        set,
        events,
        trigger,
        sources: Vec::new(),
        duplicates: Vec::new(),
        fresh: None,
        compared,
        needs_signals: mechanism.signal_queue().is_some(),
        completes_later: mechanism.waits().contains(&"io_getevents"),
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
        if self.sources.is_empty() || operation.is_multiple_of(OPERATIONS) {
            return if self.sources.len() < SOURCES {
                self.declare(how)
            } else {
                Ok(())
            };
        }
        let at = which % self.sources.len();
        match operation % OPERATIONS {
            1 => self.modify(at, interest(how))?,
            2 => drop(self.withdraw(at)?),
            3 => {
                let interest = self.sources[at].interest;
                let (source, fd) = self.withdraw(at)?;
                self.insert(fd, source.peer, source.kind, source.arrivals, interest)?;
            }
            4 => self.peer_writes(at)?,
            5 => drop(rustix::io::read(&self.set[self.sources[at].key], &mut [0])),
            6 => drain(&self.set[self.sources[at].key]),
            7 if self.sources[at].kind == Kind::Stream => {
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
            14 => self.shut_down(at, how)?,
            15 => self.declare_a_duplicate(at, how)?,
            _ => {}
        }
        Ok(())
    }

    fn declare(&mut self, how: u8) -> Result<(), String> {
        if how & TERMINAL != 0 {
            return self.declare_a_terminal(how);
        }
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let pair = |kind| rustix::net::socketpair(AddressFamily::UNIX, kind, flags, None);
        let interest = interest(how);
        let (kind, opened, interest) = match how >> 4 & 3 {
            0 | 1 => (Kind::Stream, pair(SocketType::STREAM), interest),
            // Whether a datagram socket is writable depends on its peer too.
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
        self.insert(source, Some(peer), kind, None, interest)
    }

    fn declare_a_terminal(&mut self, how: u8) -> Result<(), String> {
        let Ok((controller, terminal)) = terminal::terminal_pair() else {
            return Ok(());
        };
        let (source, peer) = if how & 0x10 == 0 {
            (controller, terminal)
        } else {
            (terminal, controller)
        };
        let arrivals = Arrivals::of(&source)?;
        if how & 0x80 != 0 {
            arrivals.write(&peer, b"early")?;
        }
        self.insert(source, Some(peer), Kind::Terminal, Some(arrivals), Interest::READABLE)
    }

    /// Declares another descriptor of a source's open file.
    fn declare_a_duplicate(&mut self, at: usize, how: u8) -> Result<(), String> {
        let Source {
            key,
            kind,
            interest: shared,
            ..
        } = self.sources[at];
        if self.sources.len() == SOURCES || kind == Kind::Terminal {
            return Ok(());
        }
        // An open file sends its signals to one receiver, from one number.
        let is_refused = self.needs_signals && !shared.is_none();
        if self.needs_signals && !is_refused {
            return Ok(());
        }
        let duplicate = |fd: &OwnedFd| fd.try_clone().map_err(|error| format!("a duplicate: {error}"));
        let source = duplicate(&self.set[key])?;
        if is_refused {
            let declined = self.set.declare(source, Interest::READABLE, self.trigger);
            let error = declined.err().map(|declined| declined.error);
            let expected = self.refusal(Unsupported::SignalsInUse);
            return if error.as_ref() == Some(&expected) {
                Ok(())
            } else {
                Err(format!("a duplicate: {error:?} instead of {expected:?}"))
            };
        }
        let peer = self.sources[at].peer.as_ref().map(duplicate).transpose()?;
        let wanted = if kind == Kind::Stream {
            interest(how)
        } else {
            Interest::READABLE
        };
        self.insert(source, peer, kind, None, wanted)
    }

    fn refusal(&self, what: Unsupported) -> DeclareError {
        DeclareError::Unsupported {
            mechanism: self.set.mechanism().name(),
            what,
        }
    }

    /// Whether the mechanism may refuse such a source with this error: the kernel does not signal all that it is declared for,
    /// or does not watch it.
    fn may_refuse(&self, error: &DeclareError, kind: Kind, interest: Interest) -> bool {
        let what = match kind {
            Kind::Terminal if self.completes_later => Unsupported::FileWithSeveralQueues,
            Kind::Terminal if self.needs_signals => Unsupported::FileWithIncompleteSignals,
            Kind::Stream if self.needs_signals && interest.contains(Interest::WRITABLE) => {
                Unsupported::RoomWithoutSignals
            }
            _ => return false,
        };
        *error == self.refusal(what)
    }

    fn insert(
        &mut self,
        fd: OwnedFd,
        peer: Option<OwnedFd>,
        kind: Kind,
        arrivals: Option<Arrivals>,
        interest: Interest,
    ) -> Result<(), String> {
        let key = match self.set.declare(fd, interest, self.trigger) {
            Ok(key) => key,
            Err(Declined { error, source }) if self.may_refuse(&error, kind, interest) => {
                return if kind == Kind::Terminal || state_of(&source) & POLLOUT == 0 {
                    Ok(())
                } else {
                    Err(format!("{error}, but the source has room"))
                };
            }
            Err(declined) => return Err(declined.to_string()),
        };
        if kind == Kind::Terminal && (self.needs_signals || self.completes_later) && !interest.is_none() {
            return Err("a terminal was accepted".to_owned());
        }
        let (reported, ever) = (Readiness::NONE, Readiness::NONE);
        self.sources.push(Source {
            key,
            interest,
            peer,
            kind,
            arrivals,
            reported,
            ever,
            armed: true,
        });
        Ok(())
    }

    fn modify(&mut self, at: usize, interest: Interest) -> Result<(), String> {
        let Source { key, kind, .. } = self.sources[at];
        let interest = if kind == Kind::Stream {
            interest
        } else {
            Interest::READABLE
        };
        match self.set.modify(key, interest, self.trigger) {
            Ok(()) => {}
            Err(error) if self.may_refuse(&error, kind, interest) => {
                return if state_of(&self.set[key]) & POLLOUT == 0 {
                    Ok(())
                } else {
                    Err(format!("{error}, but the source has room"))
                };
            }
            Err(error) => return Err(error.to_string()),
        }
        let source = &mut self.sources[at];
        source.interest = interest;
        source.reported = Readiness::NONE;
        source.armed = true;
        Ok(())
    }

    /// Shuts the source itself down. Signals do not report that, so the source is armed again.
    fn shut_down(&mut self, at: usize, how: u8) -> Result<(), String> {
        let Source {
            key, kind, interest, ..
        } = self.sources[at];
        if !matches!(kind, Kind::Stream | Kind::Datagram) {
            return Ok(());
        }
        let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both][usize::from(how) % 3];
        // ENOTCONN if the peer is gone.
        let _ = rustix::net::shutdown(&self.set[key], how);
        if self.needs_signals {
            self.modify(at, interest)?;
        }
        Ok(())
    }

    fn withdraw(&mut self, at: usize) -> Result<(Source, OwnedFd), String> {
        let source = self.sources.swap_remove(at);
        let fd = self.set.withdraw(source.key).map_err(|error| error.to_string())?;
        Ok((source, fd))
    }

    fn peer_writes(&mut self, at: usize) -> Result<(), String> {
        let source = &self.sources[at];
        let Some(peer) = &source.peer else { return Ok(()) };
        let written = match (source.kind, &source.arrivals) {
            (Kind::Terminal, Some(arrivals)) => arrivals.write(peer, b"x")?,
            (Kind::Stream | Kind::Datagram, _) => send(peer, b"x", SendFlags::NOSIGNAL).is_ok(),
            _ => rustix::io::write(peer, b"x").is_ok(),
        };
        if written {
            self.fresh = Some(source.key);
        }
        Ok(())
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
            source.record(event.readiness, 1, self.trigger)?;
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
                *readiness |= event.readiness;
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
        let mut found = Vec::new();
        for (source, entry) in self.sources.iter_mut().zip(&entries) {
            let wanted = seen_by(source.interest, entry.found());
            source.ever |= readiness(entry.found());
            source.reported = both(source.reported, wanted);
            found.push(both(wanted, compared(self.compared, source.interest)));
        }
        found
    }

    /// Compares the events of the set with the result of the scan.
    fn check(&mut self, found: &[Readiness]) -> Result<(), String> {
        /// Waits that may report what held earlier: one returns only events that were fetched before, and one may return
        /// what the kernel noted when the source was last woken up.
        const OUTDATED: u32 = 2;
        let outdated = if self.trigger == Trigger::Level { OUTDATED } else { 0 };
        for _ in 0..outdated {
            let mut pending = self.collect()?;
            for source in &mut self.sources {
                let (reported, times) = pending.remove(&source.key).unwrap_or_default();
                source.record(reported, times, self.trigger)?;
            }
            none_left(&pending)?;
        }
        let until = Instant::now() + HANG_TIMEOUT;
        loop {
            let outcome = self.check_once(found)?;
            if outcome.is_ok() || !self.completes_later || Instant::now() > until {
                return outcome;
            }
            std::thread::yield_now();
        }
    }

    /// Returns the first difference between the events of the set and the result of the scan. What is wrong at any time is an
    /// error at once.
    fn check_once(&mut self, found: &[Readiness]) -> Result<Result<(), String>, String> {
        let mut outcome = Ok(());
        let mut now = self.collect()?;
        for (source, &found) in self.sources.iter_mut().zip(found) {
            let (reported, times) = now.remove(&source.key).unwrap_or_default();
            source.record(reported, times, self.trigger)?;
            let reported = both(reported, compared(self.compared, source.interest));
            outcome = outcome.and_then(|()| source.compare(reported, found, self.trigger, self.fresh));
        }
        none_left(&now)?;
        Ok(outcome)
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

/// The readiness that bits of `poll(2)` stand for.
fn readiness(bits: u16) -> Readiness {
    let all = [
        (Readiness::READABLE, POLLIN | POLLHUP | POLLERR | POLLRDHUP),
        (Readiness::WRITABLE, POLLOUT | POLLERR),
        (Readiness::READ_CLOSED, POLLRDHUP | POLLHUP),
        (Readiness::WRITE_CLOSED, POLLHUP),
        (Readiness::ERROR, POLLERR),
    ];
    all.into_iter()
        .filter(|(_, from)| bits & from != 0)
        .fold(Readiness::NONE, |sum, (readiness, _)| sum | readiness)
}

/// What a source with this interest sees of them: the reasons with every interest, but the peer's half-close only if it
/// waits for data.
fn seen_by(interest: Interest, bits: u16) -> Readiness {
    if interest.is_none() {
        return Readiness::NONE;
    }
    let mut visible = Readiness::READ_CLOSED | Readiness::WRITE_CLOSED | Readiness::ERROR;
    if interest.contains(Interest::WRITABLE) {
        visible |= Readiness::WRITABLE;
    }
    if interest.contains(Interest::READABLE) {
        both(readiness(bits), visible | Readiness::READABLE)
    } else {
        both(readiness(bits & !POLLRDHUP), visible)
    }
}

/// What is compared for a source with this interest: io_uring reports the peer's half-close without being asked.
fn compared(all: Readiness, interest: Interest) -> Readiness {
    if interest.contains(Interest::READABLE) {
        all
    } else {
        both(
            all,
            Readiness::READABLE | Readiness::WRITABLE | Readiness::WRITE_CLOSED | Readiness::ERROR,
        )
    }
}

fn both(a: Readiness, b: Readiness) -> Readiness {
    [
        Readiness::READABLE,
        Readiness::WRITABLE,
        Readiness::READ_CLOSED,
        Readiness::WRITE_CLOSED,
        Readiness::ERROR,
    ]
    .into_iter()
    .filter(|&bit| a.contains(bit) && b.contains(bit))
    .fold(Readiness::NONE, |sum, bit| sum | bit)
}

/// What `poll(2)` finds for one file.
fn state_of(fd: &OwnedFd) -> u16 {
    let mut entry = [PollEntry::new(fd.as_fd(), POLLIN | POLLOUT | POLLRDHUP)];
    poll(&mut entry, Some(Duration::ZERO)).expect("poll(2)");
    entry[0].found()
}

fn drain(fd: impl AsFd) {
    let mut buffer = [0; 65_536];
    while rustix::io::read(&fd, &mut buffer).is_ok_and(|count| count > 0) {}
}

/// Writes until the socket is full or closed.
fn fill(fd: impl AsFd) {
    while let Ok(_) | Err(Errno::INTR) = send(&fd, &[0; 16_384], SendFlags::NOSIGNAL) {}
}
