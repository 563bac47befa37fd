//! How a thread waits for the next instant.

use std::time::Duration;

use crate::clock::Moment;

/// How precisely to wait, and at what cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// Sleep in the kernel until the instant. Costs no CPU; late by the wake-up time (tens of microseconds).
    #[default]
    Sleep,
    /// Sleep until shortly before a request is due, then poll for the last stretch.
    Hybrid,
    /// Never sleep.
    Spin,
}

/// The last stretch that is not slept, nanoseconds: the wake-up time of a virtual CPU, with room.
const STRETCH_NS: u64 = 80_000;

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Wait for events, at most this long; `None` waits for events alone.
    Sleep(Option<Duration>),
    /// Look for events and come back at once.
    Poll,
}

impl Pace {
    /// How to wait at `now` when the next request is due at `due`, and something else (a deadline, the end of a phase)
    /// is to be done at `other`.
    #[must_use]
    pub fn wait(self, now: Moment, due: Option<Moment>, other: Option<Moment>) -> Wait {
        let due = match (self, due) {
            (Self::Spin, Some(_)) => return Wait::Poll,
            (Self::Hybrid, Some(due)) if due.since_ns(now) <= STRETCH_NS => return Wait::Poll,
            (Self::Hybrid, Some(due)) => Some(Moment(due.0 - STRETCH_NS)),
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
    fn sleep_wakes_for_whatever_is_first() {
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
    fn hybrid_sleeps_up_to_the_last_stretch_and_then_polls() {
        let due = NOW.after_ns(STRETCH_NS + 7_000);
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
    fn spin_never_sleeps_while_requests_are_to_come() {
        assert_eq!(
            Pace::Spin.wait(NOW, Some(NOW.after(Duration::from_secs(9))), None),
            Wait::Poll
        );
        assert_eq!(Pace::Spin.wait(NOW, None, None), Wait::Sleep(None));
    }
}
