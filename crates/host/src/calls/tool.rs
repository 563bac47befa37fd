//! What a tool counts, and whether the tool works here.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

/// System calls by name and context switches, and the time in which they were counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Calls, by name; only those that were made.
    pub by_name: BTreeMap<String, u64>,
    /// How often one of the server's tasks left its CPU, to wait, to make room for another, or because it ended. `None` if
    /// the tool cannot see it.
    pub switches: Option<u64>,
    /// The time for which the counting was on.
    pub window: Duration,
}

/// Runs a tool once. If it fails, the error is the first line of its message.
pub(super) fn run_once(command: &mut Command, name: &str) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("{name} cannot be started ({error})"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let words: Vec<&str> = said
        .lines()
        .map(|line| line.trim().trim_start_matches(['\\', '_', ' ']))
        .filter(|line| !line.is_empty())
        .take(2)
        .collect();
    Err(format!("{name} does not work here ({})", words.join(": ")))
}
