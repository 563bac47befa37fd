//! Tests of measures.

use c10k_record::LatencySummary;

use super::*;
use crate::testing::record;

fn value(name: &str, record: &CellRecord) -> Option<f64> {
    find(name).expect("it is in the table").read(record)
}

#[test]
fn cpu_per_request_divides_each_interval_by_its_own_length() {
    let mut record = record("a", 0, 0.2);
    let load = record.load.as_mut().expect("it has one");
    load.rate_achieved = 1000.0;
    load.completed = 500;
    // 20% of a CPU at 1000 replies a second is 200 µs each, however long the two intervals were.
    assert_eq!(value("cpu-percent", &record).map(f64::round), Some(20.0));
    assert_eq!(value("cpu-us-per-request", &record).map(f64::round), Some(200.0));
}

#[test]
fn a_call_is_a_wait_where_the_server_waits_with_it() {
    let mut record = record("a", 0, 0.2);
    record.calls = Some(CallRecord {
        schema: c10k_record::SCHEMA,
        cell: record.cell.clone(),
        pass: 0,
        status: CellStatus::Measured,
        reasons: Vec::new(),
        started_at: String::new(),
        seconds: 1.0,
        tool: "strace".to_owned(),
        window_ns: 1_000_000_000,
        rate_achieved: 100.0,
        switches: Some(300),
        by_name: [
            ("epoll_wait", 100),
            ("ppoll", 200),
            ("read", 400),
            ("rt_sigtimedwait", 800),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into(),
    });
    let mut waits_of = |calls: &[&str]| {
        record.server = (!calls.is_empty()).then(|| ServeSummary {
            wait_calls: calls.iter().map(|&call| call.to_owned()).collect(),
            ..ServeSummary::default()
        });
        value("syscall-waits-per-request", &record)
    };
    // As reported by epoll-level, rt-signal and rt-signal-batch, and by a server of another project.
    assert_eq!(waits_of(&["epoll_wait", "epoll_pwait2"]), Some(1.0));
    assert_eq!(waits_of(&["rt_sigtimedwait"]), Some(8.0));
    assert_eq!(waits_of(&["read", "rt_sigtimedwait"]), Some(12.0));
    assert_eq!(waits_of(&[]), Some(11.0));
    assert_eq!(value("all-switches-per-request", &record), Some(3.0));
}

#[test]
fn a_figure_of_a_probe_is_a_measure() {
    let mut record = record("a", 0, 0.2);
    record.probe = Some(c10k_record::ProbeSummary {
        values: [("fake_ns".to_owned(), 7.0)].into(),
        ..c10k_record::ProbeSummary::default()
    });
    assert_eq!(value("fake-ns", &record), Some(7.0));
    assert_eq!(
        find("fake-ns").map(Measure::label_with_unit).as_deref(),
        Some("time of a fake [ns]")
    );
}

#[test]
fn nothing_is_divided_by_nothing() {
    let mut record = record("a", 0, 0.2);
    let load = record.load.as_mut().expect("it has one");
    load.rate_achieved = 0.0;
    load.completed = 0;
    load.intended = 0;
    for name in [
        "cpu-us-per-request",
        "answered-share",
        "response-ms",
        "switches-per-request",
    ] {
        assert_eq!(value(name, &record), None, "{name}");
    }
}

#[test]
fn shares_of_the_rate_and_of_the_last_quarter_and_the_two_sides_of_littles_law() {
    let mut record = record("a", 0, 0.2);
    let load = record.load.as_mut().expect("it has one");
    (load.rate_offered, load.rate_achieved) = (1000.0, 950.0);
    (load.due_by_quarter, load.replies_by_quarter) = ([125; 4], [125, 125, 60, 5]);
    (load.in_system_mean, load.latency_ns.mean) = (1.9, 2e6);
    assert_eq!(value("reply-share", &record), Some(0.95));
    assert_eq!(value("last-quarter-share", &record), Some(0.04));
    assert_eq!(value("in-system", &record), Some(1.9));
    assert_eq!(value("in-system-by-times", &record), Some(1.9));
}

#[test]
fn a_lost_connection_is_one_that_was_refused_reset_or_cut_off() {
    let mut record = record("a", 0, 0.2);
    let load = record.load.as_mut().expect("it has one");
    load.intended = 1000;
    load.errors = [
        ("connrefused", 1),
        ("connreset", 2),
        ("truncated", 4),
        ("bad-status", 8),
    ]
    .map(|(kind, count)| (kind.to_owned(), count))
    .into();
    (load.latency_ns.p50, load.latency_ns.p99) = (2_000, 5_000);
    assert_eq!(value("lost-connections", &record), Some(7.0));
    assert_eq!(value("lost-share", &record), Some(0.007));
    assert_eq!(value("response-p99-to-p50", &record), Some(2.5));
}

#[test]
fn each_request_of_a_mix_has_its_own_response_times() {
    let mut record = record("a", 0, 0.2);
    assert_eq!(value("response-ms-p99-main", &record), None);
    let row = |completed, p50, p99| LoadRow {
        completed,
        latency_ns: LatencySummary {
            p50,
            p90: 5 * p50,
            p99,
            ..LatencySummary::default()
        },
        ..LoadRow::default()
    };
    let load = record.load.as_mut().expect("it has one");
    load.rows = vec![row(9, 100_000, 2_000_000), row(0, 0, 0)];
    assert_eq!(value("response-ms-p50-main", &record), Some(0.1));
    assert_eq!(value("response-ms-p90-main", &record), Some(0.5));
    assert_eq!(value("response-ms-p99-main", &record), Some(2.0));
    assert_eq!(value("response-ms-p99-other", &record), None, "none was requested");
    record.load.as_mut().expect("it has one").rows[1] = row(1, 3_000_000, 4_000_000);
    assert_eq!(value("response-ms-p50-other", &record), Some(3.0));
    assert_eq!(value("response-ms-p99-other", &record), Some(4.0));
}

#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = all().map(|measure| measure.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all().count());
}
