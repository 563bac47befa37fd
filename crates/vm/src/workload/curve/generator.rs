//! The generator of a load curve: `c10k load --clock server`, in a process of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use c10k_record::{LoadPhase, LoadRecord, LoadSummary};

use crate::workload::error::WorkloadError;

/// The times of a run, on the server's clock.
const TIMES: [&str; 6] = ["--warmup", "150ms", "--duration", "300ms", "--timeout", "2s"];

/// What the generator does.
pub(super) struct Load {
    pub(super) address: SocketAddr,
    /// Requests per second of the server's clock.
    pub(super) rate: u32,
    pub(super) connections: Connections,
    pub(super) reply_bytes: usize,
}

/// Which connections the requests use.
#[derive(Debug, Clone, Copy)]
pub(super) enum Connections {
    /// A new one each, next to idle ones that somebody else keeps open.
    New { idle: usize },
    /// All of these in turn, opened before the run.
    Kept { count: usize },
}

/// A running generator.
pub(super) struct Generator {
    rate: u32,
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Generator {
    pub(super) fn start(load: &Load) -> Result<Self, WorkloadError> {
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command
            .arg("load")
            .arg(format!("http://{}/bytes/{}", load.address, load.reply_bytes))
            .args(["--clock", "server", "--json", "--phases", "--hold", "--no-probe"])
            .args(["--rate", &load.rate.to_string()])
            .args(TIMES);
        match load.connections {
            Connections::New { .. } => command.args(["--requests-per-connection", "1"]),
            Connections::Kept { count } => command.args(["--connections", &count.to_string()]),
        };
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let output = process.stdout.take().expect("standard output is a pipe");
        Ok(Self {
            rate: load.rate,
            process,
            output: BufReader::new(output),
        })
    }

    /// Waits until it enters a phase, and returns that instant on the server's clock, nanoseconds.
    pub(super) fn wait_for(&mut self, wanted: LoadPhase) -> Result<u64, WorkloadError> {
        while let Some(record) = self.next_record()? {
            match record {
                LoadRecord::Phase {
                    phase, monotonic_ns, ..
                } if phase == wanted => return Ok(monotonic_ns),
                _ => {}
            }
        }
        Err(self.ended())
    }

    /// Lets it close its connections, and returns its summary.
    pub(super) fn finish(mut self) -> Result<LoadSummary, WorkloadError> {
        let mut input = self.process.stdin.take().expect("standard input is a pipe");
        input.write_all(b"\n").map_err(failed)?;
        while let Some(record) = self.next_record()? {
            if let LoadRecord::Summary(summary) = record {
                self.process.wait().map_err(failed)?;
                return Ok(*summary);
            }
        }
        Err(self.ended())
    }

    /// The next line that is a record; `None` at the end.
    fn next_record(&mut self) -> Result<Option<LoadRecord>, WorkloadError> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).map_err(failed)? == 0 {
                return Ok(None);
            }
            if let Ok(record) = serde_json::from_str(&line) {
                return Ok(Some(record));
            }
        }
    }

    /// Why it has ended too early: the last line that it printed for people.
    fn ended(&mut self) -> WorkloadError {
        let mut text = String::new();
        let read = (self.process.stderr.take()).map(|mut stderr| stderr.read_to_string(&mut text));
        let last_line = match read {
            Some(Err(error)) => error.to_string(),
            _ => text.lines().last().unwrap_or("it printed nothing").to_owned(),
        };
        WorkloadError::Server {
            subject: format!("the generator at {} requests a second", self.rate),
            problem: last_line,
        }
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // Both fail only if it has already been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn failed(error: std::io::Error) -> WorkloadError {
    WorkloadError::Io("run the generator", error)
}
