//! Runs that are stopped early.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use c10k_record::{LoadPhase, LoadSearch, LoadSummary};

use crate::support::{Running, Server, relaxed, summary};

/// A server that reports each request that it receives. Its threads end with their clients.
struct ReportingServer {
    url: String,
    requests: Receiver<()>,
}

/// What a [`ReportingServer`] does with a request.
#[derive(Clone, Copy)]
enum Behavior {
    Reply,
    /// Replies after 50 ms, so that some requests are always unanswered.
    ReplyLater,
    Silence,
}

impl ReportingServer {
    fn start(behavior: Behavior) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/bytes/2", listener.local_addr().expect("bound"));
        let (report, requests) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let report = report.clone();
                thread::spawn(move || serve(stream, behavior, &report));
            }
        });
        Self { url, requests }
    }

    fn wait_for(&self, count: usize) {
        for _ in 0..count {
            self.requests.recv().expect("requests come");
        }
    }
}

fn serve(mut stream: TcpStream, behavior: Behavior, report: &Sender<()>) {
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
    while let Some(Ok(line)) = lines.next() {
        // An empty line ends a request.
        if !line.is_empty() {
            continue;
        }
        if report.send(()).is_err() {
            return;
        }
        if matches!(behavior, Behavior::ReplyLater) {
            thread::sleep(Duration::from_millis(50));
        }
        if !matches!(behavior, Behavior::Silence) && stream.write_all(reply).is_err() {
            return;
        }
    }
}

/// The summary of a run that was stopped early. Asserts what holds for every such run.
#[track_caller]
fn stopped_early(running: Running) -> LoadSummary {
    let run = summary(&running.end());
    assert!(!run.valid && run.in_flight == 0, "{run:?}");
    assert_eq!(run.invalid_because.len(), 1, "{:?}", run.invalid_because);
    assert!(
        run.invalid_because[0].contains("interrupted after"),
        "{:?}",
        run.invalid_because
    );
    assert!(run.duration_s < 600.0);
    run
}

/// A run of ten minutes, which no test waits for.
const LONG: &[&str] = &[
    "--duration",
    "10m",
    "--rate",
    "500",
    "--max-lag",
    "60s",
    "--timeout",
    "60s",
    "--json",
    "--phases",
    "--no-probe",
];

#[test]
fn a_signal_ends_a_run_early_and_no_request_is_lost() {
    for name in ["INT", "TERM", "HUP"] {
        let server = ReportingServer::start(Behavior::Reply);
        let mut running = Running::start(&[LONG, &[&server.url, "--idle", "20"]].concat());
        running.wait_for(LoadPhase::Measuring);
        server.wait_for(60);
        running.signal(name);
        let run = stopped_early(running);
        let received = 60 + server.requests.try_iter().count() as u64;
        assert_eq!((run.sent, run.completed), (received, received), "{run:?}");
        assert_eq!((run.never_sent, run.idle.open_min), (0, 20));
        assert!(run.duration_s > 0.0 && run.rate_offered > 0.0);
    }
}

#[test]
fn a_run_can_be_stopped_while_requests_are_unanswered() {
    let server = ReportingServer::start(Behavior::ReplyLater);
    let mut running = Running::start(&[LONG, &[&server.url, "--connections", "100"]].concat());
    running.wait_for(LoadPhase::Measuring);
    server.wait_for(60);
    running.signal("INT");
    let run = stopped_early(running);
    assert!(run.completed == run.sent && run.in_system_mean > 0.0, "{run:?}");
}

#[test]
fn a_run_that_is_stopped_in_its_warm_up_has_measured_nothing() {
    let server = ReportingServer::start(Behavior::Reply);
    let mut running = Running::start(&[LONG, &[&server.url, "--warmup", "10m"]].concat());
    running.wait_for(LoadPhase::WarmUp);
    server.wait_for(10);
    running.signal("INT");
    let run = stopped_early(running);
    assert_eq!((run.intended, run.duration_s, run.rate_achieved), (0, 0.0, 0.0));
}

#[test]
fn a_run_can_be_stopped_while_connections_are_opened() {
    let server = ReportingServer::start(Behavior::Reply);
    // One connection per ten seconds.
    let running = Running::start(&[LONG, &[&server.url, "--idle", "100", "--connect-rate", "0.1"]].concat());
    let mut running = running;
    running.wait_for(LoadPhase::Connecting);
    running.signal("INT");
    assert_eq!(stopped_early(running).intended, 0);
}

#[test]
fn a_second_signal_ends_the_run_without_waiting_for_replies() {
    let server = ReportingServer::start(Behavior::Silence);
    let mut running = Running::start(&[LONG, &[server.url.as_str()]].concat());
    running.wait_for(LoadPhase::Measuring);
    server.wait_for(5);
    running.signal("INT");
    running.signal("TERM");
    let status = running.end().status;
    assert!(status.signal().is_some(), "{status:?}");
}

#[test]
fn an_interrupted_search_prints_its_results() {
    let server = ReportingServer::start(Behavior::Reply);
    let arguments = [
        "--rate",
        "20",
        "--duration",
        "10m",
        "--find-max",
        "p99<1s",
        "--json",
        "--no-probe",
    ];
    let running = Running::start(&[&[server.url.as_str()], &arguments[..]].concat());
    server.wait_for(3);
    running.signal("INT");
    let output = running.end();
    let found: LoadSearch = serde_json::from_slice(&output.stdout).expect("a search");
    assert_eq!(
        (found.interrupted, found.rate_max, output.status.code()),
        (true, None, Some(1))
    );
}

#[test]
fn a_held_run_keeps_its_connections_open_until_it_is_released() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/2");
    let held = ["--idle", "40", "--connections", "5", "--phases", "--hold"];
    let mut running = Running::start(&relaxed(&[&[url.as_str()], &held[..]].concat()));
    running.wait_for(LoadPhase::Closing);
    assert_eq!(server.stats().open_connections, 40 + 5 + 1);
    // Closing its standard input releases it.
    running.close_stdin();
    summary(&running.end());
    // The process has ended, so its connections are closed. The server may notice that later.
    while server.stats().open_connections > 1 {
        thread::yield_now();
    }
}
