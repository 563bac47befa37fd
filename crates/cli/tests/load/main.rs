//! `c10k load` as a process: its output, its exit codes, and the reasons for which a run is invalid.

mod ending;
mod exports;
mod mix;
mod peers;
#[path = "../support/ports.rs"]
mod ports;
mod shapes;
mod support;
mod windows;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use c10k_record::{LoadPhase, LoadRecord};
use support::{Running, Server, invalid, load, refused, relaxed, summary};

#[test]
fn a_run_prints_its_phases_and_then_its_summary() {
    let server = Server::start(&[]);
    let output = load(&relaxed(&[
        &server.url("/bytes/92"),
        "--phases",
        "--warmup",
        "100ms",
        "--idle",
        "20",
    ]));
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    let phases: Vec<(LoadPhase, u64)> = text
        .lines()
        .filter_map(|line| match serde_json::from_str(line).expect("a record") {
            LoadRecord::Phase {
                phase, monotonic_ns, ..
            } => Some((phase, monotonic_ns)),
            _ => None,
        })
        .collect();
    let names: Vec<LoadPhase> = phases.iter().map(|&(phase, _)| phase).collect();
    use LoadPhase::{Closing, Connecting, Measured, Measuring, WarmUp};
    assert_eq!(names, [Connecting, WarmUp, Measuring, Measured, Closing]);
    assert!(phases.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    assert!(
        phases[3].1 - phases[0].1 >= 400_000_000,
        "warm-up and measured time lie between the first phase and the end of the measured time"
    );
    let run = summary(&output);
    assert_eq!((run.intended, run.completed, run.errors.len()), (60, 60, 0));
    assert_eq!(
        (run.idle.target, run.idle.open_min, run.idle.closed_by_server),
        (20, 20, 0)
    );
    assert_eq!(run.loop_kind, "open");
    assert!(
        !output.stderr.is_empty(),
        "the summary for people goes to standard error"
    );
}

#[test]
fn without_json_the_summary_for_people_is_the_output() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/92");
    let output = load(&[
        &url,
        "--duration",
        "200ms",
        "--rate",
        "100",
        "--max-lag",
        "60s",
        "--timeout",
        "60s",
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("20 intended = 20 sent + 0 never sent") && text.contains("valid"),
        "{text}"
    );
    assert!(output.stderr.is_empty());
}

#[test]
fn every_pattern_receives_every_reply() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/6144");
    for pattern in [
        &["--connections", "7"][..],
        &["--connections", "3", "--requests-per-connection", "2"],
        &["--requests-per-connection", "1"],
        &["--requests-per-connection", "5", "--arrival", "poisson", "--seed", "9"],
        &["--connections", "5", "--threads", "2", "--pipeline", "4"],
        &["--connections", "5", "--pace", "hybrid"],
    ] {
        let run = summary(&load(&relaxed(&[&[url.as_str()], pattern].concat())));
        assert_eq!(
            (run.completed, run.sent),
            (run.intended, run.intended),
            "{pattern:?}: {run:?}"
        );
        assert!(run.intended > 0);
    }
}

#[test]
fn a_closed_loop_is_labelled() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/92");
    let run = summary(&load(&[
        &url,
        "--rate",
        "max",
        "--connections",
        "2",
        "--duration",
        "1s",
        "--timeout",
        "60s",
        "--json",
    ]));
    assert_eq!(run.loop_kind, "closed");
    assert!(run.completed > 0 && run.intended == run.completed);
}

#[test]
fn beyond_one_port_range_several_sources_are_used() {
    let server = Server::start(&[]);
    // 40 connections from 20 ports, some of which other programs may use: the generator chooses several local addresses.
    let arguments = ["--local-ports", "33100-33119", "--connections", "40"];
    let run = summary(&load(&relaxed(
        &[&[server.url("/bytes/92").as_str()], &arguments[..]].concat(),
    )));
    assert_eq!((run.completed, run.valid), (60, true), "{run:?}");
}

#[test]
fn without_free_ports_the_run_is_invalid() {
    let server = Server::start(&[]);
    // A connection for each request: the ten ports are soon in TIME_WAIT.
    let arguments = [
        "--local-ports",
        "33120-33129",
        "--source",
        "127.0.0.9",
        "--requests-per-connection",
        "1",
    ];
    let output = load(&relaxed(
        &[&[server.url("/bytes/92").as_str()], &arguments[..]].concat(),
    ));
    let run = invalid(&output, &["addrunavail", "--source"]);
    assert!(run.errors["addrunavail"] > 0 && run.completed > 0, "{run:?}");
}

#[test]
fn more_connections_than_descriptors_or_ports_are_refused_before_the_first_is_opened() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/92");
    let script = "ulimit -Sn 200; ulimit -Hn 200; exec \"$@\"";
    for connections in [["--idle", "10000000"], ["--connections", "10000000"], ["--idle", "127"]] {
        let mut command = Command::new("sh");
        let command = command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_c10k"), "load", &url]);
        let output = command.args(connections).output().expect("sh starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains("may have 200") && said.contains("ulimit -n"), "{said}");
    }
    let ports = ["--local-ports", "33120-33129", "--source", "127.0.0.9"];
    refused(
        &[&[url.as_str(), "--connections", "11"], &ports[..]].concat(),
        &["11 connections", "1 local addresses with 10 ports", "--source"],
    );
    assert_eq!(server.stats().open_connections, 1, "only the one that asks");
}

#[test]
fn a_pool_of_as_many_connections_as_there_are_descriptors_is_valid() {
    let server = Server::start(&[]);
    let mut command = Command::new("sh");
    let script = "ulimit -Sn 200; ulimit -Hn 200; exec \"$@\"";
    let command = command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_c10k"), "load"]);
    // 200 less 64 for everything else and 10 for the requests.
    let output = command
        .args(relaxed(&[&server.url("/bytes/92"), "--idle", "126"]))
        .output()
        .expect("sh starts");
    let run = summary(&output);
    assert_eq!(
        (run.idle.open_min, run.completed, run.valid),
        (126, 60, true),
        "{run:?}"
    );
}

#[test]
fn a_connection_that_could_not_be_opened_and_was_not_used_makes_the_run_invalid() {
    let server = Server::start(&[]);
    // Two of the ten ports are taken, by this test or by another program, and six requests use the first six connections.
    let arguments = [
        "--local-ports",
        "33140-33149",
        "--connections",
        "10",
        "--rate",
        "20",
        "--source",
        "127.0.0.9",
    ];
    let taken: Vec<_> = (33148..=33149)
        .map(|port| TcpListener::bind(("127.0.0.9", port)))
        .collect();
    let output = load(&relaxed(
        &[&[server.url("/bytes/92").as_str()], &arguments[..]].concat(),
    ));
    let run = invalid(&output, &["of 10 connections could not be opened", "addrunavail"]);
    assert!(run.completed > 0, "{run:?}");
    drop(taken);
}

#[test]
fn a_generator_that_cannot_keep_up_says_so() {
    let server = Server::start(&[]);
    // A thread cannot send five million requests per second. Whether it falls behind or uses all of its CPU, the reason is
    // the generator.
    let arguments = [
        "--rate",
        "5000000",
        "--max-lag",
        "5ms",
        "--duration",
        "200ms",
        "--timeout",
        "200ms",
    ];
    let output = load(&relaxed(
        &[&[server.url("/bytes/92").as_str()], &arguments[..]].concat(),
    ));
    invalid(&output, &["the generator"]);
}

#[test]
fn a_generator_that_was_suspended_says_so() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/92");
    let arguments = ["--max-lag", "5ms", "--duration", "3s", "--phases"];
    let mut running = Running::start(&relaxed(&[&[url.as_str()], &arguments[..]].concat()));
    running.wait_for(LoadPhase::Measuring);
    // A tenth of the requests is due while the generator cannot run.
    running.signal("STOP");
    thread::sleep(Duration::from_millis(300));
    running.signal("CONT");
    invalid(&running.end(), &["did not get enough CPU time", "bound is 5 ms"]);
}

#[test]
fn a_server_that_closes_idle_connections_makes_the_run_invalid() {
    let server = Server::start(&["--idle-timeout", "200ms"]);
    let url = server.url("/bytes/92");
    let arguments = ["--duration", "2500ms", "--connections", "1", "--idle", "30"];
    let output = load(&relaxed(&[&[url.as_str()], &arguments[..]].concat()));
    let run = invalid(&output, &["not held", "server closed 30"]);
    assert_eq!((run.idle.open_min, run.idle.closed_by_server), (0, 30));
}

#[test]
fn a_wrong_status_is_counted_and_valid() {
    let server = Server::start(&[]);
    let run = summary(&load(&relaxed(&[&server.url("/no/such/thing")])));
    assert_eq!((run.errors.get("bad-status"), run.valid), (Some(&60), true), "{run:?}");
}

#[test]
fn what_cannot_be_run_is_one_line_and_code_2() {
    // Ports below 1024 are not assigned to programs that ask for any free port, and nothing listens on this one.
    refused(
        &["http://127.0.0.1:1/"],
        &["connecting to", "refused", "is the server running"],
    );
    refused(&["127.0.0.1:80"], &["reading the URL", "http://HOST:PORT/PATH"]);
    refused(&["https://127.0.0.1/"], &["only http://"]);
    refused(
        &["http://127.0.0.1/", "--rate", "max", "--requests-per-connection", "1"],
        &["--connections"],
    );
    refused(&["http://127.0.0.1/", "--rate", "-5"], &["--rate"]);
    refused(&["http://127.0.0.1/", "--rate", "0"], &["positive"]);
    refused(&["http://127.0.0.1/", "--duration", "10"], &["--duration", "1.5ms"]);
    refused(&["http://127.0.0.1/", "--duration", "0"], &["--duration"]);
    refused(&["http://127.0.0.1/", "--threads", "0"], &["thread"]);
    refused(&["http://127.0.0.1/", "--threads", "1000000"], &["--threads", "1024"]);
    refused(
        &["http://127.0.0.1/", "--rate", "100000000", "--duration", "1s"],
        &["10000000 requests per second", "--threads"],
    );
    refused(
        &["http://127.0.0.1/", "--burst", "1000000000000000"],
        &["at once", "--burst"],
    );
    refused(
        &["http://127.0.0.1/", "--idle", "1", "--idle-churn", "1000000000"],
        &["--idle-churn"],
    );
    refused(&["http://127.0.0.1/", "--local-ports", "9-1"], &["--local-ports"]);
    refused(&["http://127.0.0.1/", "--source", "::1"], &["family"]);
    refused(&["http://127.0.0.1/", "--phases"], &["--json"]);
}

#[test]
fn a_port_that_does_not_speak_http_is_refused_before_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let greeter = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the probe comes");
        stream.write_all(b"SSH-2.0-something\r\n").expect("written");
        drain(stream);
    });
    refused(
        &[&format!("http://{address}/")],
        &["not HTTP", "HTTP/1.x server's port"],
    );
    greeter.join().expect("the greeter ends with its client");
}

/// Reads until the client closes the connection, with a time limit that only a hang reaches.
fn drain(mut stream: TcpStream) {
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a time limit");
    let _ = stream.read_to_end(&mut Vec::new());
}
