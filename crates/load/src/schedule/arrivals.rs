//! When each request is due: one global schedule per run, which depends on the plan and the seed only.
//!
//! The schedule is a list of instants, counted from the start of the run. At these instants the users of the modelled
//! population send their requests. The schedule does not depend on connections, threads or replies, and it reads no
//! clock. Every thread iterates over the same schedule and takes its share of the requests. So the number of threads
//! determines who sends a request, but not when.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand_distr::{Distribution, Exp1};
use rand_pcg::Pcg64;

use super::rate_profile::RateProfile;
use crate::clock::duration_ns;
use crate::plan::{Arrival, LoadPlan, Pattern, Rate};

/// A request of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// Its position in the schedule, from 0.
    pub(crate) index: u64,
    /// The time from the start of the run until it is due, nanoseconds.
    pub(crate) offset_ns: u64,
}

/// An iterator over the requests that are due before the end of the run, in order.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    gaps: Gaps,
    index: u64,
    /// When the next request is due; `None` if there is none.
    next_ns: Option<f64>,
    end_ns: u64,
    /// The maximum number of requests.
    count_max: u64,
}

#[derive(Debug, Clone)]
enum Gaps {
    Constant {
        profile: RateProfile,
        burst: u64,
    },
    Exponential {
        profile: RateProfile,
        burst: u64,
        random: Box<Pcg64>,
        count: f64,
    },
    Trace(Arc<[u64]>),
}

impl Schedule {
    /// The schedule of `plan` with this seed; `None` for a closed loop, which has no schedule.
    ///
    /// # Panics
    /// If a rate is not a positive number, which [`LoadPlan::check`] refuses.
    #[must_use]
    pub(crate) fn of_plan(plan: &LoadPlan, seed: u64) -> Option<Self> {
        let (hold, span) = (plan.warm_up, plan.warm_up + plan.duration);
        let profile = match &plan.rate {
            Rate::PerSecond(rate) => RateProfile::constant(*rate),
            Rate::Ramp(from, to) => RateProfile::ramp(hold, *from, *to, plan.duration),
            Rate::Steps(rates) => RateProfile::steps(hold, rates, plan.duration / rates.len() as u32),
            Rate::Trace(offsets) => return Some(Self::of_trace(Arc::clone(offsets), span).limited(plan.pattern)),
            Rate::Max => return None,
        };
        Some(Self::new(plan.arrival, profile, plan.burst, span, seed).limited(plan.pattern))
    }

    /// A schedule without end: equal gaps, `per_second` of them in a second.
    #[must_use]
    pub(crate) fn endless(per_second: f64) -> Self {
        let profile = RateProfile::constant(per_second);
        Self::new(Arrival::Constant, profile, NonZeroU64::MIN, Duration::MAX, 0)
    }

    /// The schedule of `profile` over `span`, with `burst` requests (at least 1) due at each instant.
    ///
    /// The first request of a constant schedule is due at once, that of a Poisson schedule after the first gap.
    #[must_use]
    pub(super) fn new(arrival: Arrival, profile: RateProfile, burst: NonZeroU64, span: Duration, seed: u64) -> Self {
        let burst = burst.get();
        let gaps = match arrival {
            Arrival::Constant => Gaps::Constant { profile, burst },
            Arrival::Poisson => Gaps::Exponential {
                profile,
                burst,
                random: Box::new(Pcg64::seed_from_u64(seed)),
                count: 0.0,
            },
        };
        Self::of(gaps, span)
    }

    /// A recorded schedule: `offsets_ns` in ascending order, up to the end of `span`.
    #[must_use]
    fn of_trace(offsets_ns: Arc<[u64]>, span: Duration) -> Self {
        Self::of(Gaps::Trace(offsets_ns), span)
    }

    fn of(gaps: Gaps, span: Duration) -> Self {
        let mut schedule = Self {
            gaps,
            index: 0,
            next_ns: None,
            end_ns: duration_ns(span),
            count_max: u64::MAX,
        };
        schedule.next_ns = schedule.due_ns();
        schedule
    }

    /// With sessions, a request of the schedule starts a session, and the number of sessions is limited.
    fn limited(self, pattern: Pattern) -> Self {
        let count_max = match pattern {
            Pattern::Sessions(sessions) => sessions.total.get(),
            Pattern::RoundRobin { .. } | Pattern::OnDemand { .. } => u64::MAX,
        };
        Self { count_max, ..self }
    }

    /// Returns the next request and does not advance.
    #[must_use]
    pub(crate) fn peek(&self) -> Option<Due> {
        let due = Due {
            index: self.index,
            offset_ns: self.next_ns? as u64,
        };
        (due.offset_ns < self.end_ns && due.index < self.count_max).then_some(due)
    }

    /// When the request at `self.index` is due. Must be called once for each index, in order.
    fn due_ns(&mut self) -> Option<f64> {
        let index = self.index;
        match &mut self.gaps {
            // A function of the index instead of a sum, so that rounding errors do not accumulate over a long run.
            Gaps::Constant { profile, burst } => Some(profile.due_ns((index - index % *burst) as f64)),
            Gaps::Exponential {
                profile,
                burst,
                random,
                count,
            } => {
                if index.is_multiple_of(*burst) {
                    let gap: f64 = Exp1.sample(random);
                    *count += gap * *burst as f64;
                }
                Some(profile.due_ns(*count))
            }
            Gaps::Trace(offsets) => offsets.get(index as usize).map(|&offset| offset as f64),
        }
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let due = self.peek()?;
        self.index += 1;
        self.next_ns = self.due_ns();
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Sessions;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule(arrival: Arrival, rate: f64, span: Duration, seed: u64) -> Schedule {
        Schedule::new(arrival, RateProfile::constant(rate), NonZeroU64::MIN, span, seed)
    }

    #[test]
    fn a_constant_schedule_has_equal_gaps_and_the_expected_number() {
        let dues: Vec<Due> = schedule(Arrival::Constant, 1000.0, SECOND, 1).collect();
        assert_eq!(dues.len(), 1000);
        assert_eq!(
            (dues[0].offset_ns, dues[1].offset_ns, dues[999].offset_ns),
            (0, 1_000_000, 999_000_000)
        );
        assert!(dues.iter().enumerate().all(|(index, due)| due.index == index as u64));
    }

    #[test]
    fn a_constant_schedule_does_not_drift_over_a_long_run() {
        let day = Duration::from_secs(86_400);
        let last = schedule(Arrival::Constant, 3.0, day, 1).last().unwrap();
        assert_eq!(last.index, 3 * 86_400 - 1);
        assert_eq!(last.offset_ns, (86_400_000_000_000f64 - 1e9 / 3.0) as u64);
    }

    #[test]
    fn a_poisson_schedule_has_exponential_gaps() {
        let offsets: Vec<f64> = schedule(Arrival::Poisson, 10_000.0, SECOND * 20, 7)
            .map(|due| due.offset_ns as f64)
            .collect();
        let gaps: Vec<f64> = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let above_mean = gaps.iter().filter(|&&gap| gap > mean).count() as f64 / gaps.len() as f64;
        // 200,000 gaps: the standard error of the mean is 0.22%, of the share above it 0.11%.
        assert!((mean / 100_000.0 - 1.0).abs() < 0.01, "mean {mean}");
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.02,
            "deviation {}",
            variance.sqrt()
        );
        assert!(
            (above_mean - (-1f64).exp()).abs() < 0.01,
            "share above the mean {above_mean}"
        );
    }

    #[test]
    fn the_seed_determines_the_schedule() {
        let offsets = |seed| schedule(Arrival::Poisson, 500.0, SECOND, seed).map(|due| due.offset_ns);
        assert!(offsets(3).eq(offsets(3)));
        assert!(!offsets(3).eq(offsets(4)));
    }

    #[test]
    fn bursts_keep_the_rate() {
        let burst = NonZeroU64::new(5).unwrap();
        let constant = Schedule::new(Arrival::Constant, RateProfile::constant(100.0), burst, SECOND, 1);
        let offsets: Vec<u64> = constant.map(|due| due.offset_ns).collect();
        assert_eq!(offsets.len(), 100);
        assert!(
            offsets
                .chunks(5)
                .all(|burst| burst.iter().all(|&offset| offset == burst[0]))
        );
        assert_eq!((offsets[0], offsets[5]), (0, 50_000_000));
        let poisson = Schedule::new(Arrival::Poisson, RateProfile::constant(10_000.0), burst, SECOND * 10, 1);
        let count = poisson.count() as f64;
        // 20,000 bursts: the standard deviation of their number is 141, that of the requests 707.
        assert!((count - 100_000.0).abs() < 3000.0, "{count}");
    }

    #[test]
    fn a_limited_schedule_is_the_beginning_of_the_unlimited_one() {
        let sessions = Sessions {
            total: NonZeroU64::new(3).unwrap(),
            calls: NonZeroU64::MIN,
            burst: NonZeroU64::MIN,
            think: Duration::ZERO,
        };
        let whole = schedule(Arrival::Poisson, 500.0, SECOND, 3);
        assert!(whole.clone().limited(Pattern::Sessions(sessions)).eq(whole.take(3)));
    }

    #[test]
    fn a_trace_is_replayed_unchanged() {
        let trace: Arc<[u64]> = [0, 5, 5, 900_000_000, 1_000_000_000].into();
        let offsets: Vec<u64> = Schedule::of_trace(trace, SECOND).map(|due| due.offset_ns).collect();
        assert_eq!(offsets, [0, 5, 5, 900_000_000]);
    }
}
