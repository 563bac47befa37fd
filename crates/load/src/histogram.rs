//! Durations in bounded memory: HDR histograms, merged exactly.

use c10k_record::LatencySummary;
use hdrhistogram::Histogram;

/// The longest duration that is told apart from longer ones: one hour, nanoseconds.
const LONGEST_NS: u64 = 3_600_000_000_000;
/// Decimal digits kept of every duration: a value is known to one part in a thousand.
const DIGITS: u8 = 3;

/// A histogram of durations in nanoseconds, 270 KiB whatever the number of values.
#[derive(Debug, Clone)]
pub struct Durations {
    histogram: Histogram<u64>,
}

impl Default for Durations {
    fn default() -> Self {
        Self::new()
    }
}

impl Durations {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        // The bounds are constants that satisfy the constructor: 1 <= low, 2 * low <= high, at most 5 digits.
        let mut histogram = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("constant bounds are valid");
        // Writes every counter, so that no first value of its kind meets an absent page during a run.
        histogram.clear();
        Self { histogram }
    }

    /// Records one duration. Longer ones than an hour count as an hour.
    pub fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns);
    }

    /// Adds the values of `other`: the result is what one histogram of all values would have been.
    pub fn add(&mut self, other: &Self) {
        // Adding fails only where the receiver cannot hold the other's range, and all have the same.
        self.histogram
            .add(&other.histogram)
            .expect("all histograms have the same bounds");
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The value that the share `quantile` (0 to 1) of all values does not exceed; 0 when empty.
    #[must_use]
    pub fn at(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    /// The histogram itself, for its file formats.
    #[must_use]
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// The usual percentiles.
    #[must_use]
    pub fn summary(&self) -> LatencySummary {
        if self.histogram.is_empty() {
            return LatencySummary::default();
        }
        LatencySummary {
            min: self.histogram.min(),
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p999: self.at(0.999),
            max: self.histogram.max(),
            mean: self.histogram.mean(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_is_exact() {
        let (mut all, mut left, mut right) = (Durations::new(), Durations::new(), Durations::new());
        for value in (0..50_000u64).map(|step| step * step) {
            all.record(value);
            if value % 3 == 0 {
                left.record(value);
            } else {
                right.record(value);
            }
        }
        left.add(&right);
        assert_eq!(left.summary(), all.summary());
        assert_eq!(left.count(), 50_000);
    }

    #[test]
    fn a_value_is_known_to_one_part_in_a_thousand() {
        for value in [1, 1_000, 123_456, 98_765_432, LONGEST_NS / 2] {
            let mut one = Durations::new();
            one.record(value);
            let read = one.at(0.5);
            assert!(read >= value && read - value <= value / 1000, "{value} reads {read}");
        }
    }

    #[test]
    fn nothing_recorded_reads_zero_and_overlong_values_count() {
        let mut durations = Durations::new();
        assert_eq!(durations.summary(), LatencySummary::default());
        durations.record(u64::MAX);
        assert_eq!(durations.count(), 1);
        assert!(durations.summary().max >= LONGEST_NS);
    }
}
