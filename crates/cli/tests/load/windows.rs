//! `c10k load --windows`: one window for each seed on standard input, over the same connections.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use c10k_record::{LoadPhase, LoadRecord, LoadSummary};

use crate::support::{Server, refused, relaxed};

/// Runs windows with these lines on standard input.
fn windows(arguments: &[&str], lines: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
    command.arg("load").args(arguments).args(["--phases", "--windows"]);
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = command.spawn().expect("the executable starts");
    let mut stdin = process.stdin.take().expect("piped");
    stdin.write_all(lines.as_bytes()).expect("it reads");
    drop(stdin);
    process.wait_with_output().expect("it ends")
}

fn records(output: &Output) -> (Vec<LoadPhase>, Vec<LoadSummary>) {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    let (mut phases, mut summaries) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match serde_json::from_str(line).expect("a record") {
            LoadRecord::Phase { phase, .. } => phases.push(phase),
            LoadRecord::Summary(summary) => summaries.push(*summary),
            other @ LoadRecord::Unavailable { .. } => panic!("the generator cannot run here: {other:?}"),
        }
    }
    (phases, summaries)
}

#[test]
fn each_seed_is_a_window_over_the_same_connections() {
    use LoadPhase::{Closing, Connecting, Measured, Measuring, Waiting, WarmUp};
    let server = Server::start(&[]);
    let url = server.url("/bytes/92");
    for rate in ["200", "max"] {
        let before = server.stats().accepted;
        let arguments = [
            url.as_str(),
            "--idle",
            "20",
            "--connections",
            "3",
            "--warmup",
            "50ms",
            "--rate",
            rate,
        ];
        let output = windows(&relaxed(&arguments), "7\n8\n9\n");
        let (phases, summaries) = records(&output);
        let window = [Waiting, WarmUp, Measuring, Measured];
        let expected = [&[Connecting][..], &window, &window, &window, &[Waiting, Closing]].concat();
        assert_eq!(phases, expected);
        assert_eq!(summaries.iter().map(|run| run.seed).collect::<Vec<_>>(), [7, 8, 9]);
        for run in &summaries {
            assert!(run.reconciles(), "{run:?}");
            assert_eq!((run.completed, run.idle.open_min), (run.intended, 20), "{run:?}");
            assert!(rate == "max" || run.intended == 60, "{run:?}");
        }
        assert!(output.stderr.is_empty());
        // Two test requests, and the second question.
        assert_eq!(server.stats().accepted - before, 20 + 3 + 2 + 1);
    }
}

#[test]
fn connections_of_one_request_each_are_opened_in_every_window() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/92");
    let output = windows(&relaxed(&[&url, "--requests-per-connection", "1"]), "1\n2\n");
    let (_, summaries) = records(&output);
    for run in &summaries {
        assert_eq!((run.intended, run.completed), (60, 60), "{run:?}");
    }
    assert_eq!((summaries.len(), server.stats().accepted), (2, 2 * 60 + 1 + 1));
}

#[test]
fn what_the_server_closes_between_two_windows_makes_the_next_one_invalid() {
    let server = Server::start(&["--idle-timeout", "1s"]);
    let url = server.url("/bytes/92");
    let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
    let arguments = [
        url.as_str(),
        "--idle",
        "5",
        "--connections",
        "1",
        "--phases",
        "--windows",
    ];
    command.arg("load").args(relaxed(&arguments));
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    // Two windows later at the latest the server has closed all of them: 8 windows last longer than its limit.
    let mut stdin = process.stdin.take().expect("piped");
    stdin.write_all("1\n".repeat(8).as_bytes()).expect("it reads");
    drop(stdin);
    let output = process.wait_with_output().expect("it ends");
    let (_, summaries) = records(&output);
    let last = summaries.last().expect("eight windows");
    assert_eq!((last.idle.open_min, last.idle.closed_by_server), (0, 5), "{last:?}");
    assert!(
        last.invalid_because.iter().any(|reason| reason.contains("not held")),
        "{last:?}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_line_that_is_no_seed_ends_the_run_and_loses_no_window() {
    let server = Server::start(&[]);
    let output = windows(&relaxed(&[&server.url("/bytes/92")]), "1\nnext\n2\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("'next'") && said.contains("on each line"), "{said}");
    assert_eq!(records(&output).1.len(), 1);
}

#[test]
fn options_of_a_whole_run_are_refused() {
    let windows = ["http://127.0.0.1/", "--json", "--phases", "--windows"];
    for more in [
        &["--seed", "1"][..],
        &["--hold"],
        &["--wsess", "1,1,1s"],
        &["--idle-churn", "1"],
        &["--csv", "file"],
    ] {
        refused(&[&windows[..], more].concat(), &["--windows", more[0]]);
    }
    refused(&[&windows[..], &["--find-max", "p99<5ms"]].concat(), &["--find-max"]);
    refused(&["http://127.0.0.1/", "--windows"], &["--phases"]);
}

#[test]
fn the_seed_of_a_window_decides_its_requests_of_a_mix() {
    let server = Server::start(&[]);
    let url = server.url("");
    let mix = ["--mix", "3=/bytes/{zipf:100}", "--mix", "1=/bytes/{uniform:9}"];
    let arguments = [&[url.as_str()], &mix[..], &["--rate", "500"]].concat();
    let (_, summaries) = records(&windows(&relaxed(&arguments), "7\n8\n7\n"));
    let intended = |window: &LoadSummary| window.rows.iter().map(|row| row.intended).collect::<Vec<_>>();
    let [first, second, third] = &summaries[..] else {
        panic!("three windows: {summaries:?}")
    };
    assert!(summaries.iter().all(LoadSummary::reconciles));
    assert_eq!(intended(first), intended(third));
    assert_ne!(intended(first), intended(second));
    assert_eq!(first.rows[0].completed, first.rows[0].intended);
}
