//! One connection: the request machine, what it waits for, and what follows when that takes too long.

use std::time::Duration;

use c10k_http::{FileFacts, Machine, Phase, Step, Unsent, WorkFailure};

use super::bodies::BodyShare;
use super::worker::WorkerCore;
use crate::timeout::{Deadline, Tick, TimeoutKind, least_sent};

/// The state of a connection that does not depend on how its I/O is done.
#[derive(Debug)]
pub(crate) struct ConnectionCore {
    pub(crate) machine: Machine,
    pub(crate) deadline: Deadline,
    /// Replies that have not been sent entirely.
    unsent_replies: u64,
    /// Bytes sent since the deadline was set.
    sent: u32,
    /// What the connection waited for when the deadline was set.
    awaited: TimeoutKind,
    half: Half,
    /// Whether a request was received since the deadline was set.
    renewed: bool,
    /// The memory of the body that is received, or that the reply in progress gives back.
    body: Option<Box<BodyShare>>,
}

/// Whether the server has closed its half of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Open,
    /// It has; input is dropped until the client closes the other half.
    Closed,
}

/// What a connection waits for, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Awaited {
    pub(crate) kind: TimeoutKind,
    pub(crate) until: Tick,
}

/// Whether a driver holds output that it could not send yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Sent,
    Pending,
}

impl Output {
    pub(crate) fn pending_if(pending: bool) -> Output {
        if pending { Output::Pending } else { Output::Sent }
    }
}

/// What follows a deadline that has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Expired {
    /// Nothing: the client reads its reply fast enough, and has a new deadline.
    Renewed,
    /// The request is refused. Take this step.
    Refused(Step),
    /// The last request did not come. Close the sending half; call [`ConnectionCore::start_linger`].
    Linger,
    /// The connection is over.
    Close,
}

impl ConnectionCore {
    pub(crate) fn new() -> ConnectionCore {
        ConnectionCore {
            machine: Machine::new(),
            deadline: Deadline::default(),
            unsent_replies: 0,
            sent: 0,
            awaited: TimeoutKind::New,
            half: Half::Open,
            renewed: false,
            body: None,
        }
    }

    /// Feeds input to the machine.
    #[inline]
    pub(crate) fn feed(&mut self, input: &[u8], worker: &mut WorkerCore) -> Step {
        let requests = worker.output.requests;
        let step = self.machine.feed(input, &worker.host, &mut worker.output);
        self.renewed |= worker.output.requests > requests;
        self.bounded(step, worker)
    }

    /// The step of the machine, unless there is no memory for the body that it keeps.
    #[inline]
    fn bounded(&mut self, step: Step, worker: &mut WorkerCore) -> Step {
        match self.machine.kept_of_body() {
            0 => step,
            bytes => self.hold_body(bytes, step, worker),
        }
    }

    /// Takes the memory for a body that is being received or worked on, or refuses the request.
    #[cold]
    fn hold_body(&mut self, bytes: usize, step: Step, worker: &mut WorkerCore) -> Step {
        let share = self.body.get_or_insert_with(|| Box::new(worker.bodies.share()));
        if share.grow_to(bytes as u64) {
            step
        } else {
            self.machine.shed(&worker.host, &mut worker.output)
        }
    }

    /// Answers a request for a file, which was found or not.
    pub(crate) fn answer_file(&mut self, found: Result<FileFacts, Unsent>, worker: &mut WorkerCore) -> Step {
        let requests = worker.output.requests;
        let step = self.machine.answer_file(found, &worker.host, &mut worker.output);
        self.renewed |= worker.output.requests > requests;
        self.bounded(step, worker)
    }

    /// Answers a request for work that may block.
    pub(crate) fn answer_work(&mut self, outcome: Result<&[u8], WorkFailure>, worker: &mut WorkerCore) -> Step {
        let requests = worker.output.requests;
        let step = self.machine.answer_work(outcome, &worker.host, &mut worker.output);
        self.renewed |= worker.output.requests > requests;
        self.bounded(step, worker)
    }

    /// Whether it was asked for something that is not answered yet.
    pub(crate) fn awaits_work(&self) -> bool {
        self.machine.phase() == Phase::Work
    }

    /// Answers a request for the statistics.
    pub(crate) fn answer_stats(&mut self, body: &[u8], worker: &mut WorkerCore) -> Step {
        self.machine.answer_stats(body, &worker.host, &mut worker.output);
        self.feed(&[], worker)
    }

    /// Counts the replies in the worker's output as this connection's, before the output is sent.
    #[inline]
    pub(crate) fn take_replies(&mut self, worker: &mut WorkerCore) {
        self.unsent_replies += std::mem::take(&mut worker.output.replies);
    }

    /// Counts bytes that were sent.
    #[inline]
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Counts the replies as sent, since all output was.
    #[inline]
    pub(crate) fn all_sent(&mut self, worker: &mut WorkerCore) {
        worker.stats.replies += std::mem::take(&mut self.unsent_replies);
        // Work that is out has the body, or gives it back.
        if self.body.is_some() && self.machine.kept_of_body() == 0 && !self.awaits_work() {
            self.body = None;
        }
    }

    /// Notes that the driver closes the sending half. From here on input is dropped.
    pub(crate) fn start_linger(&mut self, worker: &mut WorkerCore) {
        self.start_linger_without_call();
        worker.stats.calls.shutdown += 1;
    }

    /// The same, if that is no call of the driver.
    pub(crate) fn start_linger_without_call(&mut self) {
        self.half = Half::Closed;
    }

    pub(crate) fn is_lingering(&self) -> bool {
        self.half == Half::Closed
    }

    /// Frees the memory of a connection that is over.
    pub(crate) fn close(&mut self) {
        self.close_during_work();
        self.body = None;
    }

    /// The same, if its work is still in progress: the memory of a message counts until that is over.
    pub(crate) fn close_during_work(&mut self) {
        self.machine = Machine::new();
        self.half = Half::Closed;
    }

    /// Sets the deadline for what the connection waits for now. It stays where it is while the connection still waits for
    /// the same head, body or reply.
    #[inline]
    pub(crate) fn renew_deadline(&mut self, output: Output, worker: &WorkerCore) {
        let awaited = self.awaits(output, worker);
        if awaited != self.awaited || awaited == TimeoutKind::Idle || self.renewed {
            self.set_deadline(awaited, worker);
        }
    }

    /// The time until the deadline passes.
    pub(crate) fn time_left(&self, worker: &WorkerCore) -> Duration {
        worker.time_until(self.deadline.at)
    }

    /// Decides what follows the deadline, which has passed.
    pub(crate) fn expire(&mut self, worker: &mut WorkerCore) -> Expired {
        match self.awaited {
            TimeoutKind::Send if self.sent >= least_sent(&worker.deadlines) => {
                self.set_deadline(TimeoutKind::Send, worker);
                Expired::Renewed
            }
            TimeoutKind::Head | TimeoutKind::Body => {
                worker.stats.timeouts += 1;
                Expired::Refused(self.machine.give_up(&worker.host, &mut worker.output))
            }
            TimeoutKind::Grace => Expired::Linger,
            TimeoutKind::Linger => Expired::Close,
            TimeoutKind::New | TimeoutKind::Idle | TimeoutKind::Send | TimeoutKind::Work => {
                worker.stats.timeouts += 1;
                Expired::Close
            }
        }
    }

    /// What the connection waited for when its deadline was set, and the deadline.
    pub(crate) fn awaited(&self) -> Awaited {
        Awaited {
            kind: self.awaited,
            until: self.deadline.at,
        }
    }

    /// What the connection waits for.
    pub(crate) fn awaits(&self, output: Output, worker: &WorkerCore) -> TimeoutKind {
        match (self.half, output) {
            (Half::Closed, _) => TimeoutKind::Linger,
            (Half::Open, Output::Pending) => TimeoutKind::Send,
            (Half::Open, Output::Sent) => TimeoutKind::of(self.machine.phase(), worker.host.stage),
        }
    }

    fn set_deadline(&mut self, awaited: TimeoutKind, worker: &WorkerCore) {
        self.renewed = false;
        self.awaited = awaited;
        self.sent = 0;
        self.deadline.at = worker.now().after(worker.limits.of(awaited));
    }
}
