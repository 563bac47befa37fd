//! httperf's summary in httperf's layout (httperf(1)), with the figures of this generator.
//!
//! Times are milliseconds with one decimal, rates are per second, and the number of samples is in parentheses. The tools
//! count differently in these points:
//!
//! - Connections and sizes cover the whole run. httperf has no warm-up, so the figures correspond only without one.
//! - httperf has no kind for some failures; they are counted as `other`. A wrong status is not a failure in httperf.
//! - httperf samples the reply rate every five seconds; here a sample is a slice of the time series.

use std::io::{Result, Write};
use std::time::Duration;

use super::format::{Destination, OutputFormat};
use crate::accounting::failure::Failure;
use crate::accounting::histogram::DurationHistogram;
use crate::accounting::request_stats::RequestStats;
use crate::accounting::session_stats::SessionStats;
use crate::report::LoadReport;

pub(super) const ROW: OutputFormat = OutputFormat {
    flag: "httperf",
    help: "Print the summary in httperf's layout",
    conflicts: &["text", "find-max"],
    destination: Destination::Summary,
    write,
};

const NS_PER_MS: f64 = 1e6;
const NS_PER_S: f64 = 1e9;

fn write(report: &LoadReport, out: &mut dyn Write) -> Result<()> {
    let (run, traffic) = (&report.summary, &report.traffic);
    let seconds = run.duration_s;
    writeln!(out, "Maximum connect burst length: 1\n")?;
    writeln!(
        out,
        "Total: connections {} requests {} replies {} test-duration {seconds:.3} s\n",
        traffic.connections,
        run.sent,
        traffic.replies()
    )?;
    connections(report, out)?;
    let sent = run.sent as f64;
    writeln!(
        out,
        "\nRequest rate: {:.1} req/s ({:.1} ms/req)",
        sent / seconds,
        ratio(seconds * 1e3, sent)
    )?;
    writeln!(out, "Request size [B]: {:.1}\n", ratio(traffic.bytes_out as f64, sent))?;
    replies(report, out)?;
    let share = |ns: u64| ns as f64 / NS_PER_S / seconds * 100.0;
    let (user, system) = (report.usage.user_ns, report.usage.system_ns);
    writeln!(
        out,
        "\nCPU time [s]: user {:.2} system {:.2} (user {:.1}% system {:.1}% total {:.1}%)",
        user as f64 / NS_PER_S,
        system as f64 / NS_PER_S,
        share(user),
        share(system),
        share(user + system)
    )?;
    let bytes = (traffic.bytes_in + traffic.bytes_out) as f64 / seconds;
    writeln!(
        out,
        "Net I/O: {:.1} KB/s ({:.1}*10^6 bps)\n",
        bytes / 1024.0,
        bytes * 8.0 / 1e6
    )?;
    errors(&report.stats, out)?;
    match &report.sessions {
        Some(totals) => sessions(report, totals, out),
        None => Ok(()),
    }
}

/// The block that httperf prints with `--wsess`.
fn sessions(report: &LoadReport, totals: &SessionStats, out: &mut dyn Write) -> Result<()> {
    let series = &report.stats.series;
    let samples = Samples::of(series.whole_slices().iter().map(|slice| slice.sessions), series.width());
    writeln!(
        out,
        "\nSession rate [sess/s]: min {:.2} avg {:.2} max {:.2} stddev {:.2} ({}/{})",
        samples.min,
        ratio(totals.completed as f64, report.summary.duration_s),
        samples.max,
        samples.deviation,
        totals.completed,
        totals.started
    )?;
    writeln!(
        out,
        "Session: avg {:.2} connections/session",
        ratio(report.traffic.connections as f64, totals.started as f64)
    )?;
    writeln!(out, "Session lifetime [s]: {:.1}", mean_ms(&totals.lifetime) / 1e3)?;
    writeln!(out, "Session failtime [s]: {:.1}", mean_ms(&totals.fail_time) / 1e3)?;
    let lengths: Vec<String> = totals.lengths.iter().map(u64::to_string).collect();
    writeln!(out, "Session length histogram: {}", lengths.join(" "))
}

/// Samples of a rate, per second.
struct Samples {
    count: usize,
    min: f64,
    mean: f64,
    max: f64,
    deviation: f64,
}

impl Samples {
    /// Of these counts, each in a slice of this width.
    fn of(counts: impl Iterator<Item = u64>, width: Duration) -> Self {
        let rates: Vec<f64> = counts.map(|count| count as f64 / width.as_secs_f64()).collect();
        let count = rates.len() as f64;
        let mean = ratio(rates.iter().sum(), count);
        let variance = ratio(rates.iter().map(|rate| (rate - mean).powi(2)).sum(), count - 1.0);
        Self {
            count: rates.len(),
            min: rates.iter().copied().reduce(f64::min).unwrap_or(0.0),
            mean,
            max: rates.iter().copied().reduce(f64::max).unwrap_or(0.0),
            deviation: variance.sqrt(),
        }
    }
}

fn connections(report: &LoadReport, out: &mut dyn Write) -> Result<()> {
    let (traffic, seconds) = (&report.traffic, report.summary.duration_s);
    let count = traffic.connections as f64;
    writeln!(
        out,
        "Connection rate: {:.1} conn/s ({:.1} ms/conn, <={} concurrent connections)",
        count / seconds,
        ratio(seconds * 1e3, count),
        traffic.open_max
    )?;
    let life = &traffic.lifetime;
    let ms = |quantile| life.at(quantile) as f64 / NS_PER_MS;
    writeln!(
        out,
        "Connection time [ms]: min {:.1} avg {:.1} max {:.1} median {:.1} stddev {:.1}",
        ms(0.0),
        mean_ms(life),
        ms(1.0),
        ms(0.5),
        life.histogram().stdev() / NS_PER_MS
    )?;
    writeln!(out, "Connection time [ms]: connect {:.1}", mean_ms(&traffic.connect))?;
    writeln!(
        out,
        "Connection length [replies/conn]: {:.3}",
        ratio(traffic.replies() as f64, count)
    )
}

fn replies(report: &LoadReport, out: &mut dyn Write) -> Result<()> {
    let (traffic, series) = (&report.traffic, &report.stats.series);
    let samples = Samples::of(series.whole_slices().iter().map(|slice| slice.replies), series.width());
    writeln!(
        out,
        "Reply rate [replies/s]: min {:.1} avg {:.1} max {:.1} stddev {:.1} ({} samples)",
        samples.min, samples.mean, samples.max, samples.deviation, samples.count
    )?;
    let response = mean_ms(&traffic.response);
    let transfer = (mean_ms(&report.stats.service) - response - connect_share_ms(report)).max(0.0);
    writeln!(out, "Reply time [ms]: response {response:.1} transfer {transfer:.1}")?;
    let all = traffic.replies() as f64;
    let (content, total) = (
        ratio(traffic.body_bytes as f64, all),
        ratio(traffic.bytes_in as f64, all),
    );
    writeln!(
        out,
        "Reply size [B]: header {:.1} content {content:.1} footer 0.0 (total {total:.1})",
        (total - content).max(0.0)
    )?;
    let [other, ok, redirect, client, server] = traffic.statuses;
    writeln!(
        out,
        "Reply status: 1xx={other} 2xx={ok} 3xx={redirect} 4xx={client} 5xx={server}"
    )
}

/// The part of the mean service time that is spent on connecting, if requests open their own connections.
fn connect_share_ms(report: &LoadReport) -> f64 {
    let traffic = &report.traffic;
    mean_ms(&traffic.connect) * ratio(traffic.connections as f64, traffic.replies() as f64).min(1.0)
}

fn errors(stats: &RequestStats, out: &mut dyn Write) -> Result<()> {
    let count = |failure| stats.failed(failure);
    let named = [
        ("socket-timo", count(Failure::SocketTimeout)),
        ("connrefused", count(Failure::ConnectionRefused)),
        ("connreset", count(Failure::ConnectionReset)),
    ];
    let (no_descriptor, no_address) = (count(Failure::NoDescriptor), count(Failure::NoAddress));
    // For httperf a reply with a wrong status is a reply.
    let failed: u64 = stats.errors().values().sum::<u64>() - count(Failure::BadStatus);
    let known: u64 = named.iter().map(|(_, count)| count).sum::<u64>() + no_descriptor + no_address;
    write!(
        out,
        "Errors: total {} client-timo {}",
        failed + stats.timed_out,
        stats.timed_out
    )?;
    for (name, count) in named {
        write!(out, " {name} {count}")?;
    }
    writeln!(
        out,
        "\nErrors: fd-unavail {no_descriptor} addrunavail {no_address} ftab-full 0 other {}",
        failed - known
    )
}

fn mean_ms(of: &DurationHistogram) -> f64 {
    if of.count() == 0 {
        0.0
    } else {
        of.histogram().mean() / NS_PER_MS
    }
}

/// `a / b`, or 0 if `b` is 0.
fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}
