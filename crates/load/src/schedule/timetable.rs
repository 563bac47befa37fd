//! When the phases of a run, or of one of its windows, begin.

use std::time::Duration;

use crate::clock::Moment;
use crate::plan::LoadPlan;

/// A measured time of a run, and the seed of its schedule; the same for all threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) timetable: Timetable,
    pub(crate) seed: u64,
}

/// When the phases begin; the same for all threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timetable {
    /// The first request can be due.
    pub(crate) start: Moment,
    /// The warm-up ends and the measured time begins.
    pub(crate) measure: Moment,
    /// The measured time ends. No request is due from here on.
    pub(crate) end: Moment,
}

impl Timetable {
    /// A timetable without a start.
    pub(crate) const NEVER: Self = Self {
        start: Moment(u64::MAX),
        measure: Moment(u64::MAX),
        end: Moment(u64::MAX),
    };

    /// The timetable of `plan` with this start.
    pub(crate) fn new(plan: &LoadPlan, start: Moment) -> Self {
        let measure = start.after(plan.warm_up);
        Self {
            start,
            measure,
            end: measure.after(plan.duration),
        }
    }

    /// The timetable of a run that is stopped at `at`.
    pub(crate) fn cut(self, at: Moment) -> Self {
        let end = self.end.min(at.max(self.start));
        Self {
            measure: self.measure.min(end),
            end,
            ..self
        }
    }

    /// The measured time.
    pub(crate) fn measured(self) -> Duration {
        self.end.from_now(self.measure)
    }
}
