//! What a connection waits for, and how long it may.

use std::time::Duration;

use c10k_http::{Phase, Stage};

use crate::config::Deadlines;

/// How long a connection without a request is kept at the beginning of a drain: one may be on its way.
const GRACE: Duration = Duration::from_millis(250);

/// What a connection is waiting for, as deadlines see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    New,
    Idle,
    Head,
    Body,
    Send,
    Grace,
    Linger,
}

impl Waiting {
    /// Of a connection that is open and has nothing unsent.
    pub(crate) fn of(phase: Phase, stage: Stage) -> Waiting {
        match (phase, stage) {
            (Phase::Idle, Stage::Serving) => Waiting::Idle,
            (Phase::Idle, Stage::Draining) => Waiting::Grace,
            (Phase::Head, _) => Waiting::Head,
            (Phase::Body, _) => Waiting::Body,
            (Phase::Reply, _) => Waiting::Send,
        }
    }

    pub(crate) fn patience(self, deadlines: &Deadlines) -> Duration {
        match self {
            Waiting::New | Waiting::Idle => deadlines.idle,
            Waiting::Head => deadlines.head,
            Waiting::Body => deadlines.body,
            Waiting::Send => deadlines.send,
            Waiting::Grace => GRACE,
            Waiting::Linger => deadlines.linger,
        }
    }
}

/// Bytes that the client must have taken by the deadline of a reply.
pub(crate) fn fair_share(deadlines: &Deadlines) -> u32 {
    let share = u128::from(deadlines.min_send_rate) * deadlines.send.as_millis() / 1000;
    u32::try_from(share).unwrap_or(u32::MAX).max(1)
}
