//! One connection on a non-blocking socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use c10k_event::Interest;
use c10k_http::{Ending, Step};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

use crate::context::WorkerContext;
use crate::core::{ConnectionCore, Expired, Output};
use crate::send::send_next;
use crate::spin::spin;
use crate::timeout::TimeoutKind;

/// The size of the read buffer, which all connections of a worker share.
pub(crate) const INPUT_BYTES: usize = 64 * 1024;

/// Bytes received or sent in one turn, before other connections have theirs.
const TURN_BYTES: usize = 256 * 1024;

/// What a driver has to do after a connection's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextAction {
    /// Wait for this.
    Wait(Interest),
    /// Give it another turn, after other connections have had theirs.
    Again,
    /// Call [`Connection::answer_stats`].
    Stats,
    /// Close it.
    Close,
}

/// What an event says about the end of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EofHint {
    /// Nothing. A short read empties the socket, and another event reports what comes later.
    None,
    /// The end may have come together with data, and no other event will report it.
    Possible,
}

/// What became of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    /// All of it was sent.
    Done,
    /// The socket takes no more.
    Blocked,
    /// The turn is over.
    TurnOver,
    /// The connection is gone.
    Gone,
}

/// A connection over a socket of any type, as long as its calls do not block.
#[derive(Debug)]
pub(crate) struct Connection<S = OwnedFd> {
    socket: S,
    core: ConnectionCore,
    /// Output that the socket did not take. Nearly always empty, and without memory.
    unsent: Vec<u8>,
    /// The file of which a part has not been sent.
    file: Option<OwnedFd>,
    /// What it waits for, or waited for last.
    pub(crate) interest: Interest,
    eof: EofHint,
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
            core: ConnectionCore::new(),
            unsent: Vec::new(),
            file: None,
            interest: Interest::READABLE,
            eof: EofHint::None,
        }
    }

    pub(crate) fn core(&self) -> &ConnectionCore {
        &self.core
    }

    pub(crate) fn core_mut(&mut self) -> &mut ConnectionCore {
        &mut self.core
    }

    /// Does all that can be done without waiting.
    pub(crate) fn turn(&mut self, hint: EofHint, worker: &mut WorkerContext) -> NextAction {
        if hint == EofHint::Possible {
            self.eof = hint;
        }
        if self.core.is_lingering() {
            return self.linger(worker);
        }
        self.proceed(if self.is_blocked() { Step::Write } else { Step::Read }, worker)
    }

    /// Whether it has output that the socket has not taken yet.
    fn is_blocked(&self) -> bool {
        !self.unsent.is_empty() || self.core.machine.owes()
    }

    /// What a connection waits for that is to have another turn ([`NextAction::Again`]), if the kernel is to say when.
    pub(crate) fn continues_when(&self) -> Interest {
        if self.is_blocked() && !self.core.is_lingering() {
            Interest::WRITABLE
        } else {
            Interest::READABLE
        }
    }

    /// Follows [`NextAction::Stats`].
    pub(crate) fn answer_stats(&mut self, worker: &mut WorkerContext) -> NextAction {
        let step = worker.answer_stats(&mut self.core);
        self.proceed(step, worker)
    }

    /// Sets the deadline for what the connection waits for now.
    #[inline]
    pub(crate) fn renew_deadline(&mut self, worker: &WorkerContext) {
        self.core.renew_deadline(self.output(), &worker.core);
    }

    /// The time until the deadline passes.
    pub(crate) fn time_left(&self, worker: &WorkerContext) -> Duration {
        self.core.time_left(&worker.core)
    }

    /// Does what follows a deadline that has passed.
    pub(crate) fn expire(&mut self, worker: &mut WorkerContext) -> NextAction {
        match self.core.expire(&mut worker.core) {
            Expired::Renewed => NextAction::Wait(Interest::WRITABLE),
            Expired::Refused(step) => self.proceed(step, worker),
            // The event of a last request may have been lost, so the socket is read once more.
            Expired::Linger => match self.turn(EofHint::Possible, worker) {
                NextAction::Wait(_) if self.core.awaits(self.output(), &worker.core) == TimeoutKind::Grace => {
                    self.start_linger(worker)
                }
                action => action,
            },
            Expired::Close => NextAction::Close,
        }
    }

    fn output(&self) -> Output {
        if self.unsent.is_empty() {
            Output::Sent
        } else {
            Output::Pending
        }
    }

    /// Takes a step and those that follow.
    fn proceed(&mut self, mut step: Step, worker: &mut WorkerContext) -> NextAction {
        let mut budget = TURN_BYTES;
        let mut emptied = false;
        loop {
            if matches!(step, Step::Read | Step::Write | Step::Close(_)) {
                match self.flush(&mut budget, worker) {
                    Flush::Done => {}
                    Flush::Blocked => return NextAction::Wait(Interest::WRITABLE),
                    Flush::TurnOver => return NextAction::Again,
                    Flush::Gone => return NextAction::Close,
                }
            }
            let taken = match step {
                Step::Read if emptied => return NextAction::Wait(Interest::READABLE),
                Step::Read if budget == 0 => return NextAction::Again,
                Step::Read => match self.receive(worker) {
                    Ok(0) => return NextAction::Close,
                    Ok(taken) => {
                        emptied = taken < INPUT_BYTES && self.eof == EofHint::None;
                        budget = budget.saturating_sub(taken);
                        taken
                    }
                    Err(Errno::AGAIN) => return NextAction::Wait(Interest::READABLE),
                    Err(_) => return NextAction::Close,
                },
                Step::Write => 0,
                Step::Work(time) => {
                    spin(time);
                    0
                }
                Step::Stats => return NextAction::Stats,
                Step::Open => {
                    (step, self.file) = worker.answer_file(&mut self.core);
                    continue;
                }
                Step::Close(Ending::Agreed) => return NextAction::Close,
                Step::Close(Ending::Lingering) => return self.start_linger(worker),
            };
            step = self.core.feed(&worker.input[..taken], &mut worker.core);
        }
    }

    fn receive(&self, worker: &mut WorkerContext) -> Result<usize, Errno> {
        loop {
            worker.core.stats.calls.recvfrom += 1;
            match recv(&self.socket, &mut *worker.input, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Ok((taken, _)) => return Ok(taken),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Sends what is unsent, or the output, and then the tail and the piece of the file. Keeps what the socket does not
    /// take.
    fn flush(&mut self, budget: &mut usize, worker: &mut WorkerContext) -> Flush {
        self.core.take_replies(&mut worker.core);
        let mut bytes = std::mem::take(&mut self.unsent);
        let from_output = bytes.is_empty();
        if from_output {
            bytes = std::mem::take(&mut worker.core.output.bytes);
        }
        let (sent, outcome) = self.send_all(&bytes, budget, worker);
        if sent < bytes.len() && outcome != Flush::Gone {
            if from_output {
                self.unsent.extend_from_slice(&bytes[sent..]);
            } else {
                bytes.drain(..sent);
                self.unsent = std::mem::take(&mut bytes);
            }
        }
        if from_output {
            bytes.clear();
            worker.core.output.bytes = bytes;
        }
        if outcome == Flush::Done {
            self.core.all_sent(&mut worker.core);
        }
        outcome
    }

    /// Sends `bytes`, the tail and the piece of the file. Returns how many of `bytes` were sent.
    fn send_all(&mut self, bytes: &[u8], budget: &mut usize, worker: &mut WorkerContext) -> (usize, Flush) {
        let mut sent = 0;
        loop {
            let head = &bytes[sent..];
            let machine = &mut self.core.machine;
            if *budget == 0 && (!head.is_empty() || machine.owes()) {
                return (sent, Flush::TurnOver);
            }
            let calls = &mut worker.core.stats.calls;
            match send_next(&self.socket, head, machine, self.file.as_ref(), TURN_BYTES, calls) {
                None => {
                    if !machine.needs_file() {
                        self.file = None;
                    }
                    return (sent, Flush::Done);
                }
                Some(Ok(taken)) => {
                    sent += taken.of_head;
                    self.core.sent(taken.bytes);
                    *budget = budget.saturating_sub(taken.bytes);
                }
                Some(Err(Errno::INTR)) => {}
                Some(Err(Errno::AGAIN)) => return (sent, Flush::Blocked),
                Some(Err(_)) => return (sent, Flush::Gone),
            }
        }
    }

    fn start_linger(&mut self, worker: &mut WorkerContext) -> NextAction {
        self.core.start_linger(&mut worker.core);
        // This fails only if the connection is already gone, which the next read reports too.
        let _ = shutdown(&self.socket, Shutdown::Write);
        self.linger(worker)
    }

    /// Drops input until its end.
    fn linger(&mut self, worker: &mut WorkerContext) -> NextAction {
        let mut budget = TURN_BYTES;
        while budget > 0 {
            match self.receive(worker) {
                Ok(0) => return NextAction::Close,
                Ok(taken) => budget = budget.saturating_sub(taken),
                Err(Errno::AGAIN) => return NextAction::Wait(Interest::READABLE),
                Err(_) => return NextAction::Close,
            }
        }
        NextAction::Again
    }
}
