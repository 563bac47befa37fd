//! Starts a server and a load, and reads what the load prints.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use c10k_record::{LoadPhase, LoadRecord, LoadSummary, ServeRecord, ServeSummary};

/// `c10k serve` on a free port. It is killed when this is dropped.
pub(crate) struct Server {
    process: Child,
    address: String,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
        let command = command
            .args(["serve", "--json", "--lab", "--listen", "127.0.0.1:0"])
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

    /// What the server has counted so far, the connection that asks included.
    pub(crate) fn stats(&self) -> ServeSummary {
        let mut stream = self.connect();
        let request = b"GET /stats HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        let (_, body) = reply.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(body).expect("the counters")
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

/// A load that is running.
pub(crate) struct Running {
    process: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        // A SIGHUP that is ignored, as below nohup(1), would stay ignored.
        let mut command = Command::new("env");
        let command = command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_c10k"), "load"]);
        let command = command.args(arguments);
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut process = command.spawn().expect("the executable starts");
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, stdout }
    }

    pub(crate) fn wait_for(&mut self, wanted: LoadPhase) {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).expect("a line") > 0 {
            if let Ok(LoadRecord::Phase { phase, .. }) = serde_json::from_str(&line)
                && phase == wanted
            {
                return;
            }
            line.clear();
        }
        panic!("the run ended before {wanted:?}");
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.process.id().to_string()])
            .status();
        assert!(status.expect("kill is there").success());
    }

    pub(crate) fn close_stdin(&mut self) {
        drop(self.process.stdin.take());
    }

    /// Waits for the end of the process; returns the rest of its output.
    pub(crate) fn end(mut self) -> Output {
        let mut stdout = Vec::new();
        self.stdout.read_to_end(&mut stdout).expect("a pipe can be read");
        Output {
            stdout,
            stderr: Vec::new(),
            status: self.process.wait().expect("it ends"),
        }
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

/// The summary that a run printed. Asserts that the exit code corresponds to its validity.
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

/// Asserts that the run is invalid and that a reason contains all `words`; returns the summary.
#[track_caller]
pub(crate) fn invalid(output: &Output, words: &[&str]) -> LoadSummary {
    let summary = summary(output);
    let found = summary
        .invalid_because
        .iter()
        .any(|reason| words.iter().all(|word| reason.contains(word)));
    assert!(found, "no reason contains {words:?}: {:?}", summary.invalid_because);
    summary
}

/// Asserts exit code 2, an empty standard output, and one line on standard error that contains all `words`.
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

/// Adds limits that only a hang reaches, so that a busy machine does not matter, and a short duration and a low rate as
/// defaults.
pub(crate) fn relaxed<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let mut all = relaxed_without_rate(arguments);
    if !arguments.contains(&"--rate") {
        all.extend(["--rate", "200"]);
    }
    all
}

/// Like [`relaxed`], for options that exclude `--rate`.
pub(crate) fn relaxed_without_rate<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["--json"];
    for default in [["--max-lag", "60s"], ["--timeout", "60s"], ["--duration", "300ms"]] {
        if !arguments.contains(&default[0]) {
            all.extend(default);
        }
    }
    all.extend(arguments);
    all
}
