//! A request and its end.

use crate::accounting::failure::Failure;
use crate::clock::Moment;
use crate::plan::Choice;

/// A request that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// The instant at which it is due.
    pub(crate) scheduled: Moment,
    /// The part of the run in which it is due.
    pub(crate) period: Period,
    /// Which request it is.
    pub(crate) choice: Choice,
}

/// The part of the run in which a request is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Period {
    /// The warm-up: the request is sent but not counted.
    Warmup,
    /// The measured time: the request is counted.
    Measured,
}

/// How a request that was sent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered in full and verified.
    Completed,
    /// Not answered within the time limit.
    TimedOut,
    /// Failed.
    Failed(Failure),
}
