//! How a thread waits for the next request.

use std::time::Duration;

use crate::clock::Moment;

/// How to wait for the next request: a choice between precision and CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// Sleep in the kernel until the request is due. Uses no CPU time; late by the wake-up time (tens of microseconds).
    #[default]
    Sleep,
    /// Sleep until shortly before the request is due, then poll.
    Hybrid,
    /// Poll without sleeping.
    Spin,
}

/// How long [`Pace::Hybrid`] polls, nanoseconds: the wake-up time of a virtual CPU, with a margin.
const POLL_NS: u64 = 80_000;

/// How to wait now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Wait for events, at most this long; without a limit if `None`.
    Sleep(Option<Duration>),
    /// Fetch the events that are ready and return at once.
    Poll,
}

impl Pace {
    /// How to wait at `now` if the next request is due at `due`, and the next other task (a deadline, the end of a
    /// phase) at `other`.
    #[must_use]
    pub(crate) fn wait(self, now: Moment, due: Option<Moment>, other: Option<Moment>) -> Wait {
        let due = match (self, due) {
            (Self::Spin, Some(_)) => return Wait::Poll,
            (Self::Hybrid, Some(due)) if due.since_ns(now) <= POLL_NS => return Wait::Poll,
            (Self::Hybrid, Some(due)) => Some(Moment(due.0 - POLL_NS)),
            (_, due) => due,
        };
        let wake = match (due, other) {
            (Some(due), Some(other)) => Some(due.min(other)),
            (one, None) | (None, one) => one,
        };
        match wake {
            Some(wake) if wake <= now => Wait::Poll,
            wake => Wait::Sleep(wake.map(|wake| wake.from_now(now))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_000_000_000);

    #[test]
    fn sleep_wakes_for_the_earliest_task() {
        let (near, far) = (NOW.after_ns(10), NOW.after_ns(500));
        assert_eq!(
            Pace::Sleep.wait(NOW, Some(far), Some(near)),
            Wait::Sleep(Some(Duration::from_nanos(10)))
        );
        assert_eq!(
            Pace::Sleep.wait(NOW, Some(near), Some(far)),
            Wait::Sleep(Some(Duration::from_nanos(10)))
        );
        assert_eq!(Pace::Sleep.wait(NOW, None, None), Wait::Sleep(None));
        assert_eq!(Pace::Sleep.wait(NOW, Some(Moment(5)), None), Wait::Poll);
    }

    #[test]
    fn hybrid_sleeps_and_then_polls_shortly_before_a_request_is_due() {
        let due = NOW.after_ns(POLL_NS + 7_000);
        assert_eq!(
            Pace::Hybrid.wait(NOW, Some(due), None),
            Wait::Sleep(Some(Duration::from_nanos(7_000)))
        );
        assert_eq!(Pace::Hybrid.wait(NOW.after_ns(7_000), Some(due), None), Wait::Poll);
        let deadline = NOW.after_ns(100);
        assert_eq!(
            Pace::Hybrid.wait(NOW, None, Some(deadline)),
            Wait::Sleep(Some(Duration::from_nanos(100)))
        );
    }

    #[test]
    fn spin_never_sleeps_while_a_request_is_coming() {
        assert_eq!(
            Pace::Spin.wait(NOW, Some(NOW.after(Duration::from_secs(9))), None),
            Wait::Poll
        );
        assert_eq!(Pace::Spin.wait(NOW, None, None), Wait::Sleep(None));
    }
}
