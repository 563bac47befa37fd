//! The summary for people.

use std::fmt::Write;
use std::time::Duration;

use c10k_record::{LatencySummary, LoadSearch, LoadSummary, PercentileIntervals};

/// The summary of a run in a dozen lines, the verdict last.
#[must_use]
pub fn summary(run: &LoadSummary) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = render(run, &mut out);
    out
}

/// The course of a search and what it found.
#[must_use]
pub fn search(found: &LoadSearch) -> String {
    let mut out = String::new();
    for trial in &found.trials {
        let verdict = if trial.held { "held" } else { trial.because.as_str() };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {:>12.1} per second: {verdict}", trial.rate);
    }
    let _ = match found.rate_max {
        Some(rate) => writeln!(out, "{} holds up to {rate:.1} requests per second", found.criterion),
        None => writeln!(out, "{} does not hold at any rate that was tried", found.criterion),
    };
    if found.by_generator {
        out.push_str(
            "above that the generator was at its limit, not the server: give it a CPU of its own, or more --threads\n",
        );
    }
    if found.interrupted {
        out.push_str("the search was interrupted: a higher rate may hold\n");
    }
    if let Some(best) = &found.best {
        out.push_str(&summary(best));
    }
    out
}

fn render(run: &LoadSummary, out: &mut String) -> std::fmt::Result {
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
    beside(out, run)?;
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

/// Idle connections, sessions and steadiness, where there is something to say.
fn beside(out: &mut String, run: &LoadSummary) -> std::fmt::Result {
    if run.idle.target > 0 {
        let idle = &run.idle;
        writeln!(
            out,
            "  idle pool  {} asked for, {} open at the least, {} closed by the server, {} replaced",
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

/// The 95% intervals of the latency's percentiles, below their columns.
fn intervals(out: &mut String, of: &PercentileIntervals) -> std::fmt::Result {
    write!(out, "  {:<10}", "95% sure")?;
    for [low, high] in [of.p50, of.p90, of.p99, of.p999] {
        write!(out, " {}..{}", nanoseconds(low as f64), nanoseconds(high as f64))?;
    }
    writeln!(out)
}

fn percentiles(out: &mut String, name: &str, of: &LatencySummary) -> std::fmt::Result {
    write!(out, "  {name:<10}")?;
    for value in [of.min, of.p50, of.p90, of.p99, of.p999, of.max] {
        write!(out, " {:>9}", nanoseconds(value as f64))?;
    }
    writeln!(out, " {:>9}", nanoseconds(of.mean))
}

fn nanoseconds(ns: f64) -> String {
    format!("{:.1?}", Duration::from_nanos(ns as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_the_books_and_every_reason_is_shown() {
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
        let text = summary(&run);
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
}
