//! What `c10k list --json` and `c10k doctor --json` print.

use serde::{Deserialize, Serialize};

/// `c10k list --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Every event mechanism, available here or not.
    pub mechanisms: Vec<MechanismRow>,
    /// Every concurrency model, available here or not.
    pub models: Vec<ModelRow>,
    /// Every option of rings: `c10k serve --ring`.
    #[serde(default)]
    pub ring_options: Vec<RingOptionRow>,
    /// Every model of the monitoring daemon.
    #[serde(default)]
    pub monitor_models: Vec<MonitorModelRow>,
    /// Every probe: `c10k probe NAME`.
    pub probes: Vec<ProbeRow>,
    /// Every output format of `c10k load`.
    pub load_outputs: Vec<LoadOutputRow>,
    /// Every study that is built in.
    pub studies: Vec<StudyRow>,
    /// Every study in the guest: `c10k vm study NAME`.
    pub guest_studies: Vec<GuestStudyRow>,
}

/// One event mechanism.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MechanismRow {
    /// Its name on the command line.
    pub name: String,
    /// One line.
    pub summary: String,
    /// The triggers that it offers: `level`, `edge`, `oneshot`.
    pub trigger: Vec<String>,
    /// The system calls that it waits with, in the kernel's names, the usual one first.
    pub wait_calls: Vec<String>,
    /// Whether it can run here.
    pub available: bool,
    /// Whether it is an emulation of the interface that it is named for.
    pub emulated: bool,
    /// Why it cannot run here.
    pub reason: Option<String>,
}

/// One concurrency model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRow {
    /// Its name on the command line.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Whether it takes `--mechanism`.
    pub mechanisms: bool,
    /// The mechanisms that it can use, if it takes some and not all. Otherwise empty.
    #[serde(default)]
    pub only_on: Vec<String>,
    /// Whether each of a fixed number of workers serves one connection at a time: N open connections take N workers.
    pub one_connection_per_worker: bool,
    /// Whether it can run here.
    pub available: bool,
    /// Why it cannot run here.
    pub reason: Option<String>,
}

/// One option of rings: of those of the model `io-uring`, and perhaps of those of the mechanism `io-uring-poll`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingOptionRow {
    /// Its name on the command line; with `=DURATION` if it takes one.
    pub name: String,
    /// One line.
    pub summary: String,
    /// The first version of Linux that has it.
    pub since: String,
    /// Whether the mechanism `io-uring-poll` has it too.
    #[serde(default)]
    pub polls: bool,
    /// Whether it can run here.
    pub available: bool,
    /// Why it cannot run here.
    pub reason: Option<String>,
}

/// One concurrency model of the monitoring daemon, `c10k monitor serve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorModelRow {
    /// Its name on the command line.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Whether it takes `--mechanism`.
    pub mechanisms: bool,
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRow {
    /// Its name on the command line.
    pub name: String,
    /// One line.
    pub summary: String,
    /// The options that it takes.
    pub options: Vec<ProbeOption>,
    /// The figures that it may print.
    pub figures: Vec<ProbeFigure>,
}

/// An option of a probe: a flag of `c10k probe NAME`, and a key of `[probe]` in an experiment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeOption {
    /// Its name, without the dashes.
    pub name: String,
    /// One line.
    pub summary: String,
    /// What its values are.
    pub kind: OptionKind,
    /// The words that it accepts; empty for the other kinds.
    pub values: Vec<String>,
    /// The smallest accepted count.
    pub least: Option<u64>,
    /// The largest accepted count.
    pub most: Option<u64>,
    /// Its default value; `None` if a value is required.
    pub default: Option<String>,
    /// Its label as the axis of a figure.
    pub label: String,
    /// Time that a unit of its value takes to set up and to clean up, microseconds. For expected durations only.
    pub setup_us: u64,
}

/// What the values of an option are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptionKind {
    /// One of several words.
    Word,
    /// A whole number.
    Count,
    /// A duration such as `300ms`.
    Duration,
    /// A directory that exists.
    Directory,
}

/// A figure of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFigure {
    /// Its key in [`ProbeSummary::values`](crate::ProbeSummary::values).
    pub key: String,
    /// The name of the measure in an experiment.
    pub measure: String,
    /// What it is, for axes and tables.
    pub label: String,
    /// Its unit.
    pub unit: String,
}

/// One output format of `c10k load`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadOutputRow {
    /// The option that selects it, without the dashes.
    pub name: String,
    /// One line.
    pub summary: String,
}

/// One built-in study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyRow {
    /// Its name on the command line.
    pub name: String,
    /// The question that it answers.
    pub question: String,
    /// Expected duration, seconds.
    pub seconds: u64,
}

/// One study in the guest. Its figures are instructions, on one virtual CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestStudyRow {
    /// Its name on the command line.
    pub name: String,
    /// The question that it answers.
    pub question: String,
    /// What one unit of work is.
    pub unit: String,
    /// Expected duration on the host, seconds.
    pub seconds: u64,
}

/// `c10k doctor --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorReport {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Facts and limits of the machine.
    pub checks: Vec<DoctorCheck>,
    /// Every event mechanism.
    pub mechanisms: Vec<MechanismRow>,
    /// Every concurrency model.
    pub models: Vec<ModelRow>,
}

/// One fact about the machine and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorCheck {
    /// What was checked, such as `nofile`.
    pub name: String,
    /// What was found.
    pub found: String,
    /// Whether it prevents a study from running.
    pub ok: bool,
    /// What it limits, and the exact command that would lift the limit.
    pub remedy: Option<String>,
}
