//! What a connection waits for, and for how long.

use std::time::Duration;

use c10k_http::{Phase, Stage};

use super::clock::Ticks;
use crate::config::Deadlines;

/// How long a connection without a request stays open when a drain begins: a request may be on its way.
const GRACE: Duration = Duration::from_millis(250);

/// What a connection waits for. Each kind has its own time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeoutKind {
    /// Nothing yet: no deadline has been set.
    New,
    /// The next request.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// The client, which has to read its reply.
    Send,
    /// Work that may block. It has no time limit but that of the drain: its client is not to blame.
    Work,
    /// A last request, while the server drains.
    Grace,
    /// The client's end of the stream, after the server has closed its half.
    Linger,
}

impl TimeoutKind {
    /// The kind for a connection that is open and has sent all its output.
    pub(crate) fn of(phase: Phase, stage: Stage) -> TimeoutKind {
        match (phase, stage) {
            (Phase::Idle, Stage::Serving) => TimeoutKind::Idle,
            (Phase::Idle, Stage::Draining) => TimeoutKind::Grace,
            (Phase::Head, _) => TimeoutKind::Head,
            (Phase::Body, _) => TimeoutKind::Body,
            (Phase::Reply, _) => TimeoutKind::Send,
            (Phase::Work, _) => TimeoutKind::Work,
        }
    }

    fn limit(self, deadlines: &Deadlines) -> Duration {
        match self {
            TimeoutKind::New | TimeoutKind::Idle => deadlines.idle,
            TimeoutKind::Head => deadlines.head,
            TimeoutKind::Body => deadlines.body,
            TimeoutKind::Send => deadlines.send,
            TimeoutKind::Work => Duration::MAX,
            TimeoutKind::Grace => GRACE,
            TimeoutKind::Linger => deadlines.linger,
        }
    }
}

/// The time limit of each kind, in ticks. They are computed once because every request needs one.
#[derive(Debug)]
pub(crate) struct TimeLimits([Ticks; KINDS.len()]);

/// All kinds, in the order of their declaration.
const KINDS: [TimeoutKind; 8] = [
    TimeoutKind::New,
    TimeoutKind::Idle,
    TimeoutKind::Head,
    TimeoutKind::Body,
    TimeoutKind::Send,
    TimeoutKind::Work,
    TimeoutKind::Grace,
    TimeoutKind::Linger,
];

impl TimeLimits {
    pub(crate) fn new(deadlines: &Deadlines) -> TimeLimits {
        TimeLimits(KINDS.map(|kind| Ticks::covering(kind.limit(deadlines))))
    }

    #[inline]
    pub(crate) fn of(&self, kind: TimeoutKind) -> Ticks {
        self.0[kind as usize]
    }
}

/// The number of bytes that a client must have read when [`Deadlines::send`] has passed, to keep its connection.
pub(crate) fn least_sent(deadlines: &Deadlines) -> u32 {
    let bytes = u128::from(deadlines.min_send_rate) * deadlines.send.as_millis() / 1000;
    u32::try_from(bytes).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_limit() {
        let deadlines = Deadlines {
            idle: Duration::from_secs(1),
            head: Duration::from_secs(2),
            body: Duration::from_secs(3),
            send: Duration::from_secs(4),
            linger: Duration::from_secs(5),
            ..Deadlines::default()
        };
        let limits = TimeLimits::new(&deadlines);
        for kind in KINDS {
            assert_eq!(limits.of(kind), Ticks::covering(kind.limit(&deadlines)), "{kind:?}");
        }
    }
}
