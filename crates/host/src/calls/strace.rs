//! `strace` around a server: it records every call with its instant; the calls are counted afterwards.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::tool::{CallCounts, run_once};

/// Quiet, all children, instants since the epoch, no strings, raw arguments, no signals. `-D`: the tracer is a
/// grandchild, so that the started process is the server itself.
const FLAGS: &[&str] = &[
    "-D",
    "-f",
    "-qq",
    "-ttt",
    "-s",
    "0",
    "-e",
    "raw=all",
    "-e",
    "signal=none",
    "-o",
];

pub(super) fn probe() -> Result<(), String> {
    run_once(
        Command::new("strace").args(FLAGS).args(["/dev/null", "--", "true"]),
        "strace",
    )
}

#[derive(Debug)]
pub(super) struct Session {
    trace: PathBuf,
    from: Option<SystemTime>,
    to: Option<SystemTime>,
}

impl Session {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            trace: folder.join(".calls-trace"),
            from: None,
            to: None,
        }
    }

    pub(super) fn prefix(&self) -> Vec<String> {
        let mut words = vec!["strace".to_owned()];
        words.extend(FLAGS.iter().map(|&flag| flag.to_owned()));
        words.push(self.trace.display().to_string());
        words.push("--".to_owned());
        words
    }

    pub(super) fn start(&mut self) {
        self.from = Some(SystemTime::now());
    }

    pub(super) fn stop(&mut self) {
        self.to = Some(SystemTime::now());
    }

    pub(super) fn finish(self) -> io::Result<CallCounts> {
        let window = self.from.zip(self.to);
        let Some((from, to)) = window.filter(|(from, to)| from < to) else {
            return Err(io::Error::other("the counting was not started and stopped"));
        };
        let text = fs::read(&self.trace)?;
        Ok(parse(&String::from_utf8_lossy(&text), from, to))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // There is no trace if the server did not start.
        let _ = fs::remove_file(&self.trace);
    }
}

/// Lines are `PID SECONDS.MICROSECONDS NAME(…`; resumed calls, signals and ends are not new calls.
fn parse(text: &str, from: SystemTime, to: SystemTime) -> CallCounts {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let within = seconds(from)..seconds(to);
    let mut counts = CallCounts {
        window: to.duration_since(from).unwrap_or_default(),
        ..CallCounts::default()
    };
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(_), Some(at), Some(call)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Some((name, _)) = call.split_once('(') else {
            continue;
        };
        if at.parse().is_ok_and(|at: f64| within.contains(&at)) {
            *counts.by_name.entry(name.to_owned()).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn calls_count_once_and_only_within_the_window() {
        let text = "7 10.100000 read(0x3, 0x7f, 0x1) = 0x1\n7 10.200000 epoll_wait(0x3 <unfinished ...>\n\
                    8 10.250000 futex(0x1) = 0\n7 10.300000 <... epoll_wait resumed>) = 0x1\n\
                    7 10.900000 read(0x3) = 0\n7 10.910000 +++ exited with 0 +++\n";
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        let counts = parse(text, at(10_150), at(10_500));
        let names: Vec<(&str, u64)> = counts
            .by_name
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .collect();
        assert_eq!(names, [("epoll_wait", 1), ("futex", 1)]);
        assert_eq!(counts.window, Duration::from_millis(350));
    }
}
