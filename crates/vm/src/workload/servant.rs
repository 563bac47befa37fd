//! The server that is measured: a process of its own, as for anybody else who uses it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use c10k_record::{ServeRecord, ServeSummary};
use rustix::process::{Pid, Signal, kill_process};

use super::WorkloadError;

/// Exit code of `c10k serve` where model or mechanism cannot run here.
const IMPOSSIBLE: i32 = 2;

/// A running `c10k serve`.
pub(super) struct Servant {
    subject: String,
    process: Child,
    output: BufReader<ChildStdout>,
    pub(super) address: SocketAddr,
}

/// What became of the start.
pub(super) enum Start {
    Serving(Servant),
    /// The server says that it cannot run here, and why.
    Unavailable(String),
}

impl Servant {
    /// Starts the server that a subject names: `MODEL/MECHANISM`, or `MODEL` where it has none.
    ///
    /// A model that keeps a worker to each connection for as long as that lasts gets `workers` of them.
    pub(super) fn start(subject: &str, workers: usize) -> Result<Start, WorkloadError> {
        /// Models with a fixed number of workers, of which a silent connection occupies one.
        const OCCUPIED: [&str; 2] = ["preforked", "thread-pool"];
        let (model, mechanism) = subject.split_once('/').unwrap_or((subject, ""));
        let failed = |error| WorkloadError::Io("start the server", error);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--idle-timeout", "10000s"]);
        command.args(["--model", model]);
        if !mechanism.is_empty() {
            command.args(["--mechanism", mechanism]);
        }
        if OCCUPIED.contains(&model) && workers > 0 {
            command.args(["--workers", &workers.to_string()]);
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let output = process.stdout.take().expect("it was piped just now");
        let mut output = BufReader::new(output);
        if let Some(ServeRecord::Listening { address, .. }) = next_record(&mut output).map_err(failed)?
            && let Ok(address) = address.parse()
        {
            return Ok(Start::Serving(Self {
                subject: subject.to_owned(),
                process,
                output,
                address,
            }));
        }
        let mut said = String::new();
        if let Some(mut stderr) = process.stderr.take() {
            stderr.read_to_string(&mut said).map_err(failed)?;
        }
        let said = said.lines().last().unwrap_or("it said nothing");
        let said = said.strip_prefix("c10k: ").unwrap_or(said).to_owned();
        match process.wait().map_err(failed)?.code() {
            Some(IMPOSSIBLE) => Ok(Start::Unavailable(said)),
            _ => Err(WorkloadError::Server {
                subject: subject.to_owned(),
                what: said,
            }),
        }
    }

    /// Stops it; its own count of replies must be `replies`.
    pub(super) fn stop(mut self, replies: u64) -> Result<(), WorkloadError> {
        let failed = |error| WorkloadError::Io("stop the server", error);
        kill_process(Pid::from_child(&self.process), Signal::TERM).map_err(|error| failed(error.into()))?;
        let summary = next_record(&mut self.output).map_err(failed)?;
        let status = self.process.wait().map_err(failed)?;
        let told = match summary {
            Some(ServeRecord::Summary(summary)) => {
                let ServeSummary { replies, .. } = *summary;
                Some(replies)
            }
            _ => None,
        };
        if status.success() && told == Some(replies) {
            return Ok(());
        }
        let told = told.map_or("no".to_owned(), |told| told.to_string());
        Err(WorkloadError::Server {
            subject: std::mem::take(&mut self.subject),
            what: format!("it ended with {status} and told of {told} replies where {replies} were read"),
        })
    }
}

impl Drop for Servant {
    fn drop(&mut self) {
        // Both fail only where it has already ended and been waited for.
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
