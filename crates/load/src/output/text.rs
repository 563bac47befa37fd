//! The summary for people.

use std::io;

use c10k_record::{LatencySummary, LoadRow, LoadSearch, LoadSummary, PercentileIntervals};
use c10k_units::display;

use super::format::{Destination, OutputFormat};

pub(super) const ROW: OutputFormat = OutputFormat {
    flag: "text",
    help: "Print the summary in this layout: a dozen lines, the verdict last (the default)",
    conflicts: &["find-max"],
    destination: Destination::Summary,
    write: |report, out| summary(&report.summary, out),
};

/// Writes the trials of a search and its result.
///
/// # Errors
/// The error of `out`.
pub fn search(found: &LoadSearch, out: &mut dyn io::Write) -> io::Result<()> {
    for trial in &found.trials {
        let verdict = if trial.held { "held" } else { trial.because.as_str() };
        writeln!(out, "  {:>12.1} per second: {verdict}", trial.rate)?;
    }
    match found.rate_max {
        Some(rate) => writeln!(out, "{} holds up to {rate:.1} requests per second", found.criterion)?,
        None => writeln!(out, "{} does not hold at any rate that was tried", found.criterion)?,
    }
    if found.by_generator {
        writeln!(
            out,
            "above that the generator was at its limit, not the server: give it its own CPU, or more --threads"
        )?;
    }
    if found.interrupted {
        writeln!(out, "the search was interrupted: a higher rate may hold")?;
    }
    found.best.as_ref().map_or(Ok(()), |best| summary(best, out))
}

fn summary(run: &LoadSummary, out: &mut dyn io::Write) -> io::Result<()> {
    let failed: u64 = run.errors.values().sum();
    writeln!(
        out,
        "{} for {} s, {} loop, seed {}",
        run.url, run.duration_s, run.loop_kind, run.seed
    )?;
    writeln!(
        out,
        "  rate       {:.1} offered, {:.1} achieved per second",
        run.rate_offered, run.rate_achieved
    )?;
    writeln!(
        out,
        "  requests   {} intended = {} sent + {} never sent",
        run.intended, run.sent, run.never_sent
    )?;
    writeln!(
        out,
        "             {} sent = {} completed + {} timed out + {failed} failed + {} in flight; {} sent late",
        run.sent, run.completed, run.timed_out, run.in_flight, run.late
    )?;
    for (kind, count) in &run.errors {
        writeln!(out, "             {count} × {kind}")?;
    }
    writeln!(
        out,
        "             {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "min", "p50", "p90", "p99", "p99.9", "max", "mean"
    )?;
    percentiles(out, "latency", &run.latency_ns)?;
    intervals(out, &run.latency_interval_ns)?;
    percentiles(out, "service", &run.service_ns)?;
    percentiles(out, "send lag", &run.send_lag_ns)?;
    optional_parts(out, run)?;
    rows(out, &run.rows)?;
    writeln!(
        out,
        "  generator  {} thread(s), {} of CPU, the busiest at {:.0}%",
        run.client.threads,
        nanoseconds(run.client.cpu_ns as f64),
        run.client.busiest_thread_percent
    )?;
    if run.valid {
        return writeln!(out, "  valid");
    }
    run.invalid_because
        .iter()
        .try_for_each(|reason| writeln!(out, "  INVALID: {reason}"))
}

/// Idle connections, sessions and steadiness, if the run has them.
fn optional_parts(out: &mut dyn io::Write, run: &LoadSummary) -> io::Result<()> {
    if run.idle.target > 0 {
        let idle = &run.idle;
        writeln!(
            out,
            "  idle pool  {} requested, at least {} open, {} closed by the server, {} replaced",
            idle.target, idle.open_min, idle.closed_by_server, idle.replaced
        )?;
    }
    if let Some(sessions) = &run.sessions {
        writeln!(
            out,
            "  sessions   {} started = {} completed + {} failed + {} cut off by the end; p50 {}, p99 {}",
            sessions.started,
            sessions.completed,
            sessions.failed,
            sessions.cut_off,
            nanoseconds(sessions.lifetime_ns.p50 as f64),
            nanoseconds(sessions.lifetime_ns.p99 as f64)
        )?;
    }
    match run.drift_percent {
        Some(0.0) => writeln!(out, "  steady     no drift of the reply rate")?,
        Some(percent) => writeln!(
            out,
            "  DRIFTING   the reply rate changed by {percent:.0}% over the measured time"
        )?,
        None => {}
    }
    Ok(())
}

/// The rows of the mix, if there is one.
fn rows(out: &mut dyn io::Write, rows: &[LoadRow]) -> io::Result<()> {
    let total: f64 = rows.iter().map(|row| row.weight).sum();
    for row in rows {
        let failed: u64 = row.errors.values().sum();
        writeln!(out, "  {:.4}% {}", row.weight / total * 100.0, row.request)?;
        writeln!(
            out,
            "             {} intended = {} completed + {} timed out + {failed} failed + {} never sent + {} in flight",
            row.intended, row.completed, row.timed_out, row.never_sent, row.in_flight
        )?;
        let statuses = row
            .statuses
            .iter()
            .map(|(status, count)| (format!("status {status}"), count));
        let errors = row.errors.iter().map(|(kind, count)| (kind.clone(), count));
        for (what, count) in statuses.chain(errors) {
            writeln!(out, "             {count} × {what}")?;
        }
        percentiles(out, "latency", &row.latency_ns)?;
        percentiles(out, "service", &row.service_ns)?;
    }
    Ok(())
}

/// The 95% confidence intervals of the percentiles of the latency.
fn intervals(out: &mut dyn io::Write, of: &PercentileIntervals) -> io::Result<()> {
    write!(out, "  {:<10}", "95% CI")?;
    for interval in [of.p50, of.p90, of.p99, of.p999] {
        match interval {
            Some([low, high]) => write!(out, " {}..{}", nanoseconds(low as f64), nanoseconds(high as f64))?,
            None => write!(out, " (too few requests)")?,
        }
    }
    writeln!(out)
}

fn percentiles(out: &mut dyn io::Write, name: &str, of: &LatencySummary) -> io::Result<()> {
    write!(out, "  {name:<10}")?;
    for value in [of.min, of.p50, of.p90, of.p99, of.p999, of.max] {
        write!(out, " {:>9}", nanoseconds(value as f64))?;
    }
    writeln!(out, " {:>9}", nanoseconds(of.mean))
}

fn nanoseconds(ns: f64) -> String {
    display::seconds(ns / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_and_every_reason_is_shown() {
        let run = LoadSummary {
            url: "http://h/".into(),
            intended: 1111,
            sent: 1010,
            never_sent: 101,
            completed: 907,
            timed_out: 61,
            errors: [("connreset".to_owned(), 42)].into(),
            invalid_because: vec!["one reason".into(), "another".into()],
            ..LoadSummary::default()
        };
        assert!(run.reconciles());
        let mut bytes = Vec::new();
        summary(&run, &mut bytes).expect("a Vec accepts everything");
        let text = String::from_utf8(bytes).expect("text");
        for part in [
            "1111",
            "1010",
            "101",
            "907",
            "61",
            "42 × connreset",
            "INVALID: one reason",
            "INVALID: another",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(!text.contains("idle pool"));
    }

    #[test]
    fn every_row_of_a_mix_is_shown_with_its_own_counts() {
        let row = |request: &str, weight, statuses: &[(&str, u64)]| LoadRow {
            request: request.to_owned(),
            weight,
            intended: 310,
            sent: 309,
            never_sent: 1,
            completed: 307,
            errors: [("bad-status".to_owned(), 2)].into(),
            statuses: statuses
                .iter()
                .map(|&(status, count)| (status.to_owned(), count))
                .collect(),
            ..LoadRow::default()
        };
        let run = LoadSummary {
            rows: vec![
                row("/a/{zipf:9}", 3.0, &[("200", 307), ("404", 2)]),
                row("POST /b", 1.0, &[]),
            ],
            ..LoadSummary::default()
        };
        let mut bytes = Vec::new();
        summary(&run, &mut bytes).expect("a Vec accepts everything");
        let text = String::from_utf8(bytes).expect("text");
        let (_, rows) = text.split_once("  75.0000% /a/{zipf:9}\n").expect("the first row");
        let (first, second) = rows.split_once("  25.0000% POST /b\n").expect("the second row");
        for part in [
            "310 intended = 307 completed",
            "307 × status 200",
            "2 × status 404",
            "2 × bad-status",
        ] {
            assert!(first.contains(part), "{part} is missing in:\n{first}");
        }
        assert!(second.contains("latency") && !second.contains("status 200"), "{second}");
    }
}
