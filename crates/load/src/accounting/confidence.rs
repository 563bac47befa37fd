//! How reliable the figures are: confidence intervals of percentiles, and whether the reply rate was steady.

use c10k_record::PercentileIntervals;

use crate::accounting::histogram::DurationHistogram;
use crate::accounting::series::Series;

/// The probability that the percentile lies beyond one end of a two-sided interval of 95%.
const BEYOND: f64 = 0.025;

/// 95% confidence intervals of percentiles.
///
/// The number of samples above a quantile of the population has a binomial distribution. So the ends of the interval are
/// two order statistics of the sample, whatever the distribution of the values is. If even the largest (or the smallest)
/// sample lies beyond the quantile with too small a probability, there is no interval. Requests are assumed to be
/// independent; if they queue behind each other, the true interval is wider.
#[must_use]
pub(crate) fn intervals(of: &DurationHistogram) -> PercentileIntervals {
    let interval = |quantile: f64| {
        let count = of.count();
        let (high, low) = ranks_from_above(count, 1.0 - quantile)?;
        // The share of samples up to the one with this rank from above; the half keeps rounding away from a whole number.
        let value = |rank: u64| of.at(((count - rank) as f64 + 0.5) / count as f64);
        Some([value(low), value(high)])
    };
    PercentileIntervals {
        p50: interval(0.5),
        p90: interval(0.9),
        p99: interval(0.99),
        p999: interval(0.999),
    }
}

/// The ranks, counted from the largest of `count` samples, of the upper and the lower end of the interval of the quantile
/// that a sample exceeds with probability `above`. The number K of samples above it is binomial. The sample of rank j is
/// not below the quantile if K ≥ j, and not above it if K < j.
fn ranks_from_above(count: u64, above: f64) -> Option<(u64, u64)> {
    /// Beyond this variance of K, the normal distribution is exact to a fraction of a rank.
    const NORMAL_FROM: f64 = 1000.0;
    /// The normal quantile of a two-sided interval of 95%.
    const Z_95: f64 = 1.959_964;
    let expected = count as f64 * above;
    let variance = expected * (1.0 - above);
    if variance > NORMAL_FROM {
        let half_width = Z_95 * variance.sqrt();
        return Some((
            (expected - half_width) as u64,
            (expected + half_width).ceil() as u64 + 1,
        ));
    }
    // P(K = k), from its logarithm for k = 0: with many samples the probability itself is too small for a float.
    let odds = (above / (1.0 - above)).ln();
    let mut logarithm = count as f64 * (1.0 - above).ln();
    let (mut below, mut high) = (0.0, 0);
    for k in 0..count {
        below += logarithm.exp();
        if below <= BEYOND {
            high = k + 1;
        }
        if below >= 1.0 - BEYOND {
            return (high > 0).then_some((high, k + 1));
        }
        logarithm += ((count - k) as f64 / (k + 1) as f64).ln() + odds;
    }
    None
}

/// Whether the reply rate has a trend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Steadiness {
    /// The run has too few slices to decide.
    TooShort,
    /// The trend is insignificant or small.
    Steady,
    /// The fitted rate changed by this much from the first slice to the last, percent.
    Drifting(f64),
}

/// The minimum number of slices.
const SLICES_MIN: usize = 8;
/// A smaller change is not reported as drift, percent.
const DRIFT_MIN_PERCENT: f64 = 5.0;
/// A slope is significant if it is more than this many standard errors from zero.
const SLOPE_ERRORS: f64 = 4.0;

/// Fits a line to the replies per slice and checks whether its slope is significant and large enough to report.
#[must_use]
pub(crate) fn steadiness(series: &Series) -> Steadiness {
    let replies: Vec<f64> = series.whole_slices().iter().map(|slice| slice.replies as f64).collect();
    if replies.len() < SLICES_MIN {
        return Steadiness::TooShort;
    }
    let count = replies.len() as f64;
    let (mean_x, mean_y) = ((count - 1.0) / 2.0, replies.iter().sum::<f64>() / count);
    let spread_x: f64 = (0..replies.len()).map(|x| (x as f64 - mean_x).powi(2)).sum();
    let slope = replies
        .iter()
        .enumerate()
        .map(|(x, y)| (x as f64 - mean_x) * (y - mean_y))
        .sum::<f64>()
        / spread_x;
    let residual = |(x, y): (usize, &f64)| (y - mean_y - slope * (x as f64 - mean_x)).powi(2);
    let error = (replies.iter().enumerate().map(residual).sum::<f64>() / (count - 2.0) / spread_x).sqrt();
    let drift_percent = slope * (count - 1.0) / mean_y.max(f64::MIN_POSITIVE) * 100.0;
    if drift_percent.abs() >= DRIFT_MIN_PERCENT && slope.abs() > SLOPE_ERRORS * error {
        Steadiness::Drifting(drift_percent)
    } else {
        Steadiness::Steady
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_distr::{Distribution, Exp1};
    use rand_pcg::Pcg64;
    use std::time::Duration;

    #[test]
    fn intervals_contain_the_true_percentile_about_95_percent_of_the_time() {
        let mut random = Pcg64::seed_from_u64(11);
        let truth = |quantile: f64| -(1.0 - quantile).ln() * 1e6;
        let mut held = [0; 3];
        for _ in 0..300 {
            let mut sample = DurationHistogram::new();
            for _ in 0..2000 {
                let value: f64 = Exp1.sample(&mut random);
                sample.record((value * 1e6) as u64);
            }
            let found = intervals(&sample);
            for (count, (interval, quantile)) in
                held.iter_mut()
                    .zip([(found.p50, 0.5), (found.p90, 0.9), (found.p99, 0.99)])
            {
                // The histogram rounds to one part in a thousand.
                let [low, high] = interval.expect("2000 samples suffice");
                let (low, high) = (low as f64 * 0.999, high as f64 * 1.001);
                *count += usize::from((low..=high).contains(&truth(quantile)));
            }
        }
        // 95% of 300 is 285, with a standard deviation below 4.
        assert!(held.iter().all(|&count| count >= 270), "{held:?} of 300");
        assert!(
            held.iter().all(|&count| count < 300),
            "{held:?} of 300: too wide to mean anything"
        );
    }

    #[test]
    fn ends_of_an_interval_have_at_least_the_stated_probability_and_too_few_samples_have_none() {
        // P(K = 0) is 0.99^n: it falls to 2.5% between 367 and 368 samples.
        assert_eq!(ranks_from_above(367, 0.01), None);
        assert_eq!(ranks_from_above(368, 0.01), Some((1, 9)));
        // K of five samples about the median: P(K = 0) is 3.1%. Of six: 1.6%.
        assert_eq!(ranks_from_above(5, 0.5), None);
        assert_eq!(ranks_from_above(6, 0.5), Some((1, 6)));
        assert_eq!(ranks_from_above(0, 0.5), None);
        // The exact ranks continue into those of the normal distribution.
        let (below, above) = (ranks_from_above(100_000, 0.01), ranks_from_above(102_000, 0.01));
        let (Some(below), Some(above)) = (below, above) else {
            panic!("there are many samples")
        };
        assert!(
            above.0 - below.0 <= 22 && above.1 - below.1 <= 22,
            "{below:?} {above:?}"
        );
        let mut few = DurationHistogram::new();
        (1..=100).for_each(|ms| few.record(ms * 1_000_000));
        let found = intervals(&few);
        assert!(found.p50.is_some() && found.p90.is_some() && found.p99.is_none() && found.p999.is_none());
        let near = |value: u64, ms: u64| value.abs_diff(ms * 1_000_000) <= ms * 1_000;
        assert!(
            found.p50.is_some_and(|[low, high]| near(low, 40) && near(high, 61)),
            "{found:?}"
        );
    }

    fn series(replies: impl Iterator<Item = u64>) -> Series {
        let replies: Vec<u64> = replies.collect();
        let mut series = Series::new(Duration::from_secs(replies.len() as u64));
        for (second, count) in replies.into_iter().enumerate() {
            series.at(second as u64 * 1_000_000_000).unwrap().replies = count;
        }
        series
    }

    #[test]
    fn a_trend_is_distinguished_from_noise() {
        let noise = |second: u64| second.wrapping_mul(2_654_435_761) % 41;
        assert_eq!(
            steadiness(&series((0..30).map(|second| 1000 + noise(second)))),
            Steadiness::Steady
        );
        let Steadiness::Drifting(percent) =
            steadiness(&series((0..30).map(|second| 1000 - 10 * second + noise(second))))
        else {
            panic!("a decrease by a third is a drift")
        };
        assert!((-40.0..-25.0).contains(&percent), "{percent}");
        // An increase by a fifth, twice as large as its standard error, can be chance.
        let jumps = [900, 1100, 1000, 1180, 1010, 1250, 1100, 1220];
        assert_eq!(steadiness(&series(jumps.into_iter())), Steadiness::Steady);
        // An exactly linear increase by 4% is too small to report.
        assert_eq!(
            steadiness(&series((0..8).map(|second| 1000 + 6 * second))),
            Steadiness::Steady
        );
        assert_eq!(
            steadiness(&series((0..5).map(|second| second * 1000))),
            Steadiness::TooShort
        );
        assert_eq!(steadiness(&series((0..10).map(|_| 0))), Steadiness::Steady);
    }
}
