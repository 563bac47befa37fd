//! Medians, intervals and slopes. Numbers in, numbers out; the only randomness is the seed of the resampling.

pub(crate) mod counts;
pub(crate) mod order;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// Resamples of the bootstrap. At least ten of them lie beyond each end of a 99.9% interval.
const RESAMPLES: usize = 10_000;

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The median; `None` without values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Minimum, first quartile, median, third quartile and maximum, each interpolated between its two neighbours; `None` without
/// values.
pub(crate) fn spread(values: &[f64]) -> Option<[f64; 5]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    Some([0.0, 0.25, 0.5, 0.75, 1.0].map(|quantile| {
        let position = quantile * last as f64;
        let below = position.floor();
        let (low, high) = (sorted[below as usize], sorted[position.ceil() as usize]);
        low + (high - low) * (position - below)
    }))
}

/// A confidence interval for the centre of the distribution that `values` are drawn from: the hull of the bootstrap's
/// percentile interval of the median and of Student's interval of the mean.
///
/// With few blocks the bootstrap alone is too narrow: the interval of three values never leaves their range, which misses the
/// centre one time in four. Student's interval alone is wrong if the values are skewed. The hull is rather too wide than too
/// narrow. `None` for fewer than two values.
pub(crate) fn interval(values: &[f64], confidence: f64, seed: u64) -> Option<Interval> {
    if values.len() < 2 {
        return None;
    }
    let student = student(values, confidence)?;
    let bootstrap = bootstrap(values, confidence, seed)?;
    Some(Interval {
        low: student.low.min(bootstrap.low),
        high: student.high.max(bootstrap.high),
    })
}

/// The mean of a sample and its unbiased variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, variance)
}

/// The standard deviation of a sample; `None` for fewer than two values.
pub(crate) fn deviation(values: &[f64]) -> Option<f64> {
    (values.len() >= 2).then(|| moments(values).1.sqrt())
}

fn student(values: &[f64], confidence: f64) -> Option<Interval> {
    let (mean, variance) = moments(values);
    let n = values.len() as f64;
    let half = students_quantile(n - 1.0, confidence)? * (variance / n).sqrt();
    Some(Interval {
        low: mean - half,
        high: mean + half,
    })
}

/// The quantile of Student's distribution that a two-sided interval of this `confidence` uses.
fn students_quantile(freedom: f64, confidence: f64) -> Option<f64> {
    let student = StudentsT::new(0.0, 1.0, freedom).ok()?;
    Some(student.inverse_cdf(f64::midpoint(1.0, confidence)))
}

fn bootstrap(values: &[f64], confidence: f64, seed: u64) -> Option<Interval> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut draw = vec![0.0; values.len()];
    let mut medians = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        for place in &mut draw {
            *place = values[rng.random_range(0..values.len())];
        }
        medians.push(median(&draw)?);
    }
    Some(percentiles(medians, confidence))
}

/// The percentile interval of these resamples, of which there is at least one.
fn percentiles(mut resampled: Vec<f64>, confidence: f64) -> Interval {
    resampled.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    let at = |share: f64| resampled[((share * resampled.len() as f64) as usize).min(resampled.len() - 1)];
    Interval {
        low: at(tail),
        high: at(1.0 - tail),
    }
}

/// A confidence interval for the difference between the centres of two distributions, that of `b` minus that of `a`, from
/// independent samples: the hull of the bootstrap's interval of the difference of medians and of Welch's interval of the
/// difference of means. `None` if either sample has fewer than two values.
pub(crate) fn difference(a: &[f64], b: &[f64], confidence: f64, seed: u64) -> Option<Interval> {
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let welch = welch(a, b, confidence)?;
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut differences = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let mut drawn = |values: &[f64]| {
            let draw: Vec<f64> = values
                .iter()
                .map(|_| values[rng.random_range(0..values.len())])
                .collect();
            median(&draw)
        };
        differences.push(drawn(b)? - drawn(a)?);
    }
    let bootstrap = percentiles(differences, confidence);
    Some(Interval {
        low: welch.low.min(bootstrap.low),
        high: welch.high.max(bootstrap.high),
    })
}

/// Welch's interval, which allows the two variances to differ.
fn welch(a: &[f64], b: &[f64], confidence: f64) -> Option<Interval> {
    let of_mean = |values: &[f64]| {
        let n = values.len() as f64;
        let (mean, variance) = moments(values);
        (mean, variance / n, n - 1.0)
    };
    let ((mean_a, error_a, free_a), (mean_b, error_b, free_b)) = (of_mean(a), of_mean(b));
    let centre = mean_b - mean_a;
    let error = error_a + error_b;
    if error <= 0.0 {
        return Some(Interval {
            low: centre,
            high: centre,
        });
    }
    let freedom = error.powi(2) / (error_a.powi(2) / free_a + error_b.powi(2) / free_b);
    let half = students_quantile(freedom, confidence)? * error.sqrt();
    Some(Interval {
        low: centre - half,
        high: centre + half,
    })
}

/// The slope of the least-squares line through `points`; `None` if all have the same x.
pub(crate) fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / n;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / n;
    let across: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let both: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (across > 0.0).then(|| both / across)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn an_interval_needs_two_values_and_holds_their_median() {
        assert_eq!(interval(&[1.0], 0.95, 1), None);
        let values = [1.0, 1.1, 0.9, 1.05, 0.97];
        let found = interval(&values, 0.95, 1).expect("five values");
        assert!(found.low < 1.0 && found.high > 1.0);
        assert_eq!(
            found,
            interval(&values, 0.95, 1).expect("five values"),
            "the seed decides"
        );
        let wider = interval(&values, 0.999, 1).expect("five values");
        assert!(wider.low < found.low && wider.high > found.high);
    }

    #[test]
    fn identical_values_have_an_interval_without_width() {
        let found = interval(&[1.0, 1.0, 1.0], 0.99, 7).expect("three values");
        assert!((found.high - found.low).abs() < 1e-12);
    }

    #[test]
    fn student_agrees_with_the_printed_table() {
        // t(0.975; 4) = 2.776: five values with mean 0 and standard deviation 1.
        let values = [-1.264_911, -0.632_456, 0.0, 0.632_456, 1.264_911];
        let found = student(&values, 0.95).expect("five values");
        assert!((found.high - 2.776 / 5.0_f64.sqrt()).abs() < 1e-3, "{found:?}");
    }

    /// The A/A control relies on this: at most about 5% of the 95% intervals miss the true centre, also with three blocks.
    /// The test uses 2000 draws from a normal distribution and a fixed seed.
    #[test]
    fn intervals_of_few_blocks_miss_no_oftener_than_promised() {
        let mut rng = Pcg64Mcg::seed_from_u64(11);
        let mut normal = || (0..12).map(|_| rng.random_range(-0.5..0.5)).sum::<f64>();
        for blocks in [3_usize, 5] {
            let mut missed = 0;
            for _ in 0..200 {
                let values: Vec<f64> = (0..blocks).map(|_| normal()).collect();
                let found = interval(&values, 0.95, 1).expect("enough values");
                missed += u32::from(found.low > 0.0 || found.high < 0.0);
            }
            // 5% of 200 is 10; twice that is beyond four standard deviations.
            assert!(missed <= 20, "{missed} of 200 missed with {blocks} blocks");
        }
    }

    #[test]
    fn welch_agrees_with_a_worked_example() {
        // Means 3 and 6, variances 2.5 and 10, five each: t = 1.897, 5.882 degrees of freedom, t(0.975) = 2.459.
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.0, 6.0, 8.0, 10.0]);
        let found = welch(&a, &b, 0.95).expect("five values each");
        let half = 2.459 * 2.5_f64.sqrt();
        assert!(
            (found.low - (3.0 - half)).abs() < 1e-2 && (found.high - (3.0 + half)).abs() < 1e-2,
            "{found:?}"
        );
        assert!(difference(&a, &b[..1], 0.95, 1).is_none());
    }

    #[test]
    fn a_slope_is_that_of_the_line() {
        let found = slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]).expect("three places");
        assert!((found - 2.0).abs() < 1e-12);
        assert_eq!(slope(&[(1.0, 1.0), (1.0, 2.0)]), None);
    }

    #[test]
    fn a_spread_is_five_numbers_in_order() {
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[2.0]), Some([2.0; 5]));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some([1.0, 1.75, 2.5, 3.25, 4.0]));
    }
}
