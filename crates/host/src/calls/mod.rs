//! Counts the system calls of a server by name, and its context switches, between two instants, with a tool of the machine.
//!
//! Counting and measuring time are separate: a traced call costs more than the same call untraced. There are two tools, and
//! the result says which one counted:
//!
//! * `perf stat` on the server's CPU: the kernel counts at its own tracepoint, at little cost. Needs root (or `CAP_PERFMON`
//!   and a readable tracefs) and a CPU that the generator does not run on. Counts the tasks on that CPU that have the name of
//!   the server's executable. Their context switches are counted at the scheduler's tracepoint, those of tasks that have
//!   ended included, which no file in `/proc` has.
//! * `strace` around the server: needs no privilege and follows the process tree, but stops the server twice at each
//!   call. At a high rate the server then handles more events per wait than at full speed. Context switches are not counted:
//!   the stops would be among them.

mod perf;
mod strace;
mod tool;

use std::io;
use std::path::Path;

pub use tool::CallCounts;

/// A tool that counts system calls here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallTool {
    /// `perf stat` on this CPU.
    Perf {
        /// The CPU that the server has to itself.
        cpu: usize,
    },
    /// `strace` around the server.
    Strace,
}

/// Counting for one run of a server.
#[derive(Debug)]
pub struct CallCounting(Session);

#[derive(Debug)]
enum Session {
    Perf(perf::Session),
    Strace(strace::Session),
}

impl CallTool {
    /// The best tool that works here; each is run once to find out. `cpu` is the CPU that a server would have for itself.
    ///
    /// # Errors
    /// The reason why none works, in one sentence.
    pub fn find(cpu: Option<usize>) -> Result<Self, String> {
        let Some(cpu) = cpu else {
            return strace::probe()
                .map(|()| Self::Strace)
                .map_err(|strace| format!("perf needs a CPU of the server's own; {strace}"));
        };
        perf::probe(cpu).map(|()| Self::Perf { cpu }).or_else(|perf| {
            strace::probe()
                .map(|()| Self::Strace)
                .map_err(|strace| format!("{perf}; {strace}"))
        })
    }

    /// Its name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Perf { .. } => "perf stat",
            Self::Strace => "strace",
        }
    }

    /// Prepares to count one run of the server `program`; counting begins with [`CallCounting::start`]. The tool writes its
    /// files to `folder` and runs on `cpus`.
    ///
    /// # Errors
    /// When the tool cannot be started or its files cannot be made.
    pub fn prepare(self, program: &Path, folder: &Path, cpus: &[usize]) -> io::Result<CallCounting> {
        Ok(CallCounting(match self {
            Self::Perf { cpu } => Session::Perf(perf::Session::begin(cpu, program, folder, cpus)?),
            Self::Strace => Session::Strace(strace::Session::new(folder)),
        }))
    }
}

impl CallCounting {
    /// The words to put before the server's command.
    #[must_use]
    pub fn prefix(&self) -> Vec<String> {
        match &self.0 {
            Session::Perf(_) => Vec::new(),
            Session::Strace(session) => session.prefix(),
        }
    }

    /// Starts counting. Counting is on when this returns.
    ///
    /// # Errors
    /// When the tool does not answer.
    pub fn start(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Session::Perf(session) => session.switch("enable"),
            Session::Strace(session) => {
                session.start();
                Ok(())
            }
        }
    }

    /// Stops counting. Counting is off when this returns.
    ///
    /// # Errors
    /// When the tool does not answer.
    pub fn stop(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Session::Perf(session) => session.switch("disable"),
            Session::Strace(session) => {
                session.stop();
                Ok(())
            }
        }
    }

    /// The counts. Call it after the server has ended.
    ///
    /// # Errors
    /// When the tool failed or its output cannot be read.
    pub fn finish(self) -> io::Result<CallCounts> {
        match self.0 {
            Session::Perf(session) => session.finish(),
            Session::Strace(session) => session.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tool::run_once;
    use super::*;
    use crate::child::{OnParentDeath, PinnedChild};
    use std::process::Command;
    use std::process::Stdio;
    use std::time::Duration;

    /// Counts a shell that makes at least 200 calls of `chdir` in the window, after some outside of it, and has 20 children
    /// that end.
    fn count(tool: CallTool, cpu: &[usize]) -> CallCounts {
        let folder = tempfile::tempdir().expect("a folder");
        let mut counting = tool
            .prepare(Path::new("sh"), folder.path(), &[])
            .expect("it works here");
        let mut command = counting.prefix();
        let script = "n=0; while [ $n -lt 300 ]; do cd /; n=$((n+1)); done; echo ready; read go; \
                      n=0; while [ $n -lt 200 ]; do cd /; n=$((n+1)); done; \
                      n=0; while [ $n -lt 20 ]; do (:); n=$((n+1)); done; echo done; read end";
        command.extend(["sh", "-c", script].map(str::to_owned));
        let mut builder = Command::new(&command[0]);
        builder.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = PinnedChild::spawn(&mut builder, cpu, OnParentDeath::Kill).expect("there is a shell");
        let mut stdin = child.inner().stdin.take().expect("piped");
        let mut lines = io::BufRead::lines(io::BufReader::new(child.inner().stdout.take().expect("piped")));
        assert_eq!(lines.next().expect("a line").expect("UTF-8"), "ready");
        counting.start().expect("it answers");
        io::Write::write_all(&mut stdin, b"go\n").expect("it reads");
        assert_eq!(lines.next().expect("a line").expect("UTF-8"), "done");
        counting.stop().expect("it answers");
        drop(stdin);
        child.wait_for(Duration::from_secs(60)).expect("it can be waited for");
        counting.finish().expect("it has counted")
    }

    #[test]
    fn calls_within_the_window_are_counted_by_name_and_those_before_it_are_not() {
        let cpus = crate::facts::read().cpus;
        let mut tools = Vec::new();
        let reasons = [
            perf::probe(cpus[0]).map(|()| tools.push(CallTool::Perf { cpu: cpus[0] })),
            strace::probe().map(|()| tools.push(CallTool::Strace)),
        ];
        for reason in reasons.into_iter().filter_map(Result::err) {
            eprintln!("skipped: {reason}");
        }
        for tool in tools {
            let counts = count(tool, &cpus[..1]);
            let counted = counts.by_name.get("chdir").copied().unwrap_or_default();
            match tool {
                CallTool::Strace => assert_eq!((counted, counts.switches), (200, None), "{counts:?}"),
                // Another test may run on this CPU; none makes as many as the shell did before the window.
                CallTool::Perf { .. } => {
                    assert!((200..500).contains(&counted), "{counts:?}");
                    assert!(counts.switches.is_some_and(|switches| switches >= 20), "{counts:?}");
                }
            }
            assert!(counts.window > Duration::ZERO, "{tool:?}");
        }
    }

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        let reason = run_once(&mut Command::new("/nowhere/perf"), "perf").expect_err("it is not there");
        assert!(reason.contains("perf cannot be started"), "{reason}");
    }
}
