//! A child whose lines are read as they come, with a deadline.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use c10k_host::child::{OnParentDeath, PinnedChild};

use super::end::{CellFailure, failed, not_started};

/// What is kept of a child's standard error, bytes: enough for its last message.
const STDERR_KEPT: usize = 4096;

/// A running program that prints lines.
#[derive(Debug)]
pub(super) struct Program {
    child: PinnedChild,
    lines: Receiver<Line>,
    stderr: Arc<Mutex<Vec<u8>>>,
    /// Disconnected once standard error has been read to its end.
    stderr_read: Receiver<()>,
}

/// A line and when it was read.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) at: Instant,
}

/// Why no line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoLine {
    /// The program closed its output: it has ended or is about to.
    Ended,
    /// The deadline passed.
    Late,
}

impl Program {
    /// Starts `command` on `cpus`.
    pub(super) fn start(command: &[String], cpus: &[usize], death: OnParentDeath) -> Result<Self, CellFailure> {
        Self::start_reading(Stdio::null(), command, cpus, death)
    }

    /// Starts `command` on `cpus`, with a standard input that does not end before [`Self::end_input`].
    pub(super) fn start_held(command: &[String], cpus: &[usize], death: OnParentDeath) -> Result<Self, CellFailure> {
        Self::start_reading(Stdio::piped(), command, cpus, death)
    }

    fn start_reading(
        input: Stdio,
        command: &[String],
        cpus: &[usize],
        death: OnParentDeath,
    ) -> Result<Self, CellFailure> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(failed("the command is empty"));
        };
        let mut builder = Command::new(program);
        builder
            .args(arguments)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child =
            PinnedChild::spawn(&mut builder, cpus, death).map_err(|error| not_started(program, cpus, &error))?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.inner().stdout.take() {
            std::thread::spawn(move || {
                for text in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let line = Line {
                        text,
                        at: Instant::now(),
                    };
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let (reading, stderr_read) = channel();
        if let Some(pipe) = child.inner().stderr.take() {
            let kept = Arc::clone(&stderr);
            std::thread::spawn(move || {
                keep_last(pipe, &kept);
                drop(reading);
            });
        }
        Ok(Self {
            child,
            lines,
            stderr,
            stderr_read,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line, at most until `deadline`.
    pub(super) fn line(&self, deadline: Instant) -> Result<Line, NoLine> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.lines.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => NoLine::Late,
            RecvTimeoutError::Disconnected => NoLine::Ended,
        })
    }

    /// Writes a line to the standard input of a program that was started held.
    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        match &mut self.child.inner().stdin {
            Some(stdin) => writeln!(stdin, "{line}").and_then(|()| stdin.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Ends the standard input of a program that was started held.
    pub(super) fn end_input(&mut self) {
        drop(self.child.inner().stdin.take());
    }

    /// Asks it to end and gives it `grace` to do so. `None` when it did not.
    pub(super) fn stop(&mut self, grace: Duration) -> Option<ExitStatus> {
        // Both can only fail when it is gone already, which the wait then says.
        let _ = self.child.terminate();
        self.child.wait_for(grace).ok().flatten()
    }

    /// Waits for an end that is due.
    pub(super) fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.child.wait_for(limit).ok().flatten()
    }

    /// Kills it and what is left of its process group.
    pub(super) fn kill(&mut self) {
        self.child.kill();
    }

    /// Its last line on standard error; how it ended where it said nothing.
    pub(super) fn last_error_line(&mut self) -> String {
        let status = self.ended(Duration::from_secs(1));
        // The reader may still be on its way when the process has ended; a worker left behind may hold the pipe open.
        let _ = self.stderr_read.recv_timeout(Duration::from_secs(1));
        let kept = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        match (last, status) {
            (Some(line), _) => line.trim().to_owned(),
            (None, Some(status)) => format!("it ended with {status} and said nothing"),
            (None, None) => "it said nothing".to_owned(),
        }
    }
}

fn keep_last(mut pipe: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&buffer[..read]);
        let excess = kept.len().saturating_sub(STDERR_KEPT);
        kept.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        let command = ["sh", "-c", script].map(str::to_owned);
        Program::start(&command, &[], OnParentDeath::Kill).expect("there is a shell")
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn lines_come_in_order_and_then_the_end() {
        let program = shell("echo one; echo two");
        assert_eq!(program.line(soon()).expect("a line").text, "one");
        assert_eq!(program.line(soon()).expect("a line").text, "two");
        assert_eq!(program.line(soon()).map(|line| line.text), Err(NoLine::Ended));
    }

    #[test]
    fn a_silent_program_is_late_and_can_be_stopped() {
        let mut program = shell("exec sleep 60");
        assert_eq!(program.line(Instant::now()).map(|line| line.text), Err(NoLine::Late));
        assert!(program.stop(Duration::from_secs(20)).is_some());
    }

    #[test]
    fn the_last_line_of_standard_error_is_kept() {
        let mut program = shell("echo first >&2; echo 'c10k: no such thing' >&2; exit 2");
        assert_eq!(program.line(soon()).map(|line| line.text), Err(NoLine::Ended));
        assert_eq!(
            program.ended(Duration::from_secs(20)).and_then(|status| status.code()),
            Some(2)
        );
        assert_eq!(program.last_error_line(), "c10k: no such thing");
    }

    #[test]
    fn what_cannot_be_started_says_so() {
        let command = ["/nowhere/at/all".to_owned()];
        let error = Program::start(&command, &[], OnParentDeath::Kill).expect_err("it is not there");
        assert!(error.reason.contains("/nowhere/at/all"), "{error:?}");
    }
}
