//! A server and its connections, simulated in virtual time.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;

use c10k_event::Readiness;

use crate::accounting::failure::Failure;
use crate::accounting::request_stats::RequestStats;
use crate::accounting::session_stats::SessionStats;
use crate::accounting::traffic::Traffic;
use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::world::{Link, ReadResult, World};
use crate::plan::{LoadPlan, Target};
use crate::schedule::thread_share::ThreadShare;
use crate::schedule::timetable::{Timetable, Window};

/// What the scripted server does when it receives a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OnRequest {
    /// Sends these bytes `after_ns` later.
    Reply { after_ns: u64, bytes: Vec<u8> },
    /// Sends these bytes `after_ns` later and closes the connection.
    ReplyAndClose { after_ns: u64, bytes: Vec<u8> },
    /// Resets the connection `after_ns` later.
    Reset { after_ns: u64 },
    /// Never replies.
    Silence,
}

/// What the scripted server does with a connect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum OnConnect {
    At(u64),
    AtOnce,
    Refuse { after_ns: u64 },
    RefuseAtOnce,
    Never,
}

/// What the server does with connect n, and with request n, which arrives at an instant.
pub(super) struct Script {
    pub(super) on_connect: Box<dyn FnMut(u64) -> OnConnect>,
    pub(super) on_request: Box<dyn FnMut(u64, Moment) -> OnRequest>,
}

/// A reply with a body of `length` bytes.
pub(super) fn reply(length: usize) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}",
        "x".repeat(length)
    )
    .into_bytes()
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum WorldEvent {
    Connected,
    Refused,
    Bytes(Vec<u8>),
    Room,
    Closed,
    Reset,
}

#[derive(Default)]
struct Connection {
    serial: u64,
    is_open: bool,
    /// Received bytes of an incomplete request.
    received: Vec<u8>,
    /// Whether it accepts no bytes at the moment.
    is_full: bool,
    unread: VecDeque<u8>,
    end: Option<Result<(), Failure>>,
    connect: Option<Result<(), Failure>>,
}

/// The time, a number that keeps the order, the slot, the serial number of the connection, and the event.
type Queued = Reverse<(u64, u64, u32, u64, WorldEvent)>;

/// The simulated world. Events happen only in [`VirtualWorld::advance`].
pub(super) struct VirtualWorld {
    now: Rc<Cell<u64>>,
    script: Script,
    /// The bytes of every request; `None` for a mix.
    request: Option<Vec<u8>>,
    /// The requests of a mix that were received.
    received: Vec<Vec<u8>>,
    /// The maximum number of bytes that a write accepts.
    write_max: usize,
    connects: u64,
    requests: u64,
    connections: Vec<Connection>,
    queue: BinaryHeap<Queued>,
    order: u64,
    open: i64,
}

impl VirtualWorld {
    fn new(script: Script, target: &Target, write_max: usize, now: Rc<Cell<u64>>) -> Self {
        Self {
            now,
            script,
            request: (!target.is_mix).then(|| target.test_request()),
            received: Vec::new(),
            write_max,
            connects: 0,
            requests: 0,
            connections: Vec::new(),
            queue: BinaryHeap::new(),
            order: 0,
            open: 0,
        }
    }

    fn later(&mut self, after_ns: u64, slot: u32, event: WorldEvent) {
        let serial = self.connections[slot as usize].serial;
        self.order += 1;
        self.queue
            .push(Reverse((self.now.get() + after_ns, self.order, slot, serial, event)));
    }

    fn next(&self) -> Option<Moment> {
        self.queue.peek().map(|Reverse((at, ..))| Moment(*at))
    }

    /// Takes the first request of these bytes, if it is complete.
    fn take_request(&mut self, slot: u32) -> bool {
        let bytes = &mut self.connections[slot as usize].received;
        let Some(length) = length_of_request(bytes).filter(|&length| length <= bytes.len()) else {
            return false;
        };
        let request: Vec<u8> = bytes.drain(..length).collect();
        match &self.request {
            Some(expected) => assert_eq!(&request, expected, "these are not the bytes of a request"),
            None => self.received.push(request),
        }
        true
    }

    /// The slot and readiness of the next event that has happened by now.
    fn advance(&mut self) -> Option<(u32, Readiness)> {
        loop {
            self.next().filter(|at| at.0 <= self.now.get())?;
            let Reverse((_, _, slot, serial, event)) = self.queue.pop()?;
            let connection = &mut self.connections[slot as usize];
            if connection.serial != serial || !connection.is_open {
                continue;
            }
            let readiness = match event {
                WorldEvent::Connected => {
                    connection.connect = Some(Ok(()));
                    Readiness::WRITABLE
                }
                WorldEvent::Refused => {
                    connection.connect = Some(Err(Failure::ConnectionRefused));
                    Readiness::ERROR
                }
                WorldEvent::Bytes(bytes) => {
                    connection.unread.extend(bytes);
                    Readiness::READABLE
                }
                WorldEvent::Room => {
                    connection.is_full = false;
                    Readiness::WRITABLE
                }
                WorldEvent::Closed => {
                    connection.end = Some(Ok(()));
                    Readiness::READABLE | Readiness::READ_CLOSED
                }
                WorldEvent::Reset => {
                    connection.end = Some(Err(Failure::ConnectionReset));
                    Readiness::READABLE | Readiness::ERROR
                }
            };
            return Some((slot, readiness));
        }
    }
}

/// The length of the request at the start of these bytes: its head, and the body whose length the head states.
fn length_of_request(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).expect("a head is text");
    let body = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    Some(head + body.map_or(0, |length| length.parse().expect("a length")))
}

impl World for VirtualWorld {
    fn now(&self) -> Moment {
        Moment(self.now.get())
    }

    fn connect(&mut self, slot: u32) -> Result<Link, Failure> {
        let index = slot as usize;
        if self.connections.len() <= index {
            self.connections.resize_with(index + 1, Connection::default);
        }
        assert!(!self.connections[index].is_open, "slot {slot} is connected twice");
        let on_connect = (self.script.on_connect)(self.connects);
        self.connects += 1;
        if on_connect == OnConnect::RefuseAtOnce {
            return Err(Failure::ConnectionRefused);
        }
        let serial = self.connections[index].serial + 1;
        self.connections[index] = Connection {
            serial,
            is_open: true,
            ..Connection::default()
        };
        self.open += 1;
        match on_connect {
            OnConnect::AtOnce => return Ok(Link::Connected),
            OnConnect::At(after_ns) => self.later(after_ns, slot, WorldEvent::Connected),
            OnConnect::Refuse { after_ns } => self.later(after_ns, slot, WorldEvent::Refused),
            OnConnect::Never | OnConnect::RefuseAtOnce => {}
        }
        Ok(Link::Connecting)
    }

    fn connected(&mut self, slot: u32) -> Result<(), Failure> {
        self.connections[slot as usize]
            .connect
            .expect("the result is not known yet")
    }

    fn write(&mut self, slot: u32, bytes: &[u8]) -> Result<usize, Failure> {
        let connection = &mut self.connections[slot as usize];
        assert!(connection.is_open, "write to a slot without a connection");
        if let Some(Err(failure)) = connection.end {
            return Err(failure);
        }
        if connection.is_full {
            return Ok(0);
        }
        let taken = bytes.len().min(self.write_max);
        connection.received.extend_from_slice(&bytes[..taken]);
        connection.is_full = taken < bytes.len();
        if connection.is_full {
            self.later(1, slot, WorldEvent::Room);
        }
        while self.take_request(slot) {
            let on_request = (self.script.on_request)(self.requests, Moment(self.now.get()));
            self.requests += 1;
            match on_request {
                OnRequest::Reply { after_ns, bytes } => self.later(after_ns, slot, WorldEvent::Bytes(bytes)),
                OnRequest::ReplyAndClose { after_ns, bytes } => {
                    self.later(after_ns, slot, WorldEvent::Bytes(bytes));
                    self.later(after_ns, slot, WorldEvent::Closed);
                }
                OnRequest::Reset { after_ns } => self.later(after_ns, slot, WorldEvent::Reset),
                OnRequest::Silence => {}
            }
        }
        Ok(taken)
    }

    fn read(&mut self, slot: u32, buffer: &mut [u8]) -> Result<ReadResult, Failure> {
        let connection = &mut self.connections[slot as usize];
        assert!(connection.is_open, "read from a slot without a connection");
        let length = connection.unread.len().min(buffer.len());
        if length > 0 {
            connection
                .unread
                .drain(..length)
                .zip(buffer)
                .for_each(|(byte, place)| *place = byte);
            return Ok(ReadResult::Bytes(length));
        }
        match connection.end {
            None => Ok(ReadResult::WouldBlock),
            Some(Ok(())) => Ok(ReadResult::Closed),
            Some(Err(failure)) => Err(failure),
        }
    }

    fn close(&mut self, slot: u32) {
        let connection = &mut self.connections[slot as usize];
        assert!(connection.is_open, "close of a slot without a connection");
        connection.is_open = false;
        self.open -= 1;
    }
}

/// The results of a simulated run.
pub(super) struct Played {
    pub(super) stats: RequestStats,
    pub(super) traffic: Traffic,
    pub(super) sessions: Option<SessionStats>,
    /// The number of connects.
    pub(super) connects: u64,
    /// The number of open connections at the end.
    pub(super) open: i64,
    /// The requests of a mix, in the order in which the server received them.
    pub(super) received: Vec<Vec<u8>>,
}

/// Simulates a whole run. The generator is never late, because time passes only while it waits.
pub(super) fn play(plan: &LoadPlan, script: Script) -> Played {
    play_until(plan, script, None)
}

/// Like [`play`], but a stop is requested `stop_ns` after the start.
pub(super) fn play_until(plan: &LoadPlan, script: Script, stop_ns: Option<u64>) -> Played {
    play_through(plan, script, stop_ns, usize::MAX)
}

/// Like [`play_until`], but a write accepts at most `write_max` bytes.
pub(super) fn play_through(plan: &LoadPlan, script: Script, stop_ns: Option<u64>, write_max: usize) -> Played {
    let share = ThreadShare { thread: 0, threads: 1 };
    play_share(plan, share, script, stop_ns, write_max)
}

/// Like [`play_through`], for one of several threads, each of which has a server of its own.
pub(super) fn play_share(
    plan: &LoadPlan,
    share: ThreadShare,
    script: Script,
    stop_ns: Option<u64>,
    write_max: usize,
) -> Played {
    const START: u64 = 1_000_000_000;
    let now = Rc::new(Cell::new(START));
    let world = VirtualWorld::new(script, &plan.target, write_max, Rc::clone(&now));
    let mut engine = Engine::new(plan, share, world);
    play_window(plan, &mut engine, &now, plan.seed, stop_ns)
}

/// Simulates two windows over the same connections, with a pause between them in which time passes and events wait.
pub(super) fn play_windows(plan: &LoadPlan, script: Script, pause_ns: u64) -> [Played; 2] {
    let now = Rc::new(Cell::new(1_000_000_000));
    let world = VirtualWorld::new(script, &plan.target, usize::MAX, Rc::clone(&now));
    let mut engine = Engine::new(plan, ThreadShare { thread: 0, threads: 1 }, world);
    let first = play_window(plan, &mut engine, &now, plan.seed, None);
    now.set(now.get() + pause_ns);
    [first, play_window(plan, &mut engine, &now, plan.seed + 1, None)]
}

fn play_window(
    plan: &LoadPlan,
    engine: &mut Engine<'_, VirtualWorld>,
    now: &Cell<u64>,
    seed: u64,
    stop_ns: Option<u64>,
) -> Played {
    let start = now.get();
    let mut timetable = Timetable::new(plan, Moment(start));
    let mut stop = stop_ns.map(|after| Moment(start + after));
    engine.start(Window { timetable, seed });
    // A run ends at the latest one time limit after its schedule.
    let last = timetable.end.after(plan.timeout).after_ns(1);
    loop {
        if stop.take_if(|at| at.0 <= now.get()).is_some() && now.get() < timetable.end.0 {
            timetable = timetable.cut(Moment(now.get()));
            engine.cut(timetable);
        }
        engine.step();
        while let Some((slot, readiness)) = engine.world_mut().advance() {
            engine.event(slot, readiness);
        }
        if engine.is_drained() && now.get() >= timetable.end.0 {
            break;
        }
        assert!(now.get() <= last.0, "the run does not end");
        if engine.is_busy() {
            // Time must pass in a closed loop against a server that answers at once.
            now.set(now.get() + 1);
            continue;
        }
        let edge = Some(timetable.end).filter(|end| end.0 > now.get());
        let wakes = [
            engine.next_due(),
            engine.next_deadline(),
            engine.world_mut().next(),
            edge,
            stop,
        ];
        let wake = wakes.into_iter().flatten().min().expect("something is still to come");
        now.set(now.get().max(wake.0));
    }
    Played {
        stats: engine.stats().clone(),
        traffic: engine.traffic().clone(),
        sessions: engine.sessions().cloned(),
        connects: engine.world_mut().connects,
        open: engine.world_mut().open,
        received: std::mem::take(&mut engine.world_mut().received),
    }
}
