//! Options that shape the load: schedules, sessions, churn, closing, the search.

use c10k_record::LoadSearch;

use crate::support::{Server, invalid, load, refused, relaxed, relaxed_without_rate, summary};

#[test]
fn every_schedule_has_the_expected_number_of_requests() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/92");
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    // Two requests are due at the same instant, and one is due after the end of the run.
    std::fs::write(&trace, "# seconds\n0\n0.05\n0.05\n\n0.2999\n7\n").expect("written");
    let trace = trace.to_str().expect("a path in UTF-8");
    for (options, due) in [
        (&["--ramp", "100..300"][..], 60),
        (&["--steps", "100,200,600"], 90),
        (&["--trace", trace], 4),
        (&["--rate", "100", "--burst", "10"], 30),
    ] {
        let run = summary(&load(&relaxed_without_rate(&[&[url.as_str()], options].concat())));
        assert_eq!(
            (run.intended, run.completed, run.valid),
            (due, due, true),
            "{options:?}: {run:?}"
        );
    }
    let mistaken = folder.path().join("mistaken");
    std::fs::write(&mistaken, "0\nsoon\n").expect("written");
    refused(
        &[&url, "--trace", mistaken.to_str().expect("UTF-8")],
        &["line 2", "'soon'"],
    );
    std::fs::write(&mistaken, "2\n1\n").expect("written");
    refused(&[&url, "--trace", mistaken.to_str().expect("UTF-8")], &["must rise"]);
}

#[test]
fn sessions_are_counted_and_their_calls_answered() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/92");
    let arguments = [
        "--wsess",
        "5,6,20ms",
        "--burst",
        "3",
        "--rate",
        "100",
        "--duration",
        "1s",
    ];
    let run = summary(&load(&relaxed(&[&[url.as_str()], &arguments[..]].concat())));
    // On a busy machine the end of the run may cut off sessions.
    assert_eq!(
        (run.loop_kind.as_str(), run.completed),
        ("partly-open", run.intended),
        "{run:?}"
    );
    let sessions = run.sessions.expect("sessions");
    assert_eq!((sessions.started, sessions.failed), (5, 0));
    assert_eq!(sessions.completed + sessions.cut_off, 5);
    // Each session thinks once.
    assert!(sessions.completed == 0 || sessions.lifetime_ns.min >= 20_000_000);
    refused(&[&url, "--wsess", "5,6,1"], &["--wsess", "100,10,500ms"]);
    refused(&[&url, "--wsess", "5,6,1s", "--rate", "max"], &["--connections"]);
}

#[test]
fn churn_replaces_idle_connections_and_keeps_their_number() {
    let server = Server::start(&[]);
    for threads in ["1", "2"] {
        let arguments = ["--idle", "20", "--idle-churn", "100", "--threads", threads];
        let run = summary(&load(&relaxed(
            &[&[server.url("/bytes/92").as_str()], &arguments[..]].concat(),
        )));
        assert_eq!((run.completed, run.valid), (60, true), "{run:?}");
        // 30 replacements in 300 ms: more than the pool has, so some connections are replaced that were replacements.
        assert_eq!(
            (run.idle.replaced, run.idle.open_min, run.idle.closed_by_server),
            (30, 20, 0)
        );
    }
    refused(&[&server.url("/"), "--idle-churn", "5"], &["--idle"]);
}

#[test]
fn a_connection_closed_by_a_reset_leaves_its_port_free() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/92");
    // 300 connections, one at a time, from 20 ports of an address that no other program uses. A port in TIME_WAIT can be
    // used again after a second at the earliest.
    let arguments = |close| {
        let from = ["--local-ports", "33140-33159", "--source", "127.0.0.77"];
        let each = ["--connections", "1", "--requests-per-connection", "1", "--close", close];
        load(&relaxed(
            &[&[url.as_str(), "--rate", "1000"], &from[..], &each[..]].concat(),
        ))
    };
    let run = summary(&arguments("reset"));
    assert_eq!((run.completed, run.valid), (300, true), "{run:?}");
    invalid(&arguments("fin"), &["addrunavail"]);
    refused(&["unix:/nowhere", "--close", "reset"], &["--close"]);
}

#[test]
fn the_highest_rate_that_a_server_sustains_is_found() {
    // Each request takes 20 ms of the only thread, so the server cannot sustain more than 50 per second.
    let server = Server::start(&["--work", "20ms"]);
    let url = server.url("/bytes/92");
    let arguments = ["--rate", "2", "--find-max", "p99<60s", "--duration", "500ms"];
    let output = load(&relaxed(&[&[url.as_str()], &arguments[..]].concat()));
    let found: LoadSearch = serde_json::from_slice(&output.stdout).expect("a search");
    let rate = found.rate_max.expect("a rate held");
    assert_eq!(output.status.code(), Some(0));
    // The number of requests in half a second is an integer: at up to 52 per second it may be 25.
    assert!(rate < 52.0, "{found:?}");
    let (held, failed): (Vec<_>, Vec<_>) = found.trials.iter().partition(|trial| trial.held);
    assert!(held.iter().all(|trial| trial.rate <= rate), "{found:?}");
    assert!(held.iter().any(|trial| trial.rate == rate), "{found:?}");
    assert!(failed.iter().any(|trial| trial.rate > rate), "{found:?}");
    assert!(
        found.limited_by.contains("requests a second were answered"),
        "{}",
        found.limited_by
    );
    let best = found.best.expect("the run that held");
    assert!(best.valid && best.completed == best.intended);
    refused(&[&url, "--rate", "max", "--find-max", "p99<5ms"], &["give a number"]);
}

#[test]
fn the_time_series_of_the_summary_has_the_slices_that_were_asked_for_and_their_sums() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/92");
    let steps = ["--steps", "100,300,100", "--duration", "300ms"];
    let run = |more: &[&str]| {
        let options = [&[url.as_str()], &steps[..], more].concat();
        summary(&load(&[&["--max-lag", "10s", "--json"], &options[..]].concat()))
    };
    assert_eq!(run(&[]).series, None);
    let whole = run(&["--slice", "50ms"]);
    let series = whole.series.clone().expect("slices");
    assert!((series.width_s - 0.05).abs() < 1e-9);
    assert_eq!(series.due, [5, 5, 15, 15, 5, 5], "{whole:?}");
    assert_eq!(series.replies.iter().sum::<u64>(), whole.replies_measured);
    assert_eq!([series.lost.len(), series.latency_sum_ns.len()], [6, 6]);
    refused(&[&url, "--slice", "0s"], &["--slice"]);
}
