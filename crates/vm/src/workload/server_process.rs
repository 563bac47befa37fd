//! The server that is measured: `c10k serve`, in a process of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use c10k_record::{ServeRecord, ServeSummary};
use rustix::process::{Pid, Signal, kill_process};

use super::client;
use super::error::WorkloadError;
use super::task::Subject;

/// Exit code of `c10k serve` if the model or the mechanism cannot run here.
const IMPOSSIBLE: i32 = 2;

/// Workers besides those that idle connections occupy.
const SPARE_WORKERS: usize = 8;

/// A running `c10k serve`.
pub(super) struct ServerProcess {
    subject: String,
    process: Child,
    output: BufReader<ChildStdout>,
    pub(super) address: SocketAddr,
}

/// The outcome of a start.
pub(super) enum Start {
    Serving(ServerProcess),
    /// The server says that it cannot run here, and why.
    Unavailable(String),
}

impl ServerProcess {
    /// Starts the server that is the subject, and waits until it listens. It will have at least `connections` connections
    /// open at once. `options` are further ones of `c10k serve`.
    pub(super) fn start(subject: &Subject, connections: usize, options: &[&str]) -> Result<Start, WorkloadError> {
        let name = subject.name.as_str();
        let (name, ring) = name.split_once('+').unwrap_or((name, ""));
        let (model, mechanism) = name.split_once('/').unwrap_or((name, ""));
        let failed = |error| WorkloadError::Io("start the server", error);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args([
            "serve",
            "--json",
            "--lab",
            "--listen",
            "127.0.0.1:0",
            "--idle-timeout",
            "10000s",
        ]);
        command.args(["--model", model]).args(options);
        if !mechanism.is_empty() {
            command.args(["--mechanism", mechanism]);
        }
        if !ring.is_empty() {
            command.args(["--ring", ring]);
        }
        if subject.one_connection_per_worker && connections > 0 {
            command.args(["--workers", &(connections + SPARE_WORKERS).to_string()]);
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let output = process.stdout.take().expect("standard output is a pipe");
        let mut output = BufReader::new(output);
        if let Some(ServeRecord::Listening { address, .. }) = next_record(&mut output).map_err(failed)?
            && let Ok(address) = address.parse()
        {
            return Ok(Start::Serving(Self {
                subject: name.to_owned(),
                process,
                output,
                address,
            }));
        }
        let mut text = String::new();
        if let Some(mut stderr) = process.stderr.take() {
            stderr.read_to_string(&mut text).map_err(failed)?;
        }
        let last_line = text.lines().last().unwrap_or("it printed nothing");
        let last_line = last_line.strip_prefix("c10k: ").unwrap_or(last_line).to_owned();
        match process.wait().map_err(failed)?.code() {
            Some(IMPOSSIBLE) => Ok(Start::Unavailable(last_line)),
            _ => Err(WorkloadError::Server {
                subject: name.to_owned(),
                problem: last_line,
            }),
        }
    }

    /// How long its first thread has run, nanoseconds.
    pub(super) fn ran_ns(&self) -> Result<u64, WorkloadError> {
        ran_ns(self.process.id())
    }

    /// What it has counted so far.
    pub(super) fn counts(&self) -> Result<ServeSummary, WorkloadError> {
        client::counts(self.address)
    }

    /// Stops it. Its own count of replies must be `replies`.
    pub(super) fn stop(self, replies: u64) -> Result<(), WorkloadError> {
        let subject = self.subject.clone();
        let counted = self.stop_counting()?.replies;
        if counted == replies {
            return Ok(());
        }
        Err(WorkloadError::Server {
            subject,
            problem: format!("it counted {counted} replies; the client read {replies}"),
        })
    }

    /// Stops it and returns what it counted.
    pub(super) fn stop_counting(mut self) -> Result<ServeSummary, WorkloadError> {
        let failed = |error| WorkloadError::Io("stop the server", error);
        kill_process(Pid::from_child(&self.process), Signal::TERM).map_err(|error| failed(error.into()))?;
        let summary = next_record(&mut self.output).map_err(failed)?;
        let status = self.process.wait().map_err(failed)?;
        match summary {
            Some(ServeRecord::Summary(summary)) if status.success() => Ok(*summary),
            _ => Err(WorkloadError::Server {
                subject: std::mem::take(&mut self.subject),
                problem: format!("it ended with {status} and without a summary"),
            }),
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Both fail only if it has already been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The next line that is a record; `None` at the end.
fn next_record(output: &mut BufReader<ChildStdout>) -> std::io::Result<Option<ServeRecord>> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    Ok(serde_json::from_str(&line).ok())
}

/// How long a process has run, nanoseconds: the first number of `/proc/PID/schedstat`.
fn ran_ns(pid: u32) -> Result<u64, WorkloadError> {
    let failed = |error| WorkloadError::Io("read /proc/PID/schedstat", error);
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).map_err(failed)?;
    let number = text.split(' ').next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| failed(std::io::ErrorKind::InvalidData.into()))
}
