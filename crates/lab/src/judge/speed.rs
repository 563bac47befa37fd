//! The speed of the server's CPU as a covariate.
//!
//! A neighbour on the same core makes the CPU slower for seconds at a time, and each request takes more CPU time then. The idle
//! counter measures the speed within each cell. Where an experiment asks for it (`covariate = "cpu-speed"`), the ratio of two
//! cells with equal levels is adjusted to equal speeds:
//!
//! > log of the ratio − slope × log of (speed ÷ the other's speed)
//!
//! The slope is fitted to all such pairs of the study, each about its own mean. For each block it is fitted to the other blocks:
//! a value that takes part in its own slope lies too close to the line, and with few blocks the intervals would be too narrow.
//!
//! If a variant changed the speed, the adjustment would hide a part of what it costs. So a pair whose speeds differ by more than
//! chance stays as it was measured.

use std::collections::{BTreeMap, BTreeSet};

use super::block_values::BlockValues;
use super::pairs::{control_pairs, ratio_pairs};
use crate::measure::{self, ADJUSTED, Measure};
use crate::results::Results;
use crate::statistic::Form;
use crate::stats::order;

/// With fewer blocks the slope is too uncertain.
const BLOCKS_MIN: usize = 12;

/// The chance, on each side, that equal speeds are called different. Then the values stay as they were measured.
const TAIL: f64 = 0.025;

/// Two cells of a plan: that of a variant, and that of the variant that it is divided by, at the same levels.
type Cells<'a> = (&'a str, &'a str);

/// One block of a pair, as logarithms.
#[derive(Debug, Clone, Copy)]
struct Point {
    ratio: f64,
    speed: f64,
}

/// All pairs of a study whose ratios may be adjusted.
pub(super) struct Speed {
    by_cells: BTreeMap<(String, String), BTreeMap<u32, Point>>,
}

/// A ratio, block by block, and what its adjustment rests on.
pub(super) struct Adjusted {
    pub(super) per_block: Vec<f64>,
    /// Over all blocks.
    pub(super) slope: f64,
    /// The speed of the variant's cell divided by that of the other.
    pub(super) speeds: BlockValues,
    /// Whether the speeds differ by more than chance, so that nothing is adjusted.
    pub(super) differs: bool,
}

/// Sums of squares and products about the mean, of some points.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    products: f64,
    squares: f64,
}

impl Sums {
    fn of(points: impl Iterator<Item = Point> + Clone) -> Self {
        let count = points.clone().count().max(1) as f64;
        let mean = |of: fn(Point) -> f64| points.clone().map(of).sum::<f64>() / count;
        let (ratio, speed) = (mean(|point| point.ratio), mean(|point| point.speed));
        points.fold(Self::default(), |sums, point| Self {
            products: sums.products + (point.speed - speed) * (point.ratio - ratio),
            squares: sums.squares + (point.speed - speed).powi(2),
        })
    }
}

impl Speed {
    /// `None` where the experiment does not ask for it.
    pub(super) fn of(results: &Results) -> Option<Self> {
        results.plan.experiment.covariate.as_ref()?;
        let (ratio, speed) = (measure::find(ADJUSTED)?, measure::find("cpu-speed")?);
        let control = control_pairs(results.plan).into_iter();
        let control = control.map(|(original, again)| (again.id.as_str(), original.id.as_str()));
        let pairs: BTreeSet<Cells> = ratio_pairs(results.plan).into_iter().chain(control).collect();
        let by_cells = pairs.into_iter().map(|(own, other)| {
            let points = points(results, (own, other), ratio, speed);
            ((own.to_owned(), other.to_owned()), points)
        });
        Some(Self {
            by_cells: by_cells.collect(),
        })
    }

    /// The ratio of two cells at equal speeds. `None` if they are no pair, if there are too few blocks, or if the idle counter
    /// hardly ran in one of the cells, as next to a server that never sleeps.
    pub(super) fn adjusted(&self, (own, other): Cells, blocks: usize) -> Option<Adjusted> {
        let points = self.by_cells.get(&(own.to_owned(), other.to_owned()))?;
        if points.len() < BLOCKS_MIN || points.len() < blocks {
            return None;
        }
        let speeds = BlockValues {
            form: Form::Factor,
            per_block: points.values().map(|point| point.speed.exp()).collect(),
            counts: None,
        };
        let differs = speeds
            .deciding(TAIL)
            .is_none_or(|found| found.low > 1.0 || found.high < 1.0);
        let per_block = points.iter().map(|(&block, point)| {
            let slope = if differs { 0.0 } else { self.slope(Some(block)) };
            (point.ratio - slope * point.speed).exp()
        });
        Some(Adjusted {
            per_block: per_block.collect(),
            slope: self.slope(None),
            speeds,
            differs,
        })
    }

    /// The slope over all pairs, without one block; 0 where the speeds do not vary.
    fn slope(&self, without: Option<u32>) -> f64 {
        let pairs = self.by_cells.values().map(|points| {
            let kept = points.iter().filter(move |(block, _)| Some(**block) != without);
            Sums::of(kept.map(|(_, &point)| point))
        });
        let all = pairs.fold(Sums::default(), |all, pair| Sums {
            products: all.products + pair.products,
            squares: all.squares + pair.squares,
        });
        if order::differ(1.0 + all.squares, 1.0) {
            all.products / all.squares
        } else {
            0.0
        }
    }
}

/// The blocks in which both cells have both measures.
fn points(results: &Results, (own, other): Cells, ratio: &Measure, speed: &Measure) -> BTreeMap<u32, Point> {
    let logs = |measure: &Measure| -> BTreeMap<u32, f64> {
        let others = results.values(other, measure);
        let both = results.values(own, measure).into_iter();
        let both = both.filter_map(|(block, value)| Some((block, (value / others.get(&block)?).ln())));
        both.filter(|(_, log)| log.is_finite()).collect()
    };
    let (ratios, speeds) = (logs(ratio), logs(speed));
    let both = ratios.into_iter().filter_map(|(block, ratio)| {
        let speed = *speeds.get(&block)?;
        Some((block, Point { ratio, speed }))
    });
    both.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_pcg::Pcg64Mcg;

    /// A study of three pairs in which the ratio is 1 at equal speeds.
    struct Truth {
        slope: f64,
        /// By how much the first variant changes the speed.
        own_effect: f64,
        /// What varies besides the speed.
        noise: fn(&mut Pcg64Mcg) -> f64,
    }

    /// The CPU has three speeds, and noise that is even on both sides of 0.
    const EVEN: Truth = Truth {
        slope: -0.6,
        own_effect: 0.0,
        noise: |random| random.random_range(-0.1..0.1),
    };

    fn cells(pair: usize) -> (String, String) {
        (format!("own {pair}"), format!("other {pair}"))
    }

    impl Truth {
        fn draw(&self, blocks: u32, seed: u64) -> Speed {
            let mut random = Pcg64Mcg::seed_from_u64(seed);
            let by_cells = (0..3).map(|pair| {
                let effect = if pair == 0 { self.own_effect } else { 0.0 };
                let points = (0..blocks).map(|block| {
                    let speed = 0.3 * f64::from(random.random_range(-1..=1)) + effect;
                    let ratio = self.slope * speed + (self.noise)(&mut random);
                    (block, Point { ratio, speed })
                });
                (cells(pair), points.collect())
            });
            Speed {
                by_cells: by_cells.collect(),
            }
        }
    }

    fn adjusted(speed: &Speed, blocks: usize) -> Option<Adjusted> {
        let (own, other) = cells(0);
        speed.adjusted((&own, &other), blocks)
    }

    fn interval(per_block: Vec<f64>, tail: f64) -> crate::stats::Interval {
        let values = BlockValues {
            form: Form::Factor,
            per_block,
            counts: None,
        };
        values.deciding(tail).expect("many blocks")
    }

    #[test]
    fn what_the_speed_explains_is_taken_out() {
        let speed = EVEN.draw(30, 1);
        let found = adjusted(&speed, 30).expect("enough blocks");
        assert!(
            !found.differs && (found.slope - EVEN.slope).abs() < 0.1,
            "{}",
            found.slope
        );
        let (own, other) = cells(0);
        let plain = speed.by_cells[&(own, other)].values().map(|point| point.ratio.exp());
        let plain = interval(plain.collect(), 0.01);
        let at_equal_speeds = interval(found.per_block, 0.01);
        let width = |interval: crate::stats::Interval| interval.high / interval.low;
        assert!(
            width(at_equal_speeds).ln() < 0.5 * width(plain).ln(),
            "{at_equal_speeds:?}, {plain:?}"
        );
        assert!((0.9..1.1).contains(&at_equal_speeds.low) && (0.9..1.1).contains(&at_equal_speeds.high));
    }

    #[test]
    fn a_pair_whose_speeds_differ_stays_as_it_was_measured() {
        let slower = Truth {
            own_effect: -0.4,
            ..EVEN
        };
        let speed = slower.draw(30, 1);
        let found = adjusted(&speed, 30).expect("enough blocks");
        assert!(found.differs);
        let (own, other) = cells(0);
        let points = speed.by_cells[&(own, other)].values();
        let plain: Vec<f64> = points.map(|point| point.ratio.exp()).collect();
        assert_eq!(found.per_block, plain);
    }

    #[test]
    fn few_blocks_or_a_block_without_a_speed_are_not_adjusted() {
        assert!(adjusted(&EVEN.draw(11, 1), 11).is_none());
        assert!(adjusted(&EVEN.draw(12, 1), 12).is_some());
        assert!(
            adjusted(&EVEN.draw(12, 1), 13).is_none(),
            "one block of 13 has no speed"
        );
        assert!(
            EVEN.draw(12, 1).adjusted(("own 0", "other 1"), 12).is_none(),
            "no pair of equal levels"
        );
    }

    /// With the smallest number of blocks that is adjusted, an interval misses the truth about as often as it may, also with
    /// noise that is far from even.
    #[test]
    fn the_interval_at_equal_speeds_misses_the_truth_no_more_often_than_it_may() {
        const STUDIES: u64 = 4000;
        const TAIL: f64 = 0.02;
        let skewed = Truth {
            // The median of this exponential distribution is 0.
            noise: |random| -0.1 * (random.random_range(f64::MIN_POSITIVE..1.0).ln() + std::f64::consts::LN_2),
            ..EVEN
        };
        for truth in [EVEN, skewed] {
            let missed = (0..STUDIES).filter(|&seed| {
                let found = adjusted(&truth.draw(12, seed), 12).expect("enough blocks");
                let interval = interval(found.per_block, TAIL);
                interval.low > 1.0 || interval.high < 1.0
            });
            let missed = missed.count() as f64 / STUDIES as f64;
            assert!(missed < 1.25 * 2.0 * TAIL, "{missed}");
            assert!(
                missed > 0.1 * TAIL,
                "an interval that never misses says little: {missed}"
            );
        }
    }
}
