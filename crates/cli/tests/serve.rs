//! `c10k serve` as a process: what it prints, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use c10k_record::ServeRecord;
use c10k_server::{Descriptor, Dispatch, MODELS, Model, ModelOption, Workers};

fn serve(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
    command.arg("serve").args(arguments);
    command
}

/// Asserts exit code 2 and one line on standard error, and returns the line.
fn refused(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = serve(arguments).output().expect("the executable starts");
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
        (["--listen", taken.as_str()], "choose another port"),
        (["--listen", "192.0.2.1:80"], "not one of this machine"),
        (["--listen", "nowhere"], "NAME:PORT"),
        (["--mechanism", "kqueue"], "epoll-edge"),
        (["--model", "magic"], "event-loop"),
        (["--accept", "0"], "--accept"),
        (["--accept", "some"], "--accept"),
        (["--work", "5"], "--work"),
        (["--spin", "adaptive:0"], "--spin"),
        (["--recycle", "9ms"], "--recycle"),
        (["--events-per-wait", "0"], "--events-per-wait"),
        (["--events-per-wait", "4097"], "--events-per-wait"),
        (["--on-overflow", "cry"], "--on-overflow"),
        (["--signal-queue", "many"], "--signal-queue"),
    ] {
        let line = refused(&arguments);
        assert!(line.contains(wanted), "{arguments:?}: {line}");
    }
}

/// Whether a model has an option.
type HasIt = fn(&Descriptor) -> bool;

#[test]
fn an_option_that_the_model_does_not_have_is_refused() {
    let options: [(&[&str], HasIt); 13] = [
        (&["--mechanism", "epoll-edge"], |row| {
            row.dispatch == Dispatch::Mechanism
        }),
        (&["--signal-queue", "8"], |row| row.dispatch == Dispatch::Mechanism),
        (&["--on-overflow", "none"], |row| row.dispatch == Dispatch::Mechanism),
        (&["--accept", "all"], |row| row.options.contains(&ModelOption::Accept)),
        (&["--accept-sharing", "shared"], |row| {
            row.options.contains(&ModelOption::AcceptSharing)
        }),
        (&["--spin", "1us"], |row| row.options.contains(&ModelOption::Spin)),
        (&["--helpers", "4"], |row| row.options.contains(&ModelOption::Helpers)),
        (&["--helper-queue", "4"], |row| {
            row.options.contains(&ModelOption::Helpers)
        }),
        (&["--events-per-wait", "8"], |row| {
            row.options.contains(&ModelOption::EventsPerWait)
        }),
        (&["--recycle", "1s"], |row| row.options.contains(&ModelOption::Recycle)),
        (&["--submission", "enter"], |row| {
            row.options.contains(&ModelOption::Submission)
        }),
        (&["--workers", "1"], |row| row.workers != Workers::One),
        (&["--concurrency", "1"], |row| {
            row.options.contains(&ModelOption::Concurrency)
        }),
    ];
    for row in MODELS {
        for (option, has_it) in options {
            if !has_it(row) {
                let line = refused(&[["--model", row.name].as_slice(), option].concat());
                assert!(line.contains(option[0]) && line.contains(row.name), "{line}");
            }
        }
    }
}

#[test]
fn the_first_line_names_the_model_and_its_mechanism_if_it_has_one() {
    for model in Model::all().filter(|model| model.availability().is_ok()) {
        let mut server = serve(&["--model", model.name(), "--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let mut messages = BufReader::new(server.stderr.take().expect("piped"));
        let mut line = String::new();
        messages.read_line(&mut line).expect("standard error can be read");
        end(&server, "TERM");
        assert_eq!(server.wait().expect("our child").code(), Some(0));
        let (_, end) = line.trim_end().split_once(" with ").expect("a model");
        let mechanism = if model.takes_mechanism() { " on epoll-edge" } else { "" };
        assert_eq!(end, format!("{}{mechanism}", model.name()));
    }
}

#[test]
fn two_records_frame_a_run() {
    for signal in ["TERM", "INT"] {
        let (mut server, mut records, address) = listening(&[]);
        let mut client = TcpStream::connect(&address).expect("it listens");
        client
            .write_all(b"GET /bytes/92 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("it reads");
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).expect("it answers");
        assert!(reply.starts_with(b"HTTP/1.1 200 OK\r\n"));
        end(&server, signal);
        let ServeRecord::Summary(summary) = record(&mut records) else {
            panic!("not the summary")
        };
        assert_eq!((summary.accepted, summary.requests, summary.replies), (1, 1, 1));
        assert_eq!(
            (summary.model.as_str(), summary.mechanism.as_deref()),
            ("event-loop", Some("epoll-edge"))
        );
        assert_eq!(server.wait().expect("our child").code(), Some(0));
    }
}

/// With `poll` each wake-up costs CPU for every connection, even if they are all idle.
#[test]
fn a_server_that_nobody_uses_hardly_wakes() {
    for arguments in [
        ["--mechanism", "poll"],
        ["--model", "io-uring"],
        ["--model", "completion-port"],
    ] {
        let (mut server, _records, address) = listening(&arguments);
        let mut client = TcpStream::connect(&address).expect("it listens");
        client
            .write_all(b"GET /bytes/2 HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("it reads");
        let read = client.read(&mut [0; 4096]).expect("it answers");
        // It wakes once more, to report what it has counted. On a loaded machine that may be late.
        thread::sleep(Duration::from_secs(2));
        let before = switches(server.id());
        thread::sleep(Duration::from_secs(4));
        let wakes = switches(server.id()) - before;
        end(&server, "TERM");
        assert_eq!(server.wait().expect("our child").code(), Some(0));
        assert!(read > 0 && wakes <= 1, "{arguments:?}: {wakes}");
    }
}

/// How often the threads of a process have begun to wait.
fn switches(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let status = threads.map(|thread| fs::read_to_string(thread.expect("a thread").path().join("status")));
    let lines = status.map(|text| text.expect("the thread runs")).collect::<String>();
    let values = lines
        .lines()
        .filter_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    values.map(|value| value.trim().parse::<u64>().expect("a number")).sum()
}

/// A server that prints records, what it prints next, and its address.
fn listening(more: &[&str]) -> (Child, BufReader<ChildStdout>, String) {
    let mut server = serve(&[&["--json", "--listen", "127.0.0.1:0"], more].concat())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut records = BufReader::new(server.stdout.take().expect("piped"));
    match record(&mut records) {
        ServeRecord::Listening { address, pid, .. } if pid == server.id() => (server, records, address),
        other => panic!("not the listening record: {other:?}"),
    }
}

fn end(server: &Child, signal: &str) {
    let status = Command::new("kill")
        .args([format!("-{signal}"), server.id().to_string()])
        .status();
    assert!(status.expect("kill is there").success());
}

fn record(records: &mut impl BufRead) -> ServeRecord {
    let mut line = String::new();
    records.read_line(&mut line).expect("standard output can be read");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
}

/// A process that a killed master was just starting ends as well. Once all have ended, no process holds the output open.
#[test]
fn a_master_that_is_killed_while_it_forks_leaves_nobody_behind() {
    for delay_us in (0..20).map(|step| step * 500) {
        let arguments = [
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--model",
            "preforked",
            "--workers",
            "200",
        ];
        let mut server = serve(&arguments)
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("starts");
        let mut output = BufReader::new(server.stdout.take().expect("piped"));
        let ServeRecord::Listening { pid, .. } = record(&mut output) else {
            panic!("not the listening record")
        };
        thread::sleep(Duration::from_micros(delay_us));
        server.kill().expect("it runs");
        server.wait().expect("it was killed");
        let (sender, ended) = channel();
        thread::spawn(move || sender.send(output.read_to_end(&mut Vec::new())));
        let ended = ended.recv_timeout(Duration::from_secs(60));
        // Processes that are left, if any, are in the master's process group.
        let _ = Command::new("kill")
            .args(["-s", "KILL", "--", &format!("-{pid}")])
            .output();
        assert!(
            ended.is_ok(),
            "killed {delay_us} us after it listened, it has left a process behind"
        );
    }
}
