//! Executables for the guest that cargo builds in the source tree.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What cargo builds.
pub(super) struct Target {
    /// Its name in messages.
    what: &'static str,
    arguments: &'static [&'static str],
}

/// The contract suite of c10k-event, and the facts about a device that only a guest has. (Its other tests read files of the source
/// tree, which is not in the guest.)
pub(super) const CONTRACT: Target = Target {
    what: "the contract suite of c10k-event",
    arguments: &[
        "test",
        "--no-run",
        "--package",
        "c10k-event",
        "--test",
        "contract",
        "--test",
        "dev_poll_device",
    ],
};

/// The dispatch benchmark of c10k-event.
pub(super) const DISPATCH: Target = Target {
    what: "the dispatch benchmark of c10k-event",
    arguments: &["bench", "--no-run", "--package", "c10k-event", "--bench", "dispatch"],
};

/// Builds a target and returns its executables.
pub(super) fn executables(target: &Target) -> Result<Vec<PathBuf>, String> {
    let remedy = "run this in the source tree of c10k, or name executables";
    let what = target.what;
    let output = Command::new("cargo")
        .args(target.arguments)
        .args(["--message-format", "json"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo to build {what}: {error}; {remedy}"))?;
    if !output.status.success() {
        return Err(format!("cargo cannot build {what}; {remedy}"));
    }
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let programs = messages.filter_map(|line| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        Some(message["executable"].as_str()?.into())
    });
    Ok(programs.collect())
}
