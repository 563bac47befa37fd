//! Histograms of durations: bounded memory, exact merging.

use c10k_record::LatencySummary;
use hdrhistogram::Histogram;

/// Longer durations are recorded as this one: one hour, nanoseconds.
const LONGEST_NS: u64 = 3_600_000_000_000;
/// Significant decimal digits: a recorded value is known to one part in a thousand.
const DIGITS: u8 = 3;

/// A histogram of durations in nanoseconds. It takes 270 KiB, however many values it holds.
#[derive(Debug, Clone)]
pub(crate) struct DurationHistogram {
    histogram: Histogram<u64>,
}

impl Default for DurationHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl DurationHistogram {
    /// An empty histogram.
    #[must_use]
    pub(crate) fn new() -> Self {
        // The constructor requires 1 <= low, 2 * low <= high and at most 5 digits.
        let mut histogram = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("constant bounds are valid");
        // Writes every counter, so that recording causes no page fault during a run.
        histogram.clear();
        Self { histogram }
    }

    /// Records a duration. One longer than an hour is recorded as an hour.
    pub(crate) fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns);
    }

    /// Adds the values of `other`. The result equals a single histogram of all values.
    pub(crate) fn add(&mut self, other: &Self) {
        // Adding fails only if the other's range is wider, and all histograms have the same range.
        self.histogram
            .add(&other.histogram)
            .expect("all histograms have the same bounds");
    }

    /// Number of values.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The value at `quantile` (0 to 1): this share of all values does not exceed it. 0 if the histogram is empty.
    #[must_use]
    pub(crate) fn at(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    /// The underlying histogram, for output formats.
    #[must_use]
    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// Minimum, percentiles, maximum and mean.
    #[must_use]
    pub(crate) fn summary(&self) -> LatencySummary {
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
        let (mut all, mut left, mut right) = (
            DurationHistogram::new(),
            DurationHistogram::new(),
            DurationHistogram::new(),
        );
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
            let mut one = DurationHistogram::new();
            one.record(value);
            let read = one.at(0.5);
            assert!(read >= value && read - value <= value / 1000, "{value} reads {read}");
        }
    }

    #[test]
    fn an_empty_histogram_reads_zero_and_overlong_values_are_counted() {
        let mut durations = DurationHistogram::new();
        assert_eq!(durations.summary(), LatencySummary::default());
        durations.record(u64::MAX);
        assert_eq!(durations.count(), 1);
        assert!(durations.summary().max >= LONGEST_NS);
    }
}
