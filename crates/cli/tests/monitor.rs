//! `c10k monitor` as a process: what it prints, every model, its limits, and how it ends.

#[path = "support/processes.rs"]
mod processes;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use c10k_monitor::{Dispatch, MODELS, Workers};
use c10k_record::{MonitorRecord, MonitorSample, MonitorSummary, SCHEMA};

const C10K: &str = env!("CARGO_BIN_EXE_c10k");

/// Nothing here takes that long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asserts exit code 2 and one line on standard error, and returns the line.
fn refused(arguments: &[&str]) -> String {
    let output = Command::new(C10K).arg("monitor").args(arguments).output();
    let Output { status, stdout, stderr } = output.expect("the executable starts");
    let stderr = String::from_utf8(stderr).expect("text");
    assert_eq!(status.code(), Some(2), "{arguments:?}: {stderr}");
    assert!(stdout.is_empty(), "{arguments:?}");
    assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
    stderr
}

#[test]
fn mistakes_end_with_one_line_and_code_2() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("a bound socket").to_string();
    for (arguments, wanted) in [
        (&["serve", "--listen", taken.as_str()][..], "choose another port"),
        (&["serve", "--listen", "192.0.2.1:80"], "not one of this machine"),
        (&["serve", "--listen", "127.0.0.1:x"], "HOST:PORT"),
        (&["serve", "--mechanism", "kqueue"], "epoll-edge"),
        (&["serve", "--model", "magic"], "loop, fork, pool"),
        (&["serve", "--period", "0"], "1ms"),
        (&["serve", "--period", "5"], "--period"),
        (&["serve", "--max-subscribers", "0"], "--max-subscribers"),
        (&["watch"], "HOST"),
        (&["watch", "a b"], "'a b'"),
        (&["watch", "127.0.0.1", "--count", "0"], "--count"),
    ] {
        let line = refused(arguments);
        assert!(line.contains(wanted), "{arguments:?}: {line}");
    }
}

#[test]
fn an_option_that_the_model_does_not_have_is_refused() {
    for row in MODELS {
        for (option, has_it) in [
            (["--mechanism", "poll"], row.dispatch == Dispatch::Mechanism),
            (["--workers", "2"], matches!(row.workers, Workers::Fixed(_))),
        ] {
            if !has_it {
                let line = refused(&["serve", "--model", row.name, option[0], option[1]]);
                assert!(line.contains(option[0]) && line.contains(row.name), "{line}");
            }
        }
    }
}

/// A daemon, and what it prints.
struct Daemon {
    process: Child,
    records: BufReader<ChildStdout>,
    address: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A test that has failed leaves no process behind. One that has ended it gets an error here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Daemon {
    fn start(options: &[&str]) -> Daemon {
        let mut command = Command::new(C10K);
        command.args([
            "monitor",
            "serve",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--period",
            "20ms",
        ]);
        Daemon::spawn(command.args(options))
    }

    fn spawn(command: &mut Command) -> Daemon {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("starts");
        let mut records = BufReader::new(process.stdout.take().expect("piped"));
        match record(&mut records) {
            MonitorRecord::Listening { address, pid, schema } if pid == process.id() && schema == SCHEMA => Daemon {
                process,
                records,
                address,
            },
            other => panic!("not the listening record: {other:?}"),
        }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([format!("-{signal}"), self.process.id().to_string()])
            .status();
        assert!(status.expect("kill is there").success());
    }

    /// Ends it and returns its totals.
    fn end(mut self, signal: &str) -> MonitorSummary {
        self.signal(signal);
        let MonitorRecord::Summary(summary) = record(&mut self.records) else {
            panic!("not the summary")
        };
        assert_eq!(self.process.wait().expect("our child").code(), Some(0));
        assert!(summary.reconciles(), "{summary:?}");
        assert_eq!(summary.schema, SCHEMA);
        *summary
    }

    fn request(&self, path: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a duration");
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("it reads");
        BufReader::new(stream)
    }

    /// A subscriber that has had its first line.
    fn subscribe(&self) -> BufReader<TcpStream> {
        let mut stream = self.request("/stream");
        while line(&mut stream) != "\r\n" {}
        sample(&mut stream);
        stream
    }
}

fn record(records: &mut impl BufRead) -> MonitorRecord {
    let mut line = String::new();
    records.read_line(&mut line).expect("standard output can be read");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
}

fn line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    assert!(
        stream.read_line(&mut line).expect("it sends") > 0,
        "the stream has ended"
    );
    line
}

fn sample(stream: &mut impl BufRead) -> MonitorSample {
    c10k_record::read::object(line(stream).as_bytes()).expect("a record")
}

#[test]
fn every_model_serves_pulls_and_streams_and_drains() {
    for row in MODELS {
        for signal in ["TERM", "INT"] {
            let daemon = Daemon::start(&["--model", row.name]);
            let mut subscribers = [daemon.subscribe(), daemon.subscribe(), daemon.subscribe()];
            let mut reply = String::new();
            daemon
                .request("/sample")
                .read_to_string(&mut reply)
                .expect("it answers and closes");
            assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{}: {reply}", row.name);
            for stream in &mut subscribers {
                let first = sample(stream).sequence;
                assert_eq!(sample(stream).sequence, first + 1, "{}", row.name);
            }
            let readers = subscribers.map(|mut stream| {
                std::thread::spawn(move || {
                    let mut rest = String::new();
                    stream.read_to_string(&mut rest).expect("an end and no reset");
                    assert!(rest.is_empty() || rest.ends_with("}\n"), "whole lines: {rest}");
                })
            });
            let summary = daemon.end(signal);
            for reader in readers {
                reader.join().expect("whole lines");
            }
            assert_eq!((summary.model.as_str(), summary.subscribers), (row.name, 3));
            assert_eq!((summary.lines_cut, summary.lost_children, summary.accepted), (0, 0, 4));
            // One sample for all, or one for each.
            match row.workers {
                Workers::One => assert!(summary.samples < summary.lines_due, "{summary:?}"),
                Workers::PerConnection | Workers::Fixed(_) => {
                    assert!(summary.samples >= summary.lines_due, "{summary:?}");
                }
            }
        }
    }
}

#[test]
fn a_pool_serves_as_many_connections_as_it_has_threads_and_the_others_wait() {
    let daemon = Daemon::start(&["--model", "pool", "--workers", "1"]);
    let first = daemon.subscribe();
    let mut second = daemon.request("/sample");
    drop(first);
    let mut reply = String::new();
    second.read_to_string(&mut reply).expect("its turn comes");
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(daemon.end("TERM").subscribers_max, 1);
}

#[test]
fn a_forked_child_that_is_killed_is_counted_and_the_others_go_on() {
    let daemon = Daemon::start(&["--model", "fork"]);
    let mut first = daemon.subscribe();
    let children: BTreeSet<u32> = processes::below(daemon.process.id())
        .into_iter()
        .map(|(pid, _)| pid)
        .collect();
    assert_eq!(children.len(), 1, "one connection, one process");
    let mut second = daemon.subscribe();
    let killed = Command::new("kill")
        .arg("-KILL")
        .args(children.iter().map(u32::to_string))
        .status();
    assert!(killed.expect("kill is there").success());
    let _ = first.read_to_string(&mut String::new());
    let before = sample(&mut second).sequence;
    assert_eq!(sample(&mut second).sequence, before + 1);
    let all: BTreeSet<u32> = processes::below(daemon.process.id())
        .into_iter()
        .map(|(pid, _)| pid)
        .collect();
    let summary = daemon.end("TERM");
    assert_eq!(summary.lost_children, 1);
    processes::all_gone(&all, "the end of the daemon");
}

#[test]
fn a_daemon_without_descriptors_waits_without_spinning_and_serves_the_others_later() {
    let mut command = Command::new("sh");
    let options = "--json --listen 127.0.0.1:0 --period 50ms --max-subscribers 1000";
    let serve = format!("ulimit -n 60 && exec '{C10K}' monitor serve {options}");
    let daemon = Daemon::spawn(command.args(["-c", &serve]).stderr(Stdio::null()));
    let mut first = daemon.subscribe();
    // More than the limit has room for; the kernel completes the others.
    let mut waiting: Vec<_> = (0..60).map(|_| daemon.request("/stream")).collect();
    sample(&mut first);
    let (cpu, start) = (cpu_time(daemon.process.id()), Instant::now());
    for _ in 0..20 {
        sample(&mut first);
    }
    let (cpu, passed) = (cpu_time(daemon.process.id()) - cpu, start.elapsed());
    assert!(cpu < passed / 2, "{cpu:?} of CPU time in {passed:?}");
    // Places become free one by one, and each one who waits gets a line at last.
    for mut stream in waiting.drain(..) {
        while line(&mut stream) != "\r\n" {}
        sample(&mut stream);
    }
    let summary = daemon.end("TERM");
    assert_eq!(summary.subscribers, 61);
    assert!(summary.subscribers_max <= 40, "{summary:?}");
}

/// CPU time that a process has used.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let after_name = stat.rsplit(") ").next().expect("a state");
    let ticks = after_name.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.map(|field| field.parse::<u64>().expect("a number")).sum();
    // USER_HZ, which is 100 on all architectures that c10k runs on.
    Duration::from_millis(ticks * 10)
}

#[test]
fn the_viewer_prints_lines_where_there_is_no_terminal() {
    let daemon = Daemon::start(&[]);
    let output = Command::new(C10K)
        .args(["monitor", "watch", &daemon.address, "--count", "3"])
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with("HOST ") && !text.contains('\u{1b}'), "{text}");
    let samples = text
        .lines()
        .filter(|line| line.ends_with(" connected") && !line.contains(" - - "));
    assert!(samples.count() >= 3, "{text}");
    daemon.end("TERM");
}

#[test]
fn a_signal_ends_the_viewer_with_code_0() {
    let daemon = Daemon::start(&[]);
    let mut viewer = Command::new(C10K)
        .args(["monitor", "watch", &daemon.address])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(viewer.stdout.take().expect("piped"));
    while !line(&mut lines).trim_end().ends_with("connected") {}
    let killed = Command::new("kill").arg(viewer.id().to_string()).status();
    assert!(killed.expect("kill is there").success());
    assert_eq!(viewer.wait().expect("our child").code(), Some(0));
    daemon.end("TERM");
}
