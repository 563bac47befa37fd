//! The monitoring daemon as a process of its own: `c10k monitor serve`, which is the executable that runs the probe.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use c10k_host::child::{OnParentDeath, PinnedChild};
use c10k_host::meter::{ProcessTree, proportional_set_bytes};
use c10k_record::{MonitorRecord, MonitorSummary, read};
use c10k_sys::cpu_clock;

use crate::error::ProbeError;

/// What its streams get to end after the stop.
const DRAIN: &str = "2s";

/// What it gets to end in all.
const END_LIMIT: Duration = Duration::from_secs(20);

/// What it may take to start its threads.
const THREADS_LIMIT: Duration = Duration::from_secs(10);

/// How often its threads are counted until then.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// A running daemon. Dropping it kills it with its processes.
pub(crate) struct Daemon {
    child: PinnedChild,
    stdout: BufReader<ChildStdout>,
    /// Where it listens, as `HOST:PORT`.
    pub(crate) address: String,
}

impl Daemon {
    /// Starts `c10k monitor serve` on a free port with these `flags`, on `cpu`; without one, anywhere.
    pub(crate) fn start(flags: &[String], cpu: Option<usize>) -> Result<Self, ProbeError> {
        let program = std::env::current_exe().map_err(ProbeError::io("finding this executable"))?;
        let mut command = Command::new(program);
        command
            .args([
                "monitor",
                "serve",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--drain-timeout",
                DRAIN,
            ])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = PinnedChild::spawn(&mut command, cpu.as_slice(), OnParentDeath::Kill)
            .map_err(ProbeError::io("starting c10k monitor serve"))?;
        let stdout = child.inner().stdout.take().map(BufReader::new);
        let mut stdout = stdout.ok_or_else(|| ProbeError::NoDaemon("its output is no pipe".to_owned()))?;
        let mut line = String::new();
        stdout
            .read_line(&mut line)
            .map_err(ProbeError::io("reading where the daemon listens"))?;
        match read::object(line.as_bytes()) {
            Ok(MonitorRecord::Listening { address, .. }) => Ok(Self { child, stdout, address }),
            _ => Err(ProbeError::NoDaemon(why_ended(child))),
        }
    }

    /// Its processes, itself first.
    pub(crate) fn processes(&self) -> Result<Vec<u32>, ProbeError> {
        let tree = ProcessTree::new(self.child.id());
        tree.pids().map_err(ProbeError::io("listing the daemon's processes"))
    }

    /// Waits until its processes have so many threads.
    pub(crate) fn wait_for_threads(&self, least: u64) -> Result<(), ProbeError> {
        let tree = ProcessTree::new(self.child.id());
        let begun = Instant::now();
        loop {
            let usage = tree
                .read(&[])
                .map_err(ProbeError::io("counting the daemon's threads"))?;
            if usage.threads >= least {
                return Ok(());
            }
            if begun.elapsed() > THREADS_LIMIT {
                return Err(ProbeError::Broken(format!(
                    "the daemon has {} threads of {least} after {THREADS_LIMIT:?}",
                    usage.threads
                )));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Ends it and returns its totals.
    pub(crate) fn end(mut self) -> Result<MonitorSummary, ProbeError> {
        self.child.terminate().map_err(ProbeError::io("ending the daemon"))?;
        let mut said = String::new();
        self.stdout
            .read_to_string(&mut said)
            .map_err(ProbeError::io("reading the daemon's totals"))?;
        let ended = self.child.wait_for(END_LIMIT);
        if ended.map_err(ProbeError::io("waiting for the daemon"))?.is_none() {
            return Err(ProbeError::Broken(format!(
                "the daemon did not end within {END_LIMIT:?}, and was killed"
            )));
        }
        match read::object(said.trim_end().as_bytes()) {
            Ok(MonitorRecord::Summary(summary)) => Ok(*summary),
            _ => Err(ProbeError::Broken("the daemon printed no totals".to_owned())),
        }
    }
}

/// The CPU time of these processes, those that have ended left out.
pub(crate) fn cpu_time(processes: &[u32]) -> Duration {
    let times = processes
        .iter()
        .filter_map(|&pid| cpu_clock::process_cpu_time(pid).ok());
    times.sum()
}

/// The memory of these processes, bytes: the sum of their proportional set sizes.
pub(crate) fn memory(processes: &[u32]) -> u64 {
    processes.iter().filter_map(|&pid| proportional_set_bytes(pid)).sum()
}

/// The last line that a daemon said before it ended.
fn why_ended(mut child: PinnedChild) -> String {
    let stderr = child.inner().stderr.take();
    child.kill();
    let mut said = String::new();
    if let Some(mut stderr) = stderr {
        // What cannot be read is left out of the message.
        let _ = stderr.read_to_string(&mut said);
    }
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or("it said nothing").trim().to_owned()
}
