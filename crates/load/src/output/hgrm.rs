//! The latency distribution in the text format of HdrHistogram, which its plotters read.

use std::fmt::Write;

use crate::LoadReport;

/// Lines for each halving of the distance to 100%.
const TICKS_PER_HALF: u32 = 5;
const NS_PER_MS: f64 = 1e6;

/// The percentile distribution of the latency, in milliseconds.
#[must_use]
pub fn latency(report: &LoadReport) -> String {
    let histogram = report.account.latency.histogram();
    let mut out = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        let value = step.value_iterated_to() as f64 / NS_PER_MS;
        let quantile = step.quantile_iterated_to();
        let below = histogram.count_between(0, step.value_iterated_to());
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
