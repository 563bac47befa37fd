//! The time series as comma-separated values (RFC 4180), a line for each slice.

use std::fmt::Write;

use crate::LoadReport;

/// Header and lines. Times are in seconds from the start of the measured time, latencies in microseconds.
#[must_use]
pub fn series(report: &LoadReport) -> String {
    let series = &report.account.series;
    let width = series.width().as_secs_f64();
    let mut out = String::from("start_s,width_s,due,replies,lost,latency_mean_us,latency_max_us\n");
    for (index, slice) in series.slices().iter().enumerate() {
        let start = index as f64 * width;
        let width = width.min(report.summary.duration_s - start);
        let mean = slice.latency_sum_ns as f64 / slice.replies.max(1) as f64 / 1e3;
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{start},{width},{},{},{},{mean:.3},{:.3}",
            slice.due,
            slice.replies,
            slice.lost,
            slice.latency_max_ns as f64 / 1e3
        );
    }
    out
}
