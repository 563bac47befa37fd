//! A coroutine, and how its code waits.

use std::os::fd::BorrowedFd;

use c10k_event::Interest;
use c10k_http::{BlockingWork, Step};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::worker::CoroutineWorker;
use crate::blocking::Waits;
use crate::context::WorkerContext;
use crate::core::{Awaited, ConnectionCore};
use crate::disk::WorkOutcome;
use crate::readiness::{EofHint, INPUT_BYTES, TURN_BYTES};

/// A coroutine with a stack of its own. If it is dropped while it is suspended, its stack is unwound.
pub(super) struct UserThread(Coroutine<Resumed, Suspended, Box<WorkerContext>, DefaultStack>);

/// What a coroutine gets when it is resumed.
struct Resumed {
    worker: Box<WorkerContext>,
    wakeup: Wakeup,
}

/// What a coroutine returns when it is suspended.
struct Suspended {
    worker: Box<WorkerContext>,
    pause: Pause,
}

/// Why a coroutine is resumed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wakeup {
    /// Its socket is ready, or may be.
    Ready(EofHint),
    /// The deadline that it gave has passed.
    Deadline,
    /// Its work is done.
    Done(WorkOutcome),
}

/// Why a coroutine was suspended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// It waits for its socket until a deadline.
    Wait(Interest, Awaited),
    /// It lets others run.
    Turn,
    /// It needs the statistics of the loop's mechanism.
    Stats,
    /// It waits for the outcome of work that may block. `None`: of the work that it gave out before.
    Block(Option<BlockingWork>),
    /// It has returned.
    Over,
}

impl UserThread {
    /// A coroutine that has not begun to run.
    pub(super) fn new(stack: DefaultStack, code: impl FnOnce(&mut CoroutineWaits<'_>) + 'static) -> UserThread {
        UserThread(Coroutine::with_stack(stack, |yielder, resumed: Resumed| {
            let mut waits = CoroutineWaits {
                yielder,
                worker: Some(resumed.worker),
                turn_bytes: TURN_BYTES,
                emptied: true,
                eof: EofHint::None,
            };
            code(&mut waits);
            waits.lend()
        }))
    }

    /// Runs it until it is suspended or returns.
    ///
    /// # Panics
    /// If its code panics. The worker is lost then.
    pub(super) fn resume(&mut self, wakeup: Wakeup, worker: &mut CoroutineWorker) -> Pause {
        let resumed = Resumed {
            worker: worker.lend(),
            wakeup,
        };
        let (context, pause) = match self.0.resume(resumed) {
            CoroutineResult::Yield(suspended) => (suspended.worker, suspended.pause),
            CoroutineResult::Return(context) => (context, Pause::Over),
        };
        worker.take_back(context);
        pause
    }

    /// Ends it: what is on its stack is dropped. Returns the stack.
    pub(super) fn end(mut self) -> DefaultStack {
        self.0.force_unwind();
        self.0.into_stack()
    }
}

/// How the code of a coroutine waits: it is suspended, with a note of what it waits for.
pub(super) struct CoroutineWaits<'a> {
    yielder: &'a Yielder<Resumed, Suspended>,
    /// `None` while the coroutine is suspended.
    worker: Option<Box<WorkerContext>>,
    /// What is left of the bytes that it may receive or send before others run.
    turn_bytes: usize,
    /// Whether the socket is known to be empty, so that an event reports what comes.
    emptied: bool,
    eof: EofHint,
}

/// Why a coroutine that runs has the worker.
const RUNS: &str = "whoever resumes a coroutine lends it the worker";

impl CoroutineWaits<'_> {
    fn lend(&mut self) -> Box<WorkerContext> {
        self.worker.take().expect(RUNS)
    }

    /// Lets others run, until the loop resumes this coroutine.
    fn suspend(&mut self, pause: Pause) -> Wakeup {
        let mut worker = self.lend();
        // Others use the output meanwhile.
        let unsent = worker.core.output.bytes.clone();
        worker.core.output.bytes.clear();
        let Resumed { mut worker, wakeup } = self.yielder.suspend(Suspended { worker, pause });
        worker.core.output.bytes.extend_from_slice(&unsent);
        self.worker = Some(worker);
        self.turn_bytes = TURN_BYTES;
        // The event that reports input may have come meanwhile, and comes only once.
        self.emptied = false;
        if wakeup == Wakeup::Ready(EofHint::Possible) {
            self.eof = EofHint::Possible;
        }
        wakeup
    }

    fn wait(&mut self, interest: Interest, connection: &ConnectionCore) -> Wakeup {
        self.suspend(Pause::Wait(interest, connection.awaited()))
    }

    fn receive_now(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        loop {
            let worker = self.worker();
            worker.core.stats.calls.recvfrom += 1;
            match recv(socket, &mut *worker.input, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Err(errno) => {
                    self.emptied = errno == Errno::AGAIN;
                    return Err(errno);
                }
                Ok((taken, _)) => {
                    self.emptied = taken < INPUT_BYTES && self.eof == EofHint::None;
                    self.turn_bytes = self.turn_bytes.saturating_sub(taken);
                    return Ok(taken);
                }
            }
        }
    }
}

impl Waits for CoroutineWaits<'_> {
    const FILE_BYTES: usize = TURN_BYTES;

    fn worker(&mut self) -> &mut WorkerContext {
        self.worker.as_mut().expect(RUNS)
    }

    /// The loop does that after each of its waits.
    fn refresh(&mut self) {}

    fn receive(&mut self, socket: BorrowedFd<'_>, connection: &ConnectionCore) -> Result<usize, Errno> {
        let mut wakeup = Wakeup::Ready(EofHint::None);
        if self.emptied {
            wakeup = self.wait(Interest::READABLE, connection);
        } else if self.turn_bytes == 0 {
            self.suspend(Pause::Turn);
        }
        match self.receive_now(socket) {
            // The deadline is renewed before the next wait.
            Err(Errno::AGAIN) if wakeup != Wakeup::Deadline => Err(Errno::INTR),
            // At the deadline too the socket was read: the event may have been lost.
            outcome => outcome,
        }
    }

    fn wait_to_send(&mut self, connection: &ConnectionCore) {
        self.wait(Interest::WRITABLE, connection);
    }

    fn sent(&mut self, bytes: usize) {
        self.turn_bytes = self.turn_bytes.saturating_sub(bytes);
        if self.turn_bytes == 0 {
            self.suspend(Pause::Turn);
        }
    }

    fn report_mechanism(&mut self) {
        self.suspend(Pause::Stats);
    }

    fn do_work(&mut self, connection: &mut ConnectionCore) -> Step {
        let mut work = connection.machine.blocking_work();
        let outcome = loop {
            // Whatever else it is resumed for, it cannot go on.
            if let Wakeup::Done(outcome) = self.suspend(Pause::Block(work.take())) {
                break outcome;
            }
        };
        let outcome = outcome.as_deref().map_err(|failure| *failure);
        connection.answer_work(outcome, &mut self.worker().core)
    }
}
