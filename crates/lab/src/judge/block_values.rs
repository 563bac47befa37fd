//! One number of a claim: what it was in each block, what was counted for it, and the intervals that follow.

use super::scale::{Scale, interval};
use crate::statistic::{Form, Pick};
use crate::stats::counts::{Counted, Law};
use crate::stats::{self, Interval, order};

/// What a number was in each block.
#[derive(Debug, Clone)]
pub(super) struct BlockValues {
    pub(super) form: Form,
    pub(super) per_block: Vec<f64>,
    /// The events behind a number that counts.
    pub(super) counts: Option<Counts>,
}

/// The events behind a number.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    pub(super) law: Law,
    pub(super) pick: Pick,
    /// All blocks together, for each level of the axis.
    pub(super) by_level: Vec<Counted>,
}

impl BlockValues {
    pub(super) fn scale(&self) -> Scale {
        Scale::of(self.form, &self.per_block)
    }

    fn scaled(&self) -> Vec<f64> {
        let scale = self.scale();
        self.per_block.iter().map(|&value| scale.to(value)).collect()
    }

    /// The interval that decides: of the median over the blocks, each end wrong with a chance of at most `tail`. That of a
    /// count is never narrower than its exact interval. `None` with fewer than two blocks.
    pub(super) fn deciding(&self, tail: f64) -> Option<Interval> {
        let values = self.scaled();
        if values.len() < 2 {
            return None;
        }
        let are_equal = values.iter().all(|value| !order::differ(*value, values[0]));
        let over_blocks = match (&self.counts, are_equal) {
            // The law of the events says how equal counts spread.
            (Some(_), true) => Interval {
                low: values[0],
                high: values[0],
            },
            _ => order::median_interval(&values, tail),
        };
        Some(self.with_counts(self.scale().interval_back(over_blocks), tail, 1.0))
    }

    /// The interval that reports show, at this two-sided confidence.
    pub(super) fn displayed(&self, confidence: f64, seed: u64) -> Option<Interval> {
        let over_blocks = interval(self.form, &self.per_block, confidence, seed)?;
        Some(self.with_counts(over_blocks, (1.0 - confidence) / 2.0, 1.0))
    }

    /// The interval that so many blocks would give, if they spread as these do. `None` with fewer than two blocks.
    pub(super) fn expected(&self, blocks: u32, tail: f64) -> Option<Interval> {
        let values = self.scaled();
        let (centre, deviation) = (stats::median(&values)?, stats::deviation(&values)?);
        let count = blocks as usize;
        let half = match order::differ(centre + deviation, centre) {
            true => deviation * order::half_width(count, tail),
            false if self.counts.is_some() || order::is_exact(count, tail) => 0.0,
            false => f64::INFINITY,
        };
        let over_blocks = Interval {
            low: centre - half,
            high: centre + half,
        };
        let more = f64::from(blocks) / values.len() as f64;
        Some(self.with_counts(self.scale().interval_back(over_blocks), tail, more))
    }

    /// The smallest interval that contains this one and the exact one of the counts, of `more` times as many blocks.
    fn with_counts(&self, over_blocks: Interval, tail: f64, more: f64) -> Interval {
        match self.counts.as_ref().and_then(|counts| counts.interval(tail, more)) {
            None => over_blocks,
            Some(exact) => Interval {
                low: over_blocks.low.min(exact.low),
                high: over_blocks.high.max(exact.high),
            },
        }
    }
}

impl Counts {
    /// The exact interval. The largest of several upper ends bounds the highest level with the chance of one of them, the
    /// largest of the lower ends only with the chance of all; so for the lowest, the other way round.
    fn interval(&self, tail: f64, more: f64) -> Option<Interval> {
        let levels = self.by_level.len() as f64;
        let ends = |tail: f64| {
            self.by_level
                .iter()
                .map(move |counted| self.law.interval(counted.times(more), tail))
        };
        let highest = |tail: f64, end: fn(&Interval) -> f64| ends(tail).map(|one| end(&one)).max_by(f64::total_cmp);
        let lowest = |tail: f64, end: fn(&Interval) -> f64| ends(tail).map(|one| end(&one)).min_by(f64::total_cmp);
        let (low, high) = match self.pick {
            Pick::Only | Pick::Highest => (highest(tail / levels, |one| one.low)?, highest(tail, |one| one.high)?),
            Pick::Lowest => (lowest(tail, |one| one.low)?, lowest(tail / levels, |one| one.high)?),
        };
        Some(Interval { low, high })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overflows(per_block: &[f64]) -> BlockValues {
        let events = per_block.iter().sum();
        BlockValues {
            form: Form::Plain,
            per_block: per_block.to_vec(),
            counts: Some(Counts {
                law: Law::Rate,
                pick: Pick::Only,
                by_level: vec![Counted {
                    events,
                    of: per_block.len() as f64,
                }],
            }),
        }
    }

    #[test]
    fn three_blocks_without_an_overflow_do_not_prove_that_there_are_none() {
        let none = overflows(&[0.0; 3]).deciding(0.05).expect("three blocks");
        assert!(none.low == 0.0 && (none.high - 3.0 / 3.0).abs() < 0.002, "{none:?}");
        let shown = overflows(&[0.0; 3]).displayed(0.9, 1).expect("three blocks");
        assert!((shown.high - 1.0).abs() < 0.002, "{shown:?}");
        let more = overflows(&[0.0; 3]).expected(30, 0.05).expect("three blocks");
        assert!((more.high - 0.1).abs() < 0.002, "{more:?}");
    }

    #[test]
    fn counts_that_vary_more_than_their_law_says_have_the_interval_over_the_blocks() {
        let varying = overflows(&[0.0, 900.0, 10.0, 400.0, 100.0, 2.0, 700.0, 30.0]);
        let over_blocks = BlockValues {
            counts: None,
            ..varying.clone()
        };
        assert_eq!(varying.deciding(0.01), over_blocks.deciding(0.01));
        let steady = overflows(&[100.0, 101.0, 99.0, 100.0, 100.0, 100.0, 101.0, 99.0]);
        let found = steady.deciding(0.01).expect("eight blocks");
        // √800 ÷ 8 = 3.5 is the deviation of the mean of eight counts of 100.
        assert!(
            (90.0..93.0).contains(&found.low) && (108.0..110.0).contains(&found.high),
            "{found:?}"
        );
    }

    #[test]
    fn the_highest_of_several_levels_is_bounded_by_the_levels_own_counts() {
        let level = |events| Counted { events, of: 10.0 };
        let of = |pick, tail| {
            let counts = Counts {
                law: Law::Rate,
                pick,
                by_level: vec![level(0.0), level(50.0)],
            };
            counts.interval(tail, 1.0).expect("two levels")
        };
        let alone = |events, tail| Law::Rate.interval(level(events), tail);
        assert_eq!(of(Pick::Highest, 0.01).high, alone(50.0, 0.01).high);
        assert_eq!(of(Pick::Highest, 0.01).low, alone(50.0, 0.005).low);
        assert_eq!(of(Pick::Lowest, 0.01).low, 0.0);
        assert_eq!(of(Pick::Lowest, 0.01).high, alone(0.0, 0.005).high);
    }

    #[test]
    fn equal_values_that_are_no_counts_decide_nothing_until_there_are_enough_blocks() {
        let levels = BlockValues {
            form: Form::Level,
            per_block: vec![0.001; 5],
            counts: None,
        };
        let found = levels.deciding(0.01).expect("five blocks");
        assert_eq!((found.low, found.high), (0.0, f64::INFINITY));
        assert_eq!(levels.expected(6, 0.01).expect("five blocks").high, f64::INFINITY);
        assert!((levels.expected(7, 0.01).expect("five blocks").high - 0.001).abs() < 1e-12);
    }
}
