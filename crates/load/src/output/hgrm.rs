//! The latency distribution in the text format of HdrHistogram, which its plotters read.

use std::fmt::Write;

use hdrhistogram::Histogram;

use crate::LoadReport;

/// Lines for each halving of the distance to 100%.
const TICKS_PER_HALF: u32 = 5;
const NS_PER_MS: f64 = 1e6;

/// The percentile distribution of the latency, in milliseconds.
#[must_use]
pub fn latency(report: &LoadReport) -> String {
    distribution(report.account.latency.histogram())
}

fn distribution(histogram: &Histogram<u64>) -> String {
    let mut out = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        // The steps add up to 0.9000000000000001 and the like, beyond the value that has exactly that share below it:
        // a line's value is that of the quantile as it is printed.
        let quantile = (step.quantile_iterated_to() * 1e12).round() / 1e12;
        let value = histogram.value_at_quantile(quantile);
        let below = histogram.count_between(0, value);
        let value = value as f64 / NS_PER_MS;
        // Writing to a String cannot fail.
        let _ = if quantile < 1.0 {
            writeln!(
                out,
                "{value:12.3} {quantile:2.12} {below:10} {:14.2}",
                1.0 / (1.0 - quantile)
            )
        } else {
            writeln!(out, "{value:12.3} {quantile:2.12} {below:10} {:>14}", "inf")
        };
    }
    let (mean, deviation) = (histogram.mean() / NS_PER_MS, histogram.stdev() / NS_PER_MS);
    let _ = writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let max = histogram.max() as f64 / NS_PER_MS;
    let _ = writeln!(out, "#[Max     = {max:12.3}, Total count    = {:12}]", histogram.len());
    let _ = writeln!(
        out,
        "#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.buckets(),
        2048
    );
    out
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::distribution;

    #[test]
    fn a_share_that_is_met_exactly_has_the_value_that_meets_it() {
        // 270 of 300 are nine tenths of them, and the 271st is another value.
        let mut histogram = Histogram::new(3).expect("three digits");
        histogram.record_n(1_000_000, 270).expect("resizes");
        histogram.record_n(2_000_000, 30).expect("resizes");
        let text = distribution(&histogram);
        let line = text.lines().find(|line| line.contains(" 0.900000000000 "));
        let fields: Vec<&str> = line.expect("a line at 0.9").split_whitespace().collect();
        assert_eq!(fields[..3], ["1.000", "0.900000000000", "270"], "{text}");
    }
}
