//! What a loop and its connections say to each other.

use std::ops::DerefMut;
use std::os::fd::{AsFd, OwnedFd};

use c10k_event::Interest;
use c10k_http::BlockingWork;

use crate::accept::Shortage;
use crate::context::WorkerContext;
use crate::core::Awaited;
use crate::disk::WorkOutcome;
use crate::timeout::Deadline;

/// The size of the read buffer, which all connections of a worker share.
pub(crate) const INPUT_BYTES: usize = 64 * 1024;

/// Bytes received or sent in one turn, before other connections have theirs.
pub(crate) const TURN_BYTES: usize = 256 * 1024;

/// What a driver has to do after a connection's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextAction {
    /// Wait for this. [`Interest::NONE`]: for nothing but the outcome of its work.
    Wait(Interest),
    /// Give it another turn, after other connections have had theirs.
    Again,
    /// Report the statistics, and then let it answer them.
    Stats,
    /// Do its work that may block, or have it done. Until it has answered that, it waits for nothing else.
    Block,
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

/// A connection as the loop sees it. In a turn it does all that it can do without waiting.
pub(crate) trait TakesTurns: AsFd + Sized {
    /// The worker, with what connections of this kind share besides.
    type Worker: DerefMut<Target = WorkerContext>;

    /// Whether there is what another connection needs besides its socket.
    fn room(worker: &mut Self::Worker) -> Result<(), Shortage>;

    /// A connection on a socket whose calls do not block.
    ///
    /// # Errors
    /// What is used up. The socket is closed.
    fn open(socket: OwnedFd, worker: &mut Self::Worker) -> Result<Self, Shortage>;

    /// Its first turn, before any event.
    fn start(&mut self, worker: &mut Self::Worker) -> NextAction;

    /// A turn after an event, after [`NextAction::Again`], or because the server has begun to drain.
    fn turn(&mut self, hint: EofHint, worker: &mut Self::Worker) -> NextAction;

    /// Follows [`NextAction::Stats`].
    fn answer_stats(&mut self, worker: &mut Self::Worker) -> NextAction;

    /// Follows [`NextAction::Block`]: what is to be done. `None` if it was given out already.
    fn start_work(&mut self) -> Option<BlockingWork>;

    /// Follows [`start_work`](TakesTurns::start_work), in this turn or another one.
    fn answer_work(&mut self, outcome: WorkOutcome, worker: &mut Self::Worker) -> NextAction;

    /// A turn after its deadline has passed.
    fn expire(&mut self, worker: &mut Self::Worker) -> NextAction;

    /// Sets the deadline for what it waits for now.
    fn renew_deadline(&mut self, worker: &WorkerContext);

    fn deadline(&mut self) -> &mut Deadline;

    /// What it waits for.
    fn awaited(&self) -> Awaited;

    /// What the loop's set watches its socket for.
    fn interest(&mut self) -> &mut Interest;

    /// Closes it, whatever it waits for.
    fn close(self, worker: &mut Self::Worker);
}
