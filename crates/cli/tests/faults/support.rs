//! Runs studies and reads what they leave.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use c10k_record::{CellRecord, read};
use tempfile::TempDir;

use crate::ports::free_port;

/// A study of one cell for each variant, with limits that only a hang reaches.
const EXPERIMENT: &str = r#"
name = "small"
title = "A small study"
question = "Does it run?"
seconds = 5
repeats = 1
call-passes = 0

[load]
rate = 100
connections = 2
reply = 92
duration = "DURATION"
warmup = "WARMUP"
timeout = "60s"
max-lag = "60s"
"#;

/// The blocks of [`Study::interleaved`].
pub(crate) const WINDOWS: usize = 6;

/// A study in a temporary folder.
pub(crate) struct Study {
    folder: TempDir,
}

impl Study {
    /// A study with these variants; each is a name and its server. It measures for so long that a busy machine does not read
    /// the meters too late for it.
    pub(crate) fn new(variants: &[(&str, &str)]) -> Self {
        Self::timed("20ms", "500ms", variants)
    }

    /// The same, with its own warm-up and measured time.
    pub(crate) fn timed(warm_up: &str, duration: &str, variants: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut text = EXPERIMENT.replace("DURATION", duration).replace("WARMUP", warm_up);
        for (name, server) in variants {
            text += &format!("\n[[variant]]\nname = \"{name}\"\nserver = {server}\n");
        }
        fs::write(folder.path().join("small.toml"), text).expect("it can be written");
        Self { folder }
    }

    /// The same for servers that run for the whole study, measured in [`WINDOWS`] windows each.
    pub(crate) fn interleaved(variants: &[(&str, &str)]) -> Self {
        Self::of_windows(WINDOWS, variants)
    }

    /// The same with so many windows of each server.
    pub(crate) fn of_windows(count: usize, variants: &[(&str, &str)]) -> Self {
        let study = Self::new(variants);
        let text = fs::read_to_string(study.file()).expect("it was written");
        let windows = "[interleaved]\nduration = \"300ms\"\nwarmup = \"20ms\"\n\n[load]";
        let text = text
            .replacen("seconds = 5", "seconds = 120", 1)
            .replacen("[load]", windows, 1)
            .replacen("repeats = 1", &format!("repeats = {count}"), 1);
        fs::write(study.file(), text).expect("it can be written");
        study
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("small.toml")
    }

    /// The folder of its results.
    pub(crate) fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    pub(crate) fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
        command.arg("study").arg(self.file()).arg("--out").arg(self.out());
        command.args(["--seed", "7"]).args(more);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, more: &[&str]) -> Output {
        self.command(more).output().expect("the command starts")
    }

    pub(crate) fn start(&self) -> Child {
        self.command(&[]).spawn().expect("the command starts")
    }

    /// As a shell starts a command in the background: it ignores SIGINT.
    pub(crate) fn start_in_background(&self) -> Child {
        let study = self.command(&[]);
        // Below nohup(1), SIGHUP would be ignored too, and would stay so.
        let mut shell = Command::new("env");
        shell.args(["--default-signal=HUP", "sh", "-c", "trap '' INT; exec \"$0\" \"$@\""]);
        shell.arg(study.get_program()).args(study.get_args());
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell.spawn().expect("the shell starts")
    }

    /// The last record of each variant.
    pub(crate) fn records(&self) -> Vec<CellRecord> {
        records(&self.out())
    }

    /// The last record of a variant.
    #[track_caller]
    pub(crate) fn record(&self, variant: &str) -> CellRecord {
        let records = self.records();
        let found = records.iter().rev().find(|record| record.variant == variant);
        found
            .unwrap_or_else(|| panic!("no record of {variant}: {records:?}"))
            .clone()
    }
}

/// The records of a folder, whole lines only.
pub(crate) fn records(out: &Path) -> Vec<CellRecord> {
    let text = fs::read(out.join("records.ndjson")).unwrap_or_default();
    read::lines(&text).objects
}

/// What a command said on standard error.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn c10k(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_c10k"));
    command.args(arguments).output().expect("the command starts")
}

/// One of our own servers.
pub(crate) const OWN: &str = r#"{ model = "event-loop", mechanism = "epoll-level" }"#;

/// A server that is not ours: a shell that does `first` and then becomes a server.
pub(crate) fn external(first: &str) -> String {
    let port = free_port();
    format!(
        r#"{{ command = ["sh", "-c", "{first} \"$0\" serve --listen 127.0.0.1:{port}", {:?}], url = "http://127.0.0.1:{port}" }}"#,
        env!("CARGO_BIN_EXE_c10k")
    )
}

/// Sends a signal to a process that is running.
pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.expect("kill is there").success(), "{name} to {pid}");
}
