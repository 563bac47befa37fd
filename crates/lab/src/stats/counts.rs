//! Exact intervals of counts (Garwood) and of shares (Clopper and Pearson).

use statrs::function::beta::beta_reg;
use statrs::function::gamma::{gamma_lr, gamma_ur};

use super::Interval;

/// How events are distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Law {
    /// Events happen at a rate: Poisson.
    Rate,
    /// Each trial ends in an event or not: binomial.
    Share,
}

/// Events, and out of how much: trials for a share; blocks, requests or waits for a rate.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Counted {
    pub(crate) events: f64,
    pub(crate) of: f64,
}

impl Counted {
    /// Events out of `of`; `None` out of nothing.
    pub(crate) fn new(events: f64, of: f64) -> Option<Self> {
        (of > 0.0).then_some(Self { events, of })
    }

    pub(crate) fn ratio(self) -> f64 {
        self.events / self.of
    }

    pub(crate) fn times(self, factor: f64) -> Self {
        Self {
            events: self.events * factor,
            of: self.of * factor,
        }
    }
}

impl std::iter::Sum for Counted {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            events: sum.events + one.events,
            of: sum.of + one.of,
        })
    }
}

impl Law {
    /// The interval of events ÷ of, exact: each end is wrong with a chance of at most `tail`. A share counts at most as many
    /// events as trials.
    pub(crate) fn interval(self, counted: Counted, tail: f64) -> Interval {
        match self {
            Self::Rate => rate(counted, tail),
            Self::Share => share(counted, tail),
        }
    }
}

fn rate(Counted { events, of }: Counted, tail: f64) -> Interval {
    // P(at least `events`) is gamma_lr(events, mean), P(at most `events`) is gamma_ur(events + 1, mean).
    let most = 2.0 * (events + 10.0 - tail.ln());
    let low = match events > 0.0 {
        true => boundary(events, |mean| gamma_lr(events, mean) < tail).0,
        false => 0.0,
    };
    let high = boundary(most, |mean| gamma_ur(events + 1.0, mean) > tail).1;
    Interval {
        low: low / of,
        high: high / of,
    }
}

fn share(Counted { events, of }: Counted, tail: f64) -> Interval {
    let events = events.min(of);
    let low = match events > 0.0 {
        true => boundary(1.0, |share| beta_reg(events, of - events + 1.0, share) < tail).0,
        false => 0.0,
    };
    let high = match events < of {
        true => boundary(1.0, |share| beta_reg(events + 1.0, of - events, share) < 1.0 - tail).1,
        false => 1.0,
    };
    Interval { low, high }
}

/// Two numbers from 0 to `most`, next to each other, of which `holds` is true for the first and false for the second; it is
/// true up to some number and false from there on.
fn boundary(most: f64, holds: impl Fn(f64) -> bool) -> (f64, f64) {
    let (mut low, mut high) = (0.0, most);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(law: Law, events: f64, of: f64, tail: f64) -> (f64, f64) {
        let Interval { low, high } = law.interval(Counted { events, of }, tail);
        (low, high)
    }

    fn near(found: (f64, f64), low: f64, high: f64) -> bool {
        (found.0 - low).abs() < 5e-4 * (1.0 + low) && (found.1 - high).abs() < 5e-4 * (1.0 + high)
    }

    #[test]
    fn none_in_n_blocks_leaves_up_to_three_in_n() {
        let three_blocks = found(Law::Rate, 0.0, 3.0, 0.05);
        assert!(near(three_blocks, 0.0, 2.9957 / 3.0), "{three_blocks:?}");
        let all_answered = found(Law::Share, 3000.0, 3000.0, 0.05);
        assert!(
            near(all_answered, 0.999, 1.0) && all_answered.0 < 1.0,
            "{all_answered:?}"
        );
    }

    #[test]
    fn the_intervals_are_those_of_the_printed_tables() {
        // Garwood: 10 events, 95%: 4.795 to 18.391; one event: 0.0253 to 5.572. Clopper and Pearson: 7 of 20, 95%: 0.1539 to
        // 0.5922; none of 10: up to 0.3085.
        assert!(near(found(Law::Rate, 10.0, 1.0, 0.025), 4.795, 18.391));
        assert!(near(found(Law::Rate, 1.0, 1.0, 0.025), 0.0253, 5.572));
        assert!(near(found(Law::Share, 7.0, 20.0, 0.025), 0.1539, 0.5922));
        assert!(near(found(Law::Share, 0.0, 10.0, 0.025), 0.0, 0.3085));
    }

    #[test]
    fn many_events_have_a_narrow_interval_and_more_events_than_trials_are_all_trials() {
        let many = found(Law::Rate, 1e6, 1e6, 0.025);
        assert!(near(many, 0.998, 1.002) && many.0 < 1.0 && many.1 > 1.0, "{many:?}");
        assert_eq!(
            found(Law::Share, 1001.0, 1000.0, 0.01),
            found(Law::Share, 1000.0, 1000.0, 0.01)
        );
    }
}
