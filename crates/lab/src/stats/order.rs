//! Intervals of a median from order statistics. With enough values they are exact for every distribution; with fewer they reach
//! beyond the values.

use statrs::distribution::{ContinuousCDF as _, Normal};

use super::Interval;

/// Where the ends of an interval lie.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ends {
    /// At the value of this rank, counted from the smallest for the lower end and from the largest for the upper.
    Rank(usize),
    /// Outside all values, by so many times their range.
    Beyond(f64),
}

/// An interval of the median of the distribution that `values` are drawn from. The median lies below it with a chance of at
/// most `tail`, and above it with the same.
///
/// The median lies below all of n values with a chance of 2⁻ⁿ, whatever the distribution. If that is more than `tail`, the
/// ends reach beyond the values, by as many times their range as are enough where the density falls away from the median, as
/// in a normal distribution or one with heavy tails, and where it rises from the median to the edge as that of an exponential
/// distribution, which is twice as high there. Two separate heaps of values are no such distribution.
///
/// Values that are all equal show no range, so that both ends are then infinite, as they are for fewer than two values.
pub(crate) fn median_interval(values: &[f64], tail: f64) -> Interval {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let unbounded = Interval {
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
    };
    let (Some(&first), Some(&last)) = (sorted.first(), sorted.last()) else {
        return unbounded;
    };
    match ends(sorted.len(), tail) {
        Ends::Rank(rank) => Interval {
            low: sorted[rank - 1],
            high: sorted[sorted.len() - rank],
        },
        Ends::Beyond(ranges) if differ(first, last) && ranges.is_finite() => Interval {
            low: first - ranges * (last - first),
            high: last + ranges * (last - first),
        },
        Ends::Beyond(_) => unbounded,
    }
}

/// Whether two values differ by more than the rounding of the arithmetic that they come from.
pub(crate) fn differ(one: f64, two: f64) -> bool {
    (one - two).abs() > 1e-9 * one.abs().max(two.abs())
}

/// Half the width that [`median_interval`] has on average for `count` normal values, in standard deviations.
pub(crate) fn half_width(count: usize, tail: f64) -> f64 {
    // Blom's approximation of the mean of an order statistic.
    let expected = |rank: usize| -Normal::standard().inverse_cdf((rank as f64 - 0.375) / (count as f64 + 0.25));
    match ends(count, tail) {
        Ends::Rank(rank) => expected(rank),
        Ends::Beyond(ranges) => expected(1) * (1.0 + 2.0 * ranges),
    }
}

/// Whether `count` values are enough for an interval that does not reach beyond them, and so is exact for every distribution.
pub(crate) fn is_exact(count: usize, tail: f64) -> bool {
    matches!(ends(count, tail), Ends::Rank(_))
}

fn ends(count: usize, tail: f64) -> Ends {
    let n = count as f64;
    // The chance that exactly `rank` values lie below the median, as a logarithm: its powers of two have no exponent.
    let mut exactly = -n * std::f64::consts::LN_2;
    if exactly > tail.ln() {
        return Ends::Beyond(ranges_beyond(n, exactly.exp(), tail));
    }
    let mut at_most = exactly.exp();
    let mut rank = 0;
    while at_most <= tail && 2 * (rank + 1) <= count {
        rank += 1;
        exactly += ((n - rank as f64 + 1.0) / rank as f64).ln();
        at_most += exactly.exp();
    }
    Ends::Rank(rank.max(1))
}

/// Let all n values lie above the median, with the smallest at more than a part κ of the distance of the largest. Given the
/// largest, the chance is ((G(1) − G(κ)) ÷ G(1))ⁿ⁻¹, where G is the distribution of the distance. That is largest for the one
/// that grows from the median to its double at the edge, G(κ) = 2^κ − 1, so (2 − 2^κ)ⁿ⁻¹. An end beyond the smallest by k
/// ranges is wrong in these cases with κ = k ÷ (1 + k).
fn ranges_beyond(n: f64, all_on_one_side: f64, tail: f64) -> f64 {
    let part = (2.0 - (tail / all_on_one_side).powf(1.0 / (n - 1.0))).log2();
    part / (1.0 - part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_enough_values_the_ends_are_values_whose_ranks_follow_from_the_binomial_distribution() {
        // 2^-7 = 0.0078; of 12 values at most one below the median: 13 / 4096 = 0.0032, at most two: 79 / 4096 = 0.0193.
        assert_eq!(ends(7, 0.01), Ends::Rank(1));
        assert_eq!(ends(12, 0.0032), Ends::Rank(2));
        assert_eq!(ends(12, 0.0031), Ends::Rank(1));
        assert_eq!(ends(12, 0.02), Ends::Rank(3));
        assert_eq!(ends(50, 0.01), Ends::Rank(17), "at most 16 of 50: 0.0077");
        let values: Vec<f64> = (1..=12).rev().map(f64::from).collect();
        let found = median_interval(&values, 0.01);
        assert_eq!((found.low, found.high), (2.0, 11.0));
        assert!(is_exact(7, 0.01) && !is_exact(6, 0.01));
        assert!(
            matches!(ends(5000, 0.01), Ends::Rank(2400..2500)),
            "powers of two that no number holds"
        );
        assert_eq!(ends(1, 0.5), Ends::Rank(1));
    }

    #[test]
    fn with_fewer_values_the_ends_reach_beyond_them() {
        // 2^-5 ÷ 0.01 = 3.125, its fourth root's inverse 0.752, log2(2 - 0.752) = 0.3196, 0.3196 / 0.6804 = 0.4697.
        let Ends::Beyond(ranges) = ends(5, 0.01) else {
            panic!("five values are too few for 0.01");
        };
        assert!((ranges - 0.4697).abs() < 1e-3, "{ranges}");
        let found = median_interval(&[1.0, 2.0, 3.0, 5.0, 4.0], 0.01);
        assert!((found.low - (1.0 - 4.0 * ranges)).abs() < 1e-12 && (found.high - (5.0 + 4.0 * ranges)).abs() < 1e-12);
        let wider = median_interval(&[1.0, 2.0, 3.0, 5.0, 4.0], 0.001);
        assert!(wider.low < found.low && wider.high > found.high);
    }

    #[test]
    fn equal_values_bound_nothing_until_there_are_enough() {
        assert_eq!(median_interval(&[1.0; 6], 0.01).high, f64::INFINITY);
        assert_eq!(median_interval(&[1.0; 6], 0.01).low, f64::NEG_INFINITY);
        assert_eq!(median_interval(&[1.0, 1.0 + 1e-12], 0.01).high, f64::INFINITY);
        assert_eq!(median_interval(&[1.0; 7], 0.01), Interval { low: 1.0, high: 1.0 });
        for values in [&[][..], &[1.0]] {
            assert_eq!(median_interval(values, 0.01).high, f64::INFINITY, "{values:?}");
        }
    }

    #[test]
    fn the_expected_width_falls_with_the_values() {
        assert!(half_width(3, 0.01) > half_width(5, 0.01) && half_width(5, 0.01) > half_width(7, 0.01));
        // The seventh order statistic of seven normal values is 1.352 on average.
        assert!((half_width(7, 0.01) - 1.352).abs() < 0.02);
        assert!(half_width(1000, 0.01) < 0.1);
    }
}
