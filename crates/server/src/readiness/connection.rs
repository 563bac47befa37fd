//! One connection on a non-blocking socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use c10k_event::Interest;
use c10k_http::{BlockingWork, Ending, Step};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

use super::turn::{EofHint, INPUT_BYTES, NextAction, TURN_BYTES, TakesTurns};
use crate::accept::Shortage;
use crate::context::WorkerContext;
use crate::core::{Awaited, ConnectionCore, Expired, Output};
use crate::disk::WorkOutcome;
use crate::send::send_next;
use crate::spin::spin;
use crate::timeout::{Deadline, TimeoutKind};

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

impl TakesTurns for Connection {
    type Worker = Box<WorkerContext>;

    fn room(_: &mut Self::Worker) -> Result<(), Shortage> {
        Ok(())
    }

    fn open(socket: OwnedFd, _: &mut Self::Worker) -> Result<Connection, Shortage> {
        Ok(Connection::new(socket))
    }

    fn start(&mut self, _: &mut Self::Worker) -> NextAction {
        NextAction::Wait(Interest::READABLE)
    }

    fn turn(&mut self, hint: EofHint, worker: &mut Self::Worker) -> NextAction {
        Connection::turn(self, hint, worker)
    }

    fn answer_stats(&mut self, worker: &mut Self::Worker) -> NextAction {
        Connection::answer_stats(self, worker)
    }

    fn start_work(&mut self) -> Option<BlockingWork> {
        Connection::start_work(self)
    }

    fn answer_work(&mut self, outcome: WorkOutcome, worker: &mut Self::Worker) -> NextAction {
        Connection::answer_work(self, &outcome, worker)
    }

    fn expire(&mut self, worker: &mut Self::Worker) -> NextAction {
        Connection::expire(self, worker)
    }

    #[inline]
    fn renew_deadline(&mut self, worker: &WorkerContext) {
        Connection::renew_deadline(self, worker);
    }

    fn deadline(&mut self) -> &mut Deadline {
        &mut self.core.deadline
    }

    fn awaited(&self) -> Awaited {
        self.core.awaited()
    }

    fn interest(&mut self) -> &mut Interest {
        &mut self.interest
    }

    fn close(self, _: &mut Self::Worker) {}
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

    /// What it waits for, and until when.
    pub(crate) fn awaited(&self) -> Awaited {
        self.core.awaited()
    }

    /// Does all that can be done without waiting.
    pub(crate) fn turn(&mut self, hint: EofHint, worker: &mut WorkerContext) -> NextAction {
        if hint == EofHint::Possible {
            self.eof = hint;
        }
        if self.core.is_lingering() {
            return self.linger(worker);
        }
        let step = if self.core.awaits_work() {
            Step::Block
        } else if self.is_blocked() {
            Step::Write
        } else {
            Step::Read
        };
        self.proceed(step, worker)
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

    /// Follows [`NextAction::Block`]: what is to be done. `None` if it was given out already.
    pub(crate) fn start_work(&mut self) -> Option<BlockingWork> {
        self.core.machine.blocking_work()
    }

    /// Follows [`start_work`](Connection::start_work), in this turn or another one.
    pub(crate) fn answer_work(&mut self, outcome: &WorkOutcome, worker: &mut WorkerContext) -> NextAction {
        let outcome = outcome.as_deref().map_err(|failure| *failure);
        let step = self.core.answer_work(outcome, &mut worker.core);
        self.proceed(step, worker)
    }

    /// Follows [`NextAction::Block`] where the thread that serves the connection does the work itself.
    pub(crate) fn do_work(&mut self, worker: &mut WorkerContext) -> NextAction {
        let step = worker.do_work(&mut self.core);
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
            worker.keep_place();
            if matches!(step, Step::Read | Step::Write | Step::Block | Step::Close(_)) {
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
                Step::Block => return NextAction::Block,
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
