//! A connection that a coroutine serves, as the loop sees it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use c10k_event::Interest;
use c10k_http::BlockingWork;
use corosensei::stack::DefaultStack;

use super::thread::{Pause, UserThread, Wakeup};
use super::worker::CoroutineWorker;
use crate::accept::Shortage;
use crate::blocking::BlockingConnection;
use crate::context::WorkerContext;
use crate::core::Awaited;
use crate::disk::WorkOutcome;
use crate::readiness::{EofHint, NextAction, TakesTurns};
use crate::timeout::{Deadline, Tick, TimeoutKind};

/// The coroutine has the rest of what belongs to the connection.
pub(super) struct CoroutineConnection {
    thread: UserThread,
    /// Shared with the coroutine.
    socket: Rc<OwnedFd>,
    awaited: Awaited,
    deadline: Deadline,
    interest: Interest,
    /// Work that the coroutine wants done.
    work: Option<Box<BlockingWork>>,
}

/// What a coroutine waits for that did not say so. It is resumed without an event.
const NOTHING: Awaited = Awaited {
    kind: TimeoutKind::New,
    until: Tick(u32::MAX),
};

impl AsFd for CoroutineConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl CoroutineConnection {
    /// A connection on a socket whose calls do not block, to be served on this stack.
    pub(super) fn on(stack: DefaultStack, socket: OwnedFd) -> CoroutineConnection {
        let socket = Rc::new(socket);
        let of_thread = Rc::clone(&socket);
        CoroutineConnection {
            thread: UserThread::new(stack, |waits| BlockingConnection::new(of_thread, waits).serve()),
            socket,
            awaited: NOTHING,
            deadline: Deadline::default(),
            interest: Interest::READABLE,
            work: None,
        }
    }

    /// Ends it, whatever it waits for. Returns the stack.
    pub(super) fn end(self) -> DefaultStack {
        self.thread.end()
    }

    fn resume(&mut self, wakeup: Wakeup, worker: &mut CoroutineWorker) -> NextAction {
        self.awaited = NOTHING;
        match self.thread.resume(wakeup, worker) {
            Pause::Wait(interest, awaited) => {
                self.awaited = awaited;
                NextAction::Wait(interest)
            }
            Pause::Turn => NextAction::Again,
            Pause::Stats => NextAction::Stats,
            Pause::Block(work) => {
                self.work = work.map(Box::new);
                NextAction::Block
            }
            Pause::Over => NextAction::Close,
        }
    }
}

impl TakesTurns for CoroutineConnection {
    type Worker = CoroutineWorker;

    fn room(worker: &mut CoroutineWorker) -> Result<(), Shortage> {
        worker.reserve_stack()
    }

    fn open(socket: OwnedFd, worker: &mut CoroutineWorker) -> Result<CoroutineConnection, Shortage> {
        Ok(CoroutineConnection::on(worker.take_stack()?, socket))
    }

    /// The coroutine runs until it waits for its first request.
    fn start(&mut self, worker: &mut CoroutineWorker) -> NextAction {
        self.resume(Wakeup::Ready(EofHint::None), worker)
    }

    fn turn(&mut self, hint: EofHint, worker: &mut CoroutineWorker) -> NextAction {
        self.resume(Wakeup::Ready(hint), worker)
    }

    fn answer_stats(&mut self, worker: &mut CoroutineWorker) -> NextAction {
        self.resume(Wakeup::Ready(EofHint::None), worker)
    }

    fn start_work(&mut self) -> Option<BlockingWork> {
        self.work.take().map(|work| *work)
    }

    fn answer_work(&mut self, outcome: WorkOutcome, worker: &mut CoroutineWorker) -> NextAction {
        self.resume(Wakeup::Done(outcome), worker)
    }

    fn expire(&mut self, worker: &mut CoroutineWorker) -> NextAction {
        self.resume(Wakeup::Deadline, worker)
    }

    fn renew_deadline(&mut self, _: &WorkerContext) {
        self.deadline.at = self.awaited.until;
    }

    fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    fn awaited(&self) -> Awaited {
        self.awaited
    }

    fn interest(&mut self) -> &mut Interest {
        &mut self.interest
    }

    fn close(self, worker: &mut CoroutineWorker) {
        worker.give_back_stack(self.end());
    }
}
