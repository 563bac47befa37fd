//! One connection of an event-driven model: the request machine on a socket that does not block.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use c10k_event::Interest;
use c10k_http::{Date, Ending, Host, Machine, Output, Piece, Stage, Step};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown};

use crate::clock::{Clock, TICK, Tick, spin};
use crate::config::Deadlines;
use crate::deadlines::Deadline;
use crate::files;
use crate::tally::Tally;
use crate::waiting::{self, Waiting};
use crate::{Config, Root};

/// The read buffer, shared by all connections of a worker.
const INPUT: usize = 64 * 1024;

/// Bytes read or written in one turn before the other connections have theirs.
const TURN: usize = 256 * 1024;

/// What the connections of one worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) host: Host,
    pub(crate) output: Output,
    pub(crate) tally: Tally,
    pub(crate) clock: Clock,
    pub(crate) deadlines: Deadlines,
    root: Option<Root>,
    input: Box<[u8]>,
}

impl Shared {
    pub(crate) fn new(config: &Config) -> Shared {
        let mut clock = Clock::new();
        let date = clock.refresh().unwrap_or(Date::from_unix(0));
        Shared {
            host: config.host(date),
            output: Output::default(),
            tally: Tally::default(),
            clock,
            deadlines: config.deadlines,
            root: config.root.clone(),
            input: vec![0; INPUT].into_boxed_slice(),
        }
    }

    /// Opens the file that a machine asks for, and has it answer.
    pub(crate) fn open_file(&mut self, machine: &mut Machine) -> (Step, Option<OwnedFd>) {
        files::answer(
            machine,
            self.root.as_ref(),
            &self.host,
            &mut self.output,
            &mut self.tally,
        )
    }

    /// Reads the clock.
    pub(crate) fn refresh(&mut self) {
        if let Some(date) = self.clock.refresh() {
            self.host.date = date;
        }
    }
}

/// What a turn ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing can be done before this.
    Wait(Interest),
    /// There is more to do; others first.
    Again,
    /// The counters are asked for: [`Connection::answer_stats`].
    Stats,
    /// The connection is over.
    Close,
}

/// What an event said about the end of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing: a short read empties the socket, and whatever comes later is another event.
    Data,
    /// It may have come with the data, and will not be told again.
    MaybeEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Open,
    /// Its sending half is closed; input is dropped.
    Lingering,
}

/// What became of an attempt to send all that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    Done,
    Blocked,
    /// The turn's budget is used up.
    Spent,
    Dead,
}

/// A connection over a socket of whatever type, as long as its calls do not wait.
#[derive(Debug)]
pub(crate) struct Connection<S = OwnedFd> {
    socket: S,
    machine: Machine,
    /// Output that the socket did not take; empty, and without memory, nearly always.
    unsent: Vec<u8>,
    /// The file of which something is unsent.
    file: Option<OwnedFd>,
    /// Replies of which something is unsent.
    owed: u64,
    pub(crate) deadline: Deadline,
    /// Bytes sent since the deadline was set.
    sent: u32,
    pub(crate) interest: Interest,
    waiting: Waiting,
    life: Life,
    told: Told,
}

impl<S: AsFd> AsFd for Connection<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<S: AsFd> Connection<S> {
    pub(crate) fn new(socket: S) -> Connection<S> {
        Connection {
            socket,
            machine: Machine::new(),
            unsent: Vec::new(),
            file: None,
            owed: 0,
            deadline: Deadline::default(),
            sent: 0,
            interest: Interest::READABLE,
            waiting: Waiting::New,
            life: Life::Open,
            told: Told::Data,
        }
    }

    /// Does all that can be done without waiting.
    pub(crate) fn turn(&mut self, told: Told, shared: &mut Shared) -> Verdict {
        if told == Told::MaybeEnd {
            self.told = told;
        }
        if self.life == Life::Lingering {
            return self.linger(shared);
        }
        let blocked = !self.unsent.is_empty() || self.machine.owes();
        self.go(if blocked { Step::Write } else { Step::Read }, shared)
    }

    /// Goes on after [`Verdict::Stats`].
    pub(crate) fn answer_stats(&mut self, body: &[u8], shared: &mut Shared) -> Verdict {
        self.machine.answer_stats(body, &shared.host, &mut shared.output);
        let step = self.machine.feed(&[], &shared.host, &mut shared.output);
        self.go(step, shared)
    }

    /// Sets the deadline that fits what the connection waits for now; whether it has to be scheduled.
    pub(crate) fn settle(&mut self, progress: Progress, shared: &Shared) {
        let waiting = self.waiting(shared.host.stage);
        let renewed = matches!(waiting, Waiting::Idle) || progress == Progress::Request;
        if waiting != self.waiting || renewed {
            self.waiting = waiting;
            self.sent = 0;
            self.deadline.at = shared.clock.now().after(waiting.patience(&shared.deadlines));
        }
    }

    /// How long until the deadline passes.
    pub(crate) fn time_left(&self, shared: &Shared) -> Duration {
        TICK * self.deadline.at.0.saturating_sub(shared.clock.now().0)
    }

    /// The deadline has passed.
    pub(crate) fn expire(&mut self, shared: &mut Shared) -> Verdict {
        match self.waiting {
            Waiting::Send if self.sent >= waiting::fair_share(&shared.deadlines) => {
                self.waiting = Waiting::New;
                Verdict::Wait(Interest::WRITABLE)
            }
            Waiting::Head | Waiting::Body => {
                shared.tally.timeouts += 1;
                let step = self.machine.give_up(&shared.host, &mut shared.output);
                self.go(step, shared)
            }
            Waiting::Grace => match self.turn(Told::MaybeEnd, shared) {
                Verdict::Wait(_) if self.waiting(shared.host.stage) == Waiting::Grace => self.start_linger(shared),
                verdict => verdict,
            },
            Waiting::Linger => Verdict::Close,
            Waiting::New | Waiting::Idle | Waiting::Send => {
                shared.tally.timeouts += 1;
                Verdict::Close
            }
        }
    }

    /// Since when, as its deadline tells it, the connection could be closed without harm to anything in progress; `None`
    /// where it could not, or has been idle for too short a time.
    pub(crate) fn spare_since(&self, shared: &Shared) -> Option<Tick> {
        let spare_before = shared
            .clock
            .now()
            .after(shared.deadlines.idle.saturating_sub(shared.deadlines.spare));
        (self.waiting == Waiting::Idle && self.deadline.at <= spare_before).then_some(self.deadline.at)
    }

    fn waiting(&self, stage: Stage) -> Waiting {
        if self.life == Life::Lingering {
            return Waiting::Linger;
        }
        if !self.unsent.is_empty() {
            return Waiting::Send;
        }
        Waiting::of(self.machine.phase(), stage)
    }

    fn go(&mut self, mut step: Step, shared: &mut Shared) -> Verdict {
        let mut budget = TURN;
        let mut emptied = false;
        loop {
            if matches!(step, Step::Read | Step::Write | Step::Close(_)) {
                match self.flush(&mut budget, shared) {
                    Flush::Done => {}
                    Flush::Blocked => return Verdict::Wait(Interest::WRITABLE),
                    Flush::Spent => return Verdict::Again,
                    Flush::Dead => return Verdict::Close,
                }
            }
            let taken = match step {
                Step::Read if emptied => return Verdict::Wait(Interest::READABLE),
                Step::Read if budget == 0 => return Verdict::Again,
                Step::Read => match self.read(shared) {
                    Ok(0) => return Verdict::Close,
                    Ok(taken) => {
                        emptied = taken < INPUT && self.told == Told::Data;
                        budget = budget.saturating_sub(taken);
                        taken
                    }
                    Err(Errno::AGAIN) => return Verdict::Wait(Interest::READABLE),
                    Err(_) => return Verdict::Close,
                },
                Step::Write => 0,
                Step::Work(time) => {
                    spin(time);
                    0
                }
                Step::Stats => return Verdict::Stats,
                Step::Open => {
                    (step, self.file) = shared.open_file(&mut self.machine);
                    continue;
                }
                Step::Close(Ending::Agreed) => return Verdict::Close,
                Step::Close(Ending::Lingering) => return self.start_linger(shared),
            };
            step = self
                .machine
                .feed(&shared.input[..taken], &shared.host, &mut shared.output);
        }
    }

    fn read(&self, shared: &mut Shared) -> Result<usize, Errno> {
        loop {
            shared.tally.calls.recvfrom += 1;
            match recv(&self.socket, &mut *shared.input, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Ok((taken, _)) => return Ok(taken),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Sends what is unsent, or the output, and then the tail. What the socket does not take is kept.
    fn flush(&mut self, budget: &mut usize, shared: &mut Shared) -> Flush {
        self.owed += std::mem::take(&mut shared.output.replies);
        let mut bytes = std::mem::take(&mut self.unsent);
        let from_output = bytes.is_empty();
        if from_output {
            bytes = std::mem::take(&mut shared.output.bytes);
        }
        let (sent, outcome) = self.send_all(&bytes, budget, shared);
        if sent < bytes.len() && outcome != Flush::Dead {
            if from_output {
                self.unsent.extend_from_slice(&bytes[sent..]);
            } else {
                bytes.drain(..sent);
                self.unsent = std::mem::take(&mut bytes);
            }
        }
        if from_output {
            bytes.clear();
            shared.output.bytes = bytes;
        }
        if outcome == Flush::Done {
            shared.tally.replies += std::mem::take(&mut self.owed);
        }
        outcome
    }

    /// Sends `bytes` and the tail; how much of `bytes` went.
    fn send_all(&mut self, bytes: &[u8], budget: &mut usize, shared: &mut Shared) -> (usize, Flush) {
        let mut sent = 0;
        loop {
            let head = &bytes[sent..];
            let tail = self.machine.tail();
            let piece = self.machine.piece();
            if head.is_empty() && tail.is_empty() && piece.is_none() {
                if !self.machine.needs_file() {
                    self.file = None;
                }
                return (sent, Flush::Done);
            }
            if *budget == 0 {
                return (sent, Flush::Spent);
            }
            let outcome = match (piece, &self.file) {
                (Some(piece), Some(file)) if head.is_empty() && tail.is_empty() => {
                    shared.tally.calls.sendfile += 1;
                    files::send(&self.socket, file, piece, TURN)
                        .inspect(|taken| self.machine.piece_sent(*taken))
                        .map(|taken| (taken, 0))
                }
                _ => self
                    .send_once(head, tail, piece, shared)
                    .map(|taken| (taken, taken.min(head.len()))),
            };
            match outcome {
                Ok((taken, of_head)) => {
                    sent += of_head;
                    if piece.is_none() || !(head.is_empty() && tail.is_empty()) {
                        self.machine.tail_sent(taken - of_head);
                    }
                    self.sent = self.sent.saturating_add(u32::try_from(taken).unwrap_or(u32::MAX));
                    *budget = budget.saturating_sub(taken);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return (sent, Flush::Blocked),
                Err(_) => return (sent, Flush::Dead),
            }
        }
    }

    fn send_once(&self, head: &[u8], tail: &[u8], piece: Option<Piece>, shared: &mut Shared) -> Result<usize, Errno> {
        if tail.is_empty() || head.is_empty() {
            shared.tally.calls.sendto += 1;
            let bytes = if head.is_empty() { tail } else { head };
            return send(&self.socket, bytes, files::flags(piece));
        }
        shared.tally.calls.sendmsg += 1;
        let both = [IoSlice::new(head), IoSlice::new(tail)];
        sendmsg(
            &self.socket,
            &both,
            &mut SendAncillaryBuffer::default(),
            SendFlags::NOSIGNAL,
        )
    }

    fn start_linger(&mut self, shared: &mut Shared) -> Verdict {
        self.life = Life::Lingering;
        shared.tally.calls.shutdown += 1;
        // Refused only where the connection is gone already, which the next read tells as well.
        let _ = shutdown(&self.socket, Shutdown::Write);
        self.linger(shared)
    }

    /// Drops input until its end.
    fn linger(&mut self, shared: &mut Shared) -> Verdict {
        let mut budget = TURN;
        while budget > 0 {
            match self.read(shared) {
                Ok(0) => return Verdict::Close,
                Ok(taken) => budget = budget.saturating_sub(taken),
                Err(Errno::AGAIN) => return Verdict::Wait(Interest::READABLE),
                Err(_) => return Verdict::Close,
            }
        }
        Verdict::Again
    }
}

/// Whether a turn has received a request, so that the deadline of the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    None,
    Request,
}
