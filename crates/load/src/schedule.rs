//! When each request is due: one global schedule per run, a function of the plan and the seed alone.
//!
//! The schedule knows no connections, no threads and no replies, and it reads no clock: it is the list of instants,
//! counted from the start of the run, at which the users of the modelled population would have sent their requests.
//! Every thread walks the same schedule and takes the requests that fall to it, so the number of threads changes who
//! sends a request, never when.

use std::time::Duration;

use rand::SeedableRng;
use rand_distr::{Distribution, Exp1};
use rand_pcg::Pcg64;

use crate::clock::duration_ns;

/// The distribution of the gaps between requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrival {
    /// Equal gaps.
    #[default]
    Constant,
    /// Exponentially distributed gaps: independent users.
    Poisson,
}

/// One request of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Position in the schedule, from 0.
    pub index: u64,
    /// Nanoseconds from the start of the run at which it is due.
    pub offset_ns: u64,
}

/// An iterator over the requests due before the end of the run, in order.
#[derive(Debug, Clone)]
pub struct Schedule {
    gaps: Gaps,
    gap_ns: f64,
    index: u64,
    /// Where the next request is due.
    next_ns: f64,
    end_ns: u64,
}

#[derive(Debug, Clone)]
enum Gaps {
    Constant,
    Exponential(Box<Pcg64>),
}

impl Schedule {
    /// The schedule of `rate` requests per second over `span`.
    ///
    /// The first request of a constant schedule is due at once, that of a Poisson schedule after the first gap.
    ///
    /// # Panics
    /// If `rate` is not a positive, finite number.
    #[must_use]
    pub fn new(arrival: Arrival, rate: f64, span: Duration, seed: u64) -> Self {
        assert!(
            rate.is_finite() && rate > 0.0,
            "a rate is a positive number of requests per second"
        );
        let gaps = match arrival {
            Arrival::Constant => Gaps::Constant,
            Arrival::Poisson => Gaps::Exponential(Box::new(Pcg64::seed_from_u64(seed))),
        };
        let mut schedule = Self {
            gaps,
            gap_ns: 1e9 / rate,
            index: 0,
            next_ns: 0.0,
            end_ns: duration_ns(span),
        };
        if let Gaps::Exponential(_) = schedule.gaps {
            schedule.advance();
        }
        schedule
    }

    /// The next request without taking it.
    #[must_use]
    pub fn peek(&self) -> Option<Due> {
        let due = Due {
            index: self.index,
            offset_ns: self.next_ns as u64,
        };
        (due.offset_ns < self.end_ns).then_some(due)
    }

    fn advance(&mut self) {
        match &mut self.gaps {
            // A product, not a sum, so that no rounding error accumulates over a long run.
            Gaps::Constant => self.next_ns = (self.index + 1) as f64 * self.gap_ns,
            Gaps::Exponential(random) => {
                let gap: f64 = Exp1.sample(random);
                self.next_ns += gap * self.gap_ns;
            }
        }
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let due = self.peek()?;
        self.advance();
        self.index += 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_constant_schedule_has_equal_gaps_and_the_asked_number() {
        let dues: Vec<Due> = Schedule::new(Arrival::Constant, 1000.0, SECOND, 1).collect();
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
        let last = Schedule::new(Arrival::Constant, 3.0, day, 1).last().unwrap();
        assert_eq!(last.index, 3 * 86_400 - 1);
        assert_eq!(last.offset_ns, (86_400_000_000_000f64 - 1e9 / 3.0) as u64);
    }

    #[test]
    fn a_poisson_schedule_has_exponential_gaps() {
        let offsets: Vec<f64> = Schedule::new(Arrival::Poisson, 10_000.0, SECOND * 20, 7)
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
    fn the_seed_alone_decides() {
        let offsets = |seed| Schedule::new(Arrival::Poisson, 500.0, SECOND, seed).map(|due| due.offset_ns);
        assert!(offsets(3).eq(offsets(3)));
        assert!(!offsets(3).eq(offsets(4)));
    }
}
