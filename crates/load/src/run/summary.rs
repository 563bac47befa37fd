//! Combines the results of the threads into the report of the run.

use std::collections::BTreeMap;
use std::time::Duration;

use c10k_record::{ClientUse, IdlePool, LoadRow, LoadSeries, LoadSummary, SCHEMA};
use c10k_sys::rusage::Usage;

use super::validity::{IdleTotals, RunFacts, SecondProbe, reasons_against};
use crate::accounting::confidence::{Steadiness, intervals, steadiness};
use crate::accounting::request_stats::RequestStats;
use crate::accounting::row_stats::RowStats;
use crate::accounting::series::Series;
use crate::accounting::session_stats::SessionStats;
use crate::accounting::traffic::Traffic;
use crate::plan::{LoadPlan, RequestRow};
use crate::report::LoadReport;
use crate::worker::WorkerReport;
use crate::worker::opening::OpeningFailures;

/// What was observed outside the threads.
pub(super) struct Observed<'a> {
    /// The seed of the schedule.
    pub(super) seed: u64,
    pub(super) opening_failures: &'a OpeningFailures,
    pub(super) second_probe: SecondProbe,
    /// The measured time, which an early stop shortens.
    pub(super) measured: Duration,
}

/// The report of a run.
///
/// # Panics
/// If the counts do not reconcile.
pub(super) fn summarize(plan: &LoadPlan, reports: &[WorkerReport], observed: &Observed<'_>) -> LoadReport {
    let stats = total_stats(reports, observed);
    let usage = reports
        .iter()
        .fold(Usage::default(), |sum, report| sum.plus(report.usage));
    let (client, idle) = (client_use(reports, usage), total_idle(plan, reports));
    let invalid_because = reasons_against(&RunFacts {
        plan,
        stats: &stats,
        idle,
        opening_failures: observed.opening_failures,
        unopened: reports.iter().map(|report| report.unopened).sum(),
        busiest_thread_percent: client.busiest_thread_percent,
        second_probe: observed.second_probe,
        cut_to: Some(observed.measured).filter(|&measured| measured < plan.duration),
    });
    let sessions = total_sessions(reports);
    let summary = LoadSummary {
        schema: SCHEMA,
        url: plan.target.url.clone(),
        loop_kind: plan.loop_kind().to_owned(),
        seed: observed.seed,
        duration_s: observed.measured.as_secs_f64(),
        intended: stats.intended,
        sent: stats.sent,
        late: stats.late,
        never_sent: stats.never_sent,
        completed: stats.completed,
        timed_out: stats.timed_out,
        errors: stats.errors(),
        in_flight: stats.in_flight(),
        rate_offered: rate(reports, |stats| stats.intended),
        rate_achieved: rate(reports, |stats| stats.replies_in_window),
        replies_measured: stats.replies_in_window,
        due_by_quarter: stats.quarters.due,
        replies_by_quarter: stats.quarters.replies,
        in_system_mean: reports.iter().map(|report| report.stats.occupancy.mean()).sum(),
        latency_ns: stats.latency.summary(),
        latency_interval_ns: intervals(&stats.latency),
        service_ns: stats.service.summary(),
        send_lag_ns: stats.send_lag.summary(),
        drift_percent: drift_percent(plan, &stats),
        series: plan.slice.map(|_| series(&stats.series)),
        idle: IdlePool {
            target: idle.target,
            open_min: idle.open_min,
            closed_by_server: idle.closed_by_server,
            replaced: idle.replaced,
        },
        sessions: sessions.as_ref().map(SessionStats::totals),
        rows: plan.target.rows.iter().zip(&stats.rows).map(row_summary).collect(),
        client,
        valid: invalid_because.is_empty(),
        invalid_because,
    };
    assert_reconciled(&summary, &stats);
    let mut traffic = Traffic::default();
    reports.iter().for_each(|report| traffic.add(&report.traffic));
    LoadReport {
        summary,
        stats,
        traffic,
        sessions,
        usage,
    }
}

fn total_stats(reports: &[WorkerReport], observed: &Observed<'_>) -> RequestStats {
    let (first, others) = reports.split_first().expect("a plan has at least one thread");
    let mut stats = first.stats.clone();
    others.iter().for_each(|report| stats.add(&report.stats));
    stats.series.cut(observed.measured);
    stats.rows.iter_mut().for_each(|row| row.series.cut(observed.measured));
    stats
}

/// A row of the mix.
fn row_summary((row, stats): (&RequestRow, &RowStats)) -> LoadRow {
    LoadRow {
        request: row.text.clone(),
        weight: row.weight,
        intended: stats.intended,
        sent: stats.sent,
        never_sent: stats.never_sent,
        completed: stats.completed,
        timed_out: stats.timed_out,
        errors: stats.errors(),
        in_flight: stats.in_flight(),
        statuses: stats.statuses(),
        replies_measured: stats.series.slices().iter().map(|slice| slice.replies).sum(),
        latency_ns: stats.latency.summary(),
        latency_interval_ns: intervals(&stats.latency),
        service_ns: stats.service.summary(),
    }
}

fn total_idle(plan: &LoadPlan, reports: &[WorkerReport]) -> IdleTotals {
    let mut idle = IdleTotals {
        target: plan.idle,
        ..IdleTotals::default()
    };
    reports.iter().for_each(|report| idle.add(&report.idle));
    idle
}

fn total_sessions(reports: &[WorkerReport]) -> Option<SessionStats> {
    let sessions = reports.iter().filter_map(|report| report.sessions.clone());
    sessions.reduce(|mut sum, one| {
        sum.add(&one);
        sum
    })
}

fn client_use(reports: &[WorkerReport], usage: Usage) -> ClientUse {
    let thread_percents: Vec<f64> = reports
        .iter()
        .map(|report| per_second(report.cpu_ns, report.measured) / 1e9 * 100.0)
        .collect();
    ClientUse {
        cpu_ns: reports.iter().map(|report| report.cpu_ns).sum(),
        threads: reports.len() as u64,
        busiest_thread_percent: thread_percents.iter().copied().fold(0.0, f64::max),
        thread_percents,
        context_switches_voluntary: usage.voluntary_switches,
        context_switches_involuntary: usage.involuntary_switches,
    }
}

fn series(series: &Series) -> LoadSeries {
    let each = |read: fn(&crate::accounting::series::Slice) -> u64| series.slices().iter().map(read).collect();
    LoadSeries {
        width_s: series.width().as_secs_f64(),
        due: each(|slice| slice.due),
        replies: each(|slice| slice.replies),
        lost: each(|slice| slice.lost),
        latency_sum_ns: each(|slice| slice.latency_sum_ns),
    }
}

fn drift_percent(plan: &LoadPlan, stats: &RequestStats) -> Option<f64> {
    if !plan.is_level() {
        return None;
    }
    match steadiness(&stats.series) {
        Steadiness::TooShort => None,
        Steadiness::Steady => Some(0.0),
        Steadiness::Drifting(percent) => Some(percent),
    }
}

/// The rate of all threads together. A run that is stopped ends in each thread when the thread notices it, so each rate is
/// over the measured time of its thread.
fn rate(reports: &[WorkerReport], count: fn(&RequestStats) -> u64) -> f64 {
    let mut counts: BTreeMap<Duration, u64> = BTreeMap::new();
    for report in reports {
        *counts.entry(report.measured).or_default() += count(&report.stats);
    }
    counts
        .into_iter()
        .map(|(measured, count)| per_second(count, measured))
        .sum()
}

/// `count` per second of the measured time; 0 if there was none.
fn per_second(count: u64, measured: Duration) -> f64 {
    if measured.is_zero() {
        0.0
    } else {
        count as f64 / measured.as_secs_f64()
    }
}

fn assert_reconciled(summary: &LoadSummary, stats: &RequestStats) {
    assert!(summary.reconciles(), "the counts do not reconcile: {summary:?}");
    assert!(
        stats.occupancy.reconciles(),
        "the times of the requests do not add up: {:?}",
        stats.occupancy
    );
    assert_eq!(
        stats.latency.count(),
        stats.intended - stats.in_flight(),
        "a request has no latency"
    );
}
