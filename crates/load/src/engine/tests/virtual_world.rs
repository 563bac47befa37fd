//! Connections and a server in virtual time.

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
use crate::plan::LoadPlan;
use crate::schedule::thread_share::ThreadShare;
use crate::schedule::timetable::Timetable;

/// What the scripted server does with one request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reaction {
    /// Sends these bytes so long after the request came.
    Reply { after_ns: u64, bytes: Vec<u8> },
    /// Sends these bytes and closes.
    ReplyAndClose { after_ns: u64, bytes: Vec<u8> },
    /// Resets the connection.
    Reset { after_ns: u64 },
    /// Nothing, for ever.
    Silence,
}

/// What the scripted server does with one connect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Welcome {
    At(u64),
    AtOnce,
    Refuse { after_ns: u64 },
    RefuseAtOnce,
    Never,
}

/// The server: its decisions for the n-th connect and the n-th request, at the instant they come.
pub(super) struct Script {
    pub(super) on_connect: Box<dyn FnMut(u64) -> Welcome>,
    pub(super) on_request: Box<dyn FnMut(u64, Moment) -> Reaction>,
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
enum Happening {
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
    /// Bytes of a request that has not come whole.
    received: usize,
    /// Whether it takes nothing for now.
    is_full: bool,
    inbox: VecDeque<u8>,
    end: Option<Result<(), Failure>>,
    connect: Option<Result<(), Failure>>,
}

/// When, a number that keeps the order, slot, serial number of the connection, what.
type Queued = Reverse<(u64, u64, u32, u64, Happening)>;

/// The world: nothing passes but what [`VirtualWorld::advance`] lets pass.
pub(super) struct VirtualWorld {
    now: Rc<Cell<u64>>,
    script: Script,
    /// What every request is.
    request: Vec<u8>,
    /// Bytes that a connection takes at once.
    gulp: usize,
    connects: u64,
    requests: u64,
    connections: Vec<Connection>,
    queue: BinaryHeap<Queued>,
    order: u64,
    open: i64,
}

impl VirtualWorld {
    fn new(script: Script, request: Vec<u8>, gulp: usize, now: Rc<Cell<u64>>) -> Self {
        Self {
            now,
            script,
            request,
            gulp,
            connects: 0,
            requests: 0,
            connections: Vec::new(),
            queue: BinaryHeap::new(),
            order: 0,
            open: 0,
        }
    }

    fn later(&mut self, after_ns: u64, slot: u32, happening: Happening) {
        let serial = self.connections[slot as usize].serial;
        self.order += 1;
        self.queue.push(Reverse((
            self.now.get() + after_ns,
            self.order,
            slot,
            serial,
            happening,
        )));
    }

    fn next(&self) -> Option<Moment> {
        self.queue.peek().map(|Reverse((at, ..))| Moment(*at))
    }

    /// The slot and readiness of the next thing that has happened by now.
    fn advance(&mut self) -> Option<(u32, Readiness)> {
        loop {
            self.next().filter(|at| at.0 <= self.now.get())?;
            let Reverse((_, _, slot, serial, happening)) = self.queue.pop()?;
            let connection = &mut self.connections[slot as usize];
            if connection.serial != serial || !connection.is_open {
                continue;
            }
            let readiness = match happening {
                Happening::Connected => {
                    connection.connect = Some(Ok(()));
                    Readiness::WRITABLE
                }
                Happening::Refused => {
                    connection.connect = Some(Err(Failure::ConnectionRefused));
                    Readiness::ERROR
                }
                Happening::Bytes(bytes) => {
                    connection.inbox.extend(bytes);
                    Readiness::READABLE
                }
                Happening::Room => {
                    connection.is_full = false;
                    Readiness::WRITABLE
                }
                Happening::Closed => {
                    connection.end = Some(Ok(()));
                    Readiness::READABLE | Readiness::READ_CLOSED
                }
                Happening::Reset => {
                    connection.end = Some(Err(Failure::ConnectionReset));
                    Readiness::READABLE | Readiness::ERROR
                }
            };
            return Some((slot, readiness));
        }
    }
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
        let welcome = (self.script.on_connect)(self.connects);
        self.connects += 1;
        if welcome == Welcome::RefuseAtOnce {
            return Err(Failure::ConnectionRefused);
        }
        let serial = self.connections[index].serial + 1;
        self.connections[index] = Connection {
            serial,
            is_open: true,
            ..Connection::default()
        };
        self.open += 1;
        match welcome {
            Welcome::AtOnce => return Ok(Link::Connected),
            Welcome::At(after_ns) => self.later(after_ns, slot, Happening::Connected),
            Welcome::Refuse { after_ns } => self.later(after_ns, slot, Happening::Refused),
            Welcome::Never | Welcome::RefuseAtOnce => {}
        }
        Ok(Link::Connecting)
    }

    fn connected(&mut self, slot: u32) -> Result<(), Failure> {
        self.connections[slot as usize]
            .connect
            .expect("asked before anything was known")
    }

    fn write(&mut self, slot: u32, bytes: &[u8]) -> Result<usize, Failure> {
        let connection = &mut self.connections[slot as usize];
        assert!(connection.is_open, "written to a slot without connection");
        if let Some(Err(failure)) = connection.end {
            return Err(failure);
        }
        if connection.is_full {
            return Ok(0);
        }
        let taken = bytes.len().min(self.gulp);
        let wanted = self.request.iter().cycle().skip(connection.received);
        assert!(bytes[..taken].iter().eq(wanted.take(taken)), "not a request: {bytes:?}");
        connection.received += taken;
        connection.is_full = taken < bytes.len();
        if connection.is_full {
            self.later(1, slot, Happening::Room);
        }
        while self.connections[slot as usize].received >= self.request.len() {
            self.connections[slot as usize].received -= self.request.len();
            let reaction = (self.script.on_request)(self.requests, Moment(self.now.get()));
            self.requests += 1;
            match reaction {
                Reaction::Reply { after_ns, bytes } => self.later(after_ns, slot, Happening::Bytes(bytes)),
                Reaction::ReplyAndClose { after_ns, bytes } => {
                    self.later(after_ns, slot, Happening::Bytes(bytes));
                    self.later(after_ns, slot, Happening::Closed);
                }
                Reaction::Reset { after_ns } => self.later(after_ns, slot, Happening::Reset),
                Reaction::Silence => {}
            }
        }
        Ok(taken)
    }

    fn read(&mut self, slot: u32, buffer: &mut [u8]) -> Result<ReadResult, Failure> {
        let connection = &mut self.connections[slot as usize];
        assert!(connection.is_open, "read from a slot without connection");
        let length = connection.inbox.len().min(buffer.len());
        if length > 0 {
            connection
                .inbox
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
        assert!(connection.is_open, "closed a slot without connection");
        connection.is_open = false;
        self.open -= 1;
    }
}

/// How a virtual run ended.
pub(super) struct Played {
    pub(super) stats: RequestStats,
    pub(super) traffic: Traffic,
    pub(super) sessions: Option<SessionStats>,
    /// Connects tried.
    pub(super) connects: u64,
    /// Connections open at the end.
    pub(super) open: i64,
}

/// Plays a whole run in virtual time. The generator is never late: time passes only while it waits.
pub(super) fn play(plan: &LoadPlan, script: Script) -> Played {
    play_until(plan, script, None)
}

/// The same, asked to stop so many nanoseconds after the start.
pub(super) fn play_until(plan: &LoadPlan, script: Script, stop_ns: Option<u64>) -> Played {
    play_through(plan, script, stop_ns, usize::MAX)
}

/// The same over connections that take no more than `gulp` bytes at once.
pub(super) fn play_through(plan: &LoadPlan, script: Script, stop_ns: Option<u64>, gulp: usize) -> Played {
    const START: u64 = 1_000_000_000;
    let now = Rc::new(Cell::new(START));
    let world = VirtualWorld::new(script, plan.target.request.clone(), gulp, Rc::clone(&now));
    let mut engine = Engine::new(plan, ThreadShare { thread: 0, threads: 1 }, world);
    let mut timetable = Timetable::new(plan, Moment(START));
    let mut stop = stop_ns.map(|after| Moment(START + after));
    engine.start(timetable);
    // No run lasts longer than its schedule and one time limit.
    let last = timetable.end.after(plan.timeout).after_ns(1);
    loop {
        if let Some(at) = stop.take_if(|at| at.0 <= now.get()) {
            timetable = timetable.cut(at);
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
            // A closed loop against a server that takes no time would stand still.
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
    }
}
