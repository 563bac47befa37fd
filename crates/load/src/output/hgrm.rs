//! The latency distribution in the text format of HdrHistogram, which its plotting tools read.

use std::io;

use hdrhistogram::Histogram;

use super::format::{Destination, OutputFormat};
use crate::report::LoadReport;

pub(super) const ROW: OutputFormat = OutputFormat {
    flag: "hgrm",
    help: "Write the latency distribution to FILE in HdrHistogram's text format",
    conflicts: &["find-max"],
    destination: Destination::File,
    write,
};

/// The number of lines per halving of the distance to 100%.
const TICKS_PER_HALF: u32 = 5;
const NS_PER_MS: f64 = 1e6;

/// Values are milliseconds.
fn write(report: &LoadReport, out: &mut dyn io::Write) -> io::Result<()> {
    distribution(report.stats.latency.histogram(), out)
}

fn distribution(histogram: &Histogram<u64>, out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        // The iterator adds up quantiles such as 0.9000000000000001, which can select the next value. The value of a line
        // is that of the quantile as it is printed.
        let quantile = (step.quantile_iterated_to() * 1e12).round() / 1e12;
        let value = histogram.value_at_quantile(quantile);
        let below = histogram.count_between(0, value);
        let value = value as f64 / NS_PER_MS;
        if quantile < 1.0 {
            let inverse = 1.0 / (1.0 - quantile);
            writeln!(out, "{value:12.3} {quantile:2.12} {below:10} {inverse:14.2}")?;
        } else {
            writeln!(out, "{value:12.3} {quantile:2.12} {below:10} {:>14}", "inf")?;
        }
    }
    let (mean, deviation) = (histogram.mean() / NS_PER_MS, histogram.stdev() / NS_PER_MS);
    writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]")?;
    let max = histogram.max() as f64 / NS_PER_MS;
    writeln!(out, "#[Max     = {max:12.3}, Total count    = {:12}]", histogram.len())?;
    writeln!(
        out,
        "#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.buckets(),
        2048
    )
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::distribution;

    #[test]
    fn a_quantile_between_two_values_has_the_lower_one() {
        // 270 of 300 values are exactly nine tenths; the 271st value is larger.
        let mut histogram = Histogram::new(3).expect("three digits");
        histogram.record_n(1_000_000, 270).expect("resizes");
        histogram.record_n(2_000_000, 30).expect("resizes");
        let mut bytes = Vec::new();
        distribution(&histogram, &mut bytes).expect("a Vec accepts everything");
        let text = String::from_utf8(bytes).expect("text");
        let line = text.lines().find(|line| line.contains(" 0.900000000000 "));
        let fields: Vec<&str> = line.expect("a line at 0.9").split_whitespace().collect();
        assert_eq!(fields[..3], ["1.000", "0.900000000000", "270"], "{text}");
    }
}
