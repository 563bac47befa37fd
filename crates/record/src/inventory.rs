//! What `c10k list --json` and `c10k doctor --json` print.

use serde::{Deserialize, Serialize};

/// `c10k list --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Every event mechanism, available here or not.
    pub mechanisms: Vec<MechanismRow>,
    /// Every concurrency model, available here or not.
    pub models: Vec<ModelRow>,
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
    /// Whether it can run here.
    pub available: bool,
    /// Why it cannot run here.
    pub reason: Option<String>,
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
    /// What was looked at, such as `nofile`.
    pub name: String,
    /// What was found.
    pub found: String,
    /// Whether it stands in the way of a study.
    pub ok: bool,
    /// What it limits, and the exact command that would lift the limit.
    pub remedy: Option<String>,
}
