//! What the options make of the load: schedules, sessions, churn, the way connections are closed, the search.

use c10k_record::LoadSearch;

use crate::support::{Server, calm, invalid, load, refused, summary};

#[test]
fn every_schedule_has_the_requests_it_says() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/92");
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    // Two due at once, and one beyond the end of the run.
    std::fs::write(&trace, "# seconds\n0\n0.05\n0.05\n\n0.2999\n7\n").expect("written");
    let trace = trace.to_str().expect("a path in UTF-8");
    for (options, due) in [
        (&["--ramp", "100..300"][..], 60),
        (&["--steps", "100,200,600"], 90),
        (&["--trace", trace], 4),
        (&["--rate", "100", "--burst", "10"], 30),
    ] {
        let duration = ["--duration", "300ms", "--max-lag", "60s", "--json", &url];
        let run = summary(&load(&[options, &duration].concat()));
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
fn sessions_make_their_calls_in_bursts_and_are_counted() {
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
    let run = summary(&load(&calm(&[&[url.as_str()], &arguments[..]].concat())));
    assert_eq!(
        (run.loop_kind.as_str(), run.intended, run.completed),
        ("partly-open", 30, 30),
        "{run:?}"
    );
    let sessions = run.sessions.expect("sessions");
    assert_eq!((sessions.started, sessions.completed, sessions.failed), (5, 5, 0));
    // Each thinks once.
    assert!(sessions.lifetime_ns.min >= 20_000_000);
    refused(&[&url, "--wsess", "5,6,1"], &["--wsess", "100,10,500ms"]);
    refused(&[&url, "--wsess", "5,6,1s", "--rate", "max"], &["--connections"]);
}

#[test]
fn churn_replaces_idle_connections_and_the_pool_is_held() {
    let server = Server::start(&[]);
    for threads in ["1", "2"] {
        let arguments = ["--idle", "20", "--idle-churn", "100", "--threads", threads];
        let run = summary(&load(&calm(
            &[&[server.url("/bytes/92").as_str()], &arguments[..]].concat(),
        )));
        assert_eq!((run.completed, run.valid), (60, true), "{run:?}");
        // 30 in 300 ms: more than the pool has, so some of those that came later were replaced too.
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
    // 60 connections one after the other from 20 ports of an address that nothing else uses.
    let arguments = |close| {
        let from = ["--local-ports", "33140-33159", "--source", "127.0.0.77"];
        let each = ["--requests-per-connection", "1", "--close", close];
        load(&calm(&[&[url.as_str()], &from[..], &each[..]].concat()))
    };
    let run = summary(&arguments("reset"));
    assert_eq!((run.completed, run.valid), (60, true), "{run:?}");
    invalid(&arguments("fin"), &["addrunavail"]);
    refused(&["unix:/nowhere", "--close", "reset"], &["--close"]);
}

#[test]
fn the_highest_rate_that_a_server_holds_is_found_between_one_that_held_and_one_that_failed() {
    // Each request costs the only thread 20 ms: the truth is just below 50 a second.
    let server = Server::start(&["--work", "20ms"]);
    let url = server.url("/bytes/92");
    let output = load(&[
        &url,
        "--rate",
        "4",
        "--find-max",
        "p99<4s",
        "--duration",
        "500ms",
        "--max-lag",
        "60s",
        "--json",
    ]);
    let found: LoadSearch = serde_json::from_slice(&output.stdout).expect("a search");
    let rate = found.rate_max.expect("a rate held");
    assert_eq!(output.status.code(), Some(0));
    // Half a second holds a whole number of requests: up to 52 a second may come to 25.
    assert!((4.0..52.0).contains(&rate), "{found:?}");
    assert!(
        found.trials.iter().all(|trial| !trial.held || trial.rate <= rate),
        "{found:?}"
    );
    assert!(
        found.limited_by.contains("requests a second were answered"),
        "{}",
        found.limited_by
    );
    let best = found.best.expect("the run that held");
    assert!(best.valid && best.completed == best.intended);
    refused(&[&url, "--rate", "max", "--find-max", "p99<5ms"], &["give a number"]);
}
