//! One connection of a blocking model: the request machine on a socket whose calls wait.
//!
//! The calls are `recvfrom` and `sendto` and nothing else per request: deadlines are the socket's own time limits, set
//! anew only when what the connection waits for changes, and a stop interrupts the call that it finds
//! ([`Roster`](crate::roster::Roster)).

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use c10k_http::{Date, Ending, Host, Machine, Output, Phase, Stage, Step};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown};

use crate::clock::{Clock, spin};
use crate::config::Deadlines;
use crate::files;
use crate::ledger::Ledger;
use crate::tally::Tally;
use crate::{Config, Root};

const INPUT: usize = 16 * 1024;

/// How long a connection without a request is kept at the beginning of a drain: one may be on its way.
const GRACE: Duration = Duration::from_millis(250);

/// Serves connections, one after the other.
#[derive(Debug)]
pub(crate) struct Clerk {
    host: Host,
    root: Option<Root>,
    output: Output,
    pub(crate) tally: Tally,
    clock: Clock,
    deadlines: Deadlines,
    input: Box<[u8]>,
    ledger: Arc<Ledger>,
    worker: usize,
}

/// A conversation in progress.
struct Conversation {
    socket: OwnedFd,
    machine: Machine,
    /// The file of which something is unsent.
    file: Option<OwnedFd>,
    phase: Phase,
    /// When a head or a body must be whole.
    deadline: Instant,
    /// The time limit that the socket has for reading.
    limit: Duration,
}

/// Why a conversation is over.
enum Over {
    /// Nothing more can be said.
    Now,
    /// The client may still be sending.
    Linger,
}

impl Clerk {
    pub(crate) fn new(config: &Config, ledger: Arc<Ledger>, worker: usize) -> Clerk {
        let mut clock = Clock::new();
        let date = clock.refresh().unwrap_or(Date::from_unix(0));
        Clerk {
            host: config.host(date),
            root: config.root.clone(),
            output: Output::default(),
            tally: Tally::default(),
            clock,
            deadlines: config.deadlines,
            input: vec![0; INPUT].into_boxed_slice(),
            ledger,
            worker,
        }
    }

    /// Serves a connection to its end, closes it and reports.
    pub(crate) fn serve(&mut self, socket: OwnedFd) {
        let mut conversation = Conversation {
            socket,
            machine: Machine::new(),
            file: None,
            phase: Phase::Idle,
            deadline: Instant::now(),
            limit: Duration::ZERO,
        };
        self.tally.calls.setsockopt += 1;
        let patience = Some(self.deadlines.send);
        let limited = set_socket_timeout(&conversation.socket, Timeout::Send, patience);
        if limited.is_ok() && matches!(self.converse(&mut conversation), Over::Linger) {
            self.linger(&mut conversation);
        }
        drop(conversation);
        self.output.bytes.clear();
        self.tally.calls.close += 1;
        self.ledger.closed();
        self.report();
    }

    /// Adds what was counted to the ledger.
    pub(crate) fn report(&mut self) {
        self.tally.requests += std::mem::take(&mut self.output.requests);
        self.tally.refused += std::mem::take(&mut self.output.refused);
        self.ledger.absorb(self.worker, &mut self.tally);
    }

    fn converse(&mut self, conversation: &mut Conversation) -> Over {
        let mut step = Step::Read;
        loop {
            if matches!(step, Step::Read | Step::Write | Step::Close(_)) && self.flush(conversation).is_err() {
                return Over::Now;
            }
            let taken = match step {
                Step::Read => {
                    self.report();
                    match self.read(conversation) {
                        Ok(taken) => taken,
                        Err(over) => return over,
                    }
                }
                Step::Write => 0,
                Step::Work(time) => {
                    spin(time);
                    0
                }
                Step::Stats => {
                    self.report();
                    let body = serde_json::to_vec(&self.ledger.summary()).unwrap_or_default();
                    conversation.machine.answer_stats(&body, &self.host, &mut self.output);
                    0
                }
                Step::Open => {
                    step = self.open_file(conversation);
                    continue;
                }
                Step::Close(Ending::Agreed) => return Over::Now,
                Step::Close(Ending::Lingering) => return Over::Linger,
            };
            if let Some(date) = self.clock.refresh() {
                self.host.date = date;
            }
            if self.ledger.is_stopping() {
                self.host.stage = Stage::Draining;
            }
            let requests = self.output.requests;
            step = conversation
                .machine
                .feed(&self.input[..taken], &self.host, &mut self.output);
            conversation.enter(
                conversation.machine.phase(),
                self.output.requests > requests,
                &self.deadlines,
            );
        }
    }

    /// Opens the file that is asked for, and has the machine answer.
    fn open_file(&mut self, conversation: &mut Conversation) -> Step {
        let (step, file) = files::answer(
            &mut conversation.machine,
            self.root.as_ref(),
            &self.host,
            &mut self.output,
            &mut self.tally,
        );
        conversation.file = file;
        conversation.enter(conversation.machine.phase(), true, &self.deadlines);
        step
    }

    /// Waits for input; more than 0 bytes of it.
    fn read(&mut self, conversation: &mut Conversation) -> Result<usize, Over> {
        let mut grace = None;
        loop {
            if self.ledger.is_stopping() && conversation.phase == Phase::Idle {
                let end = *grace.get_or_insert_with(|| Instant::now() + GRACE);
                if Instant::now() >= end {
                    return Err(Over::Linger);
                }
            }
            // Bytes that trickle in keep the socket's own time limit from ever being reached.
            let partial = matches!(conversation.phase, Phase::Head | Phase::Body);
            if partial && Instant::now() >= conversation.deadline {
                return Err(self.give_up(conversation));
            }
            let patience = conversation.patience(grace, &self.deadlines);
            if patience != conversation.limit {
                conversation.limit = patience;
                self.tally.calls.setsockopt += 1;
                let limited = set_socket_timeout(&conversation.socket, Timeout::Recv, Some(patience));
                limited.map_err(|_| Over::Now)?;
            }
            self.tally.calls.recvfrom += 1;
            match recv(&conversation.socket, &mut *self.input, RecvFlags::empty()) {
                Ok((0, _)) => return Err(Over::Now),
                Ok((taken, _)) => return Ok(taken),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if grace.is_some() => return Err(Over::Linger),
                Err(Errno::AGAIN) => return Err(self.give_up(conversation)),
                Err(_) => return Err(Over::Now),
            }
        }
    }

    /// The deadline of a head, a body or an idle connection has passed.
    fn give_up(&mut self, conversation: &mut Conversation) -> Over {
        self.tally.timeouts += 1;
        let step = conversation.machine.give_up(&self.host, &mut self.output);
        match step {
            Step::Close(Ending::Lingering) if self.flush(conversation).is_ok() => Over::Linger,
            _ => Over::Now,
        }
    }

    /// Sends the output and the tail.
    fn flush(&mut self, conversation: &mut Conversation) -> Result<(), Errno> {
        let owed = std::mem::take(&mut self.output.replies);
        let fair_share = u128::from(self.deadlines.min_send_rate) * self.deadlines.send.as_millis() / 1000;
        let (mut sent, mut since_deadline, mut deadline) = (0, 0_u128, None);
        loop {
            let head = &self.output.bytes[sent..];
            let bytes = head.len() + conversation.machine.tail().len();
            let piece = conversation.machine.piece();
            if bytes == 0 && piece.is_none() {
                break;
            }
            let outcome = match (piece, &conversation.file) {
                (Some(piece), Some(file)) if bytes == 0 => {
                    self.tally.calls.sendfile += 1;
                    files::send(&conversation.socket, file, piece, usize::MAX)
                }
                _ => send_once(conversation, head, &mut self.tally),
            };
            match outcome {
                Ok(taken) => {
                    let whole = if bytes == 0 {
                        conversation.machine.piece_sent(taken);
                        conversation.machine.piece().is_none()
                    } else {
                        let of_head = taken.min(head.len());
                        sent += of_head;
                        conversation.machine.tail_sent(taken - of_head);
                        taken == bytes
                    };
                    since_deadline += taken as u128;
                    if whole {
                        continue;
                    }
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(errno),
            }
            // The call came back early: the time limit, a nudge, or a full buffer.
            let now = Instant::now();
            let end = *deadline.get_or_insert(now + self.deadlines.send);
            if now >= end {
                if since_deadline < fair_share.max(1) {
                    self.tally.timeouts += 1;
                    return Err(Errno::TIMEDOUT);
                }
                (since_deadline, deadline) = (0, None);
            }
        }
        if !conversation.machine.needs_file() {
            conversation.file = None;
        }
        self.output.bytes.clear();
        self.tally.replies += owed;
        Ok(())
    }

    /// Drops input until its end, for a while.
    fn linger(&mut self, conversation: &mut Conversation) {
        self.tally.calls.shutdown += 1;
        // Refused only where the connection is gone already, which the next read tells as well.
        let _ = shutdown(&conversation.socket, Shutdown::Write);
        let end = Instant::now() + self.deadlines.linger;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || set_socket_timeout(&conversation.socket, Timeout::Recv, Some(left)).is_err() {
                return;
            }
            self.tally.calls.setsockopt += 1;
            self.tally.calls.recvfrom += 1;
            match recv(&conversation.socket, &mut *self.input, RecvFlags::empty()) {
                Ok((0, _)) => return,
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

impl Conversation {
    /// Begins another phase, or another request in the same one.
    fn enter(&mut self, phase: Phase, renewed: bool, deadlines: &Deadlines) {
        if phase == self.phase && !renewed {
            return;
        }
        self.phase = phase;
        match phase {
            Phase::Head => self.deadline = Instant::now() + deadlines.head,
            Phase::Body => self.deadline = Instant::now() + deadlines.body,
            Phase::Idle | Phase::Reply => {}
        }
    }

    /// How long the next read may take; never 0, which would be for ever.
    fn patience(&self, grace: Option<Instant>, deadlines: &Deadlines) -> Duration {
        const LEAST: Duration = Duration::from_millis(1);
        let until = |end: Instant| end.saturating_duration_since(Instant::now()).max(LEAST);
        match (self.phase, grace) {
            (Phase::Head | Phase::Body, _) => until(self.deadline),
            (_, Some(end)) => until(end),
            (_, None) => deadlines.idle.max(LEAST),
        }
    }
}

fn send_once(conversation: &Conversation, head: &[u8], tally: &mut Tally) -> Result<usize, Errno> {
    let (socket, tail) = (&conversation.socket, conversation.machine.tail());
    if tail.is_empty() || head.is_empty() {
        tally.calls.sendto += 1;
        let bytes = if head.is_empty() { tail } else { head };
        return send(socket, bytes, files::flags(conversation.machine.piece()));
    }
    tally.calls.sendmsg += 1;
    let both = [IoSlice::new(head), IoSlice::new(tail)];
    sendmsg(socket, &both, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)
}
