//! A server, a load, and what it printed.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use c10k_record::{LoadRecord, LoadSummary, ServeRecord};

/// `c10k serve` on a free port, ended when dropped.
pub(crate) struct Server {
    process: Child,
    address: String,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
        let command = command
            .args(["serve", "--json", "--listen", "127.0.0.1:0"])
            .args(arguments);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the executable starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let Ok(ServeRecord::Listening { address, .. }) = serde_json::from_str(&line) else {
            panic!("not the listening record: {line}")
        };
        Self { process, address }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).expect("it listens")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn load(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
    command
        .arg("load")
        .args(arguments)
        .output()
        .expect("the executable starts")
}

/// The summary that a run printed, with its exit code checked against its judgement.
#[track_caller]
pub(crate) fn summary(output: &Output) -> LoadSummary {
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text
        .lines()
        .last()
        .unwrap_or_else(|| panic!("no result: {}", String::from_utf8_lossy(&output.stderr)));
    let Ok(LoadRecord::Summary(summary)) = serde_json::from_str(last) else {
        panic!("not a summary: {last}")
    };
    assert!(summary.reconciles());
    assert_eq!(summary.valid, summary.invalid_because.is_empty());
    assert_eq!(output.status.code(), Some(if summary.valid { 0 } else { 1 }));
    *summary
}

/// Asserts that the run is invalid for a reason that holds all `words`, and returns its summary.
#[track_caller]
pub(crate) fn invalid(output: &Output, words: &[&str]) -> LoadSummary {
    let summary = summary(output);
    let found = summary
        .invalid_because
        .iter()
        .any(|reason| words.iter().all(|word| reason.contains(word)));
    assert!(found, "no reason holds {words:?}: {:?}", summary.invalid_because);
    summary
}

/// Asserts exit code 2, nothing on standard output, and one line on standard error that holds all `words`.
#[track_caller]
pub(crate) fn refused(arguments: &[&str], words: &[&str]) {
    let output = load(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
}

/// Judged by what is tested, on however busy a machine; short and slow where nothing else is asked for.
pub(crate) fn calm<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["--max-lag", "60s", "--json"];
    for default in [["--duration", "300ms"], ["--rate", "200"]] {
        if !arguments.contains(&default[0]) {
            all.extend(default);
        }
    }
    all.extend(arguments);
    all
}
