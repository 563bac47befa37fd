//! The time series as comma-separated values (RFC 4180): a header, and a record for each slice.

use std::io;

use super::format::{Destination, OutputFormat};
use crate::accounting::series::Series;
use crate::report::LoadReport;

pub(super) const ROW: OutputFormat = OutputFormat {
    flag: "csv",
    help: "Write the time series to FILE as comma-separated values",
    conflicts: &["find-max"],
    destination: Destination::File,
    write,
};

const HEADER: [&str; 7] = [
    "start_s",
    "width_s",
    "due",
    "replies",
    "lost",
    "latency_mean_us",
    "latency_max_us",
];

/// Times are seconds from the start of the measured time, latencies microseconds. With a mix there is one more column, the
/// request: after the slices of all requests, where it is empty, come those of each row.
fn write(report: &LoadReport, out: &mut dyn io::Write) -> io::Result<()> {
    let run = &report.summary;
    let is_mix = !run.rows.is_empty();
    let mut records = csv::Writer::from_writer(out);
    records.write_record(HEADER.into_iter().chain(is_mix.then_some("request")))?;
    slices(&mut records, &report.stats.series, run.duration_s, is_mix.then_some(""))?;
    for (row, stats) in run.rows.iter().zip(&report.stats.rows) {
        slices(&mut records, &stats.series, run.duration_s, Some(&row.request))?;
    }
    records.flush()
}

/// A record for each slice of the series, with `request` as its last field.
fn slices(
    records: &mut csv::Writer<&mut dyn io::Write>,
    series: &Series,
    duration_s: f64,
    request: Option<&str>,
) -> io::Result<()> {
    let width = series.width().as_secs_f64();
    for (index, slice) in series.slices().iter().enumerate() {
        let start = index as f64 * width;
        let width = width.min(duration_s - start);
        let mean_us = slice.latency_sum_ns as f64 / slice.replies.max(1) as f64 / 1e3;
        let max_us = slice.latency_max_ns as f64 / 1e3;
        let fields = [
            start.to_string(),
            width.to_string(),
            slice.due.to_string(),
            slice.replies.to_string(),
            slice.lost.to_string(),
            format!("{mean_us:.3}"),
            format!("{max_us:.3}"),
        ];
        records.write_record(fields.iter().map(String::as_str).chain(request))?;
    }
    Ok(())
}
