//! The results of studies: `c10k study --json`, `c10k report --json`, and for several studies `overview.json`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::claim::{AdviceRecord, ClaimRecord, NoiseFloor, Verdict};

/// The result of one study. One line of `c10k study NAME --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyRecord {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Name of the study.
    pub study: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The report.
    pub report: PathBuf,
    /// The answer in one paragraph.
    pub answer: String,
    /// Every claim with its verdict and its numbers.
    pub claims: Vec<ClaimRecord>,
    /// What to use for which workload.
    pub advice: Vec<AdviceRecord>,
    /// The A/A control, where the study has one.
    pub noise_floor: Option<NoiseFloor>,
    /// Tables in the layout of the source, with the published numbers.
    pub tables: Vec<TableRecord>,
    /// How the cells ended.
    pub cells: CellCounts,
    /// Lines of the study's files that could not be read, one sentence each with file and line. Their records are lost.
    #[serde(default)]
    pub damage: Vec<String>,
}

impl StudyRecord {
    /// Whether something was measured and no claim was refuted.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.cells.measured > 0 && self.count(Verdict::Refuted) == 0
    }

    /// How many claims have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.claims.iter().filter(|claim| claim.verdict == verdict).count()
    }

    /// The claim of this short name.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&ClaimRecord> {
        self.claims.iter().find(|claim| claim.claim == name)
    }
}

/// How many runs of cells ended in which way, over all blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellCounts {
    /// Valid.
    pub measured: usize,
    /// Kept, but not counted.
    pub invalid: usize,
    /// Could not run here.
    pub skipped: usize,
}

/// A table in the layout of the source: the levels of one axis down; across, the measures at each level of another axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableRecord {
    /// Short name; its file is `NAME.csv`.
    pub table: String,
    /// Its title.
    pub title: String,
    /// What to read from it.
    pub caption: String,
    /// Name of the variant that was measured.
    pub variant: String,
    /// The axis whose levels are the rows.
    pub rows_axis: String,
    /// The axis whose levels are the columns.
    pub columns_axis: String,
    /// Heading of the column that says at which level the source measured.
    pub published_heading: String,
    /// The measured columns. The published numbers have the same columns.
    pub columns: Vec<TableColumn>,
    /// The rows.
    pub rows: Vec<TableRow>,
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableColumn {
    /// Its heading in words.
    pub heading: String,
    /// The level, in the unit of its axis.
    pub level: f64,
    /// Name of the measure.
    pub measure: String,
    /// Unit of the measure; empty for plain numbers.
    pub unit: String,
}

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableRow {
    /// Its heading in words.
    pub heading: String,
    /// The level, in the unit of its axis.
    pub level: f64,
    /// Medians over the valid blocks, one per column; absent without a valid block.
    pub values: Vec<Option<f64>>,
    /// The level at which the source measured, as it printed it.
    pub published_level: String,
    /// What the source published, one per column, as it printed it.
    pub published: Vec<String>,
}

/// The results of several studies. The file `overview.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetRecord {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// The folder of the set.
    pub folder: PathBuf,
    /// The overview page.
    pub report: PathBuf,
    /// The answer in one paragraph.
    pub answer: String,
    /// Every study, in the order in which they run.
    pub studies: Vec<SetEntry>,
}

/// One study of a set. One line of `c10k study all --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetEntry {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Name of the study.
    pub study: String,
    /// Its title.
    pub title: String,
    /// Its question.
    pub question: String,
    /// Its folder, relative to the folder of the set.
    pub folder: PathBuf,
    /// How it ended.
    #[serde(flatten)]
    pub ended: StudyEnd,
}

/// How a study of a set ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ended", rename_all = "kebab-case")]
pub enum StudyEnd {
    /// It was run and its claims have verdicts.
    Concluded {
        /// Its result.
        outcome: Box<StudyRecord>,
    },
    /// It could not be run.
    Failed {
        /// Why, in one line.
        reason: String,
    },
    /// It has no records yet, or the filter matches none of its cells.
    NotRun {
        /// Why, in one line.
        reason: String,
    },
}

impl SetEntry {
    /// The result of the study, if it was run.
    #[must_use]
    pub fn outcome(&self) -> Option<&StudyRecord> {
        match &self.ended {
            StudyEnd::Concluded { outcome } => Some(outcome),
            StudyEnd::Failed { .. } | StudyEnd::NotRun { .. } => None,
        }
    }
}

impl SetRecord {
    /// Whether every study that was run measured something and refuted no claim, and none failed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.studies.iter().all(|entry| match &entry.ended {
            StudyEnd::Concluded { outcome } => outcome.is_success(),
            StudyEnd::Failed { .. } => false,
            StudyEnd::NotRun { .. } => true,
        })
    }

    /// The results of the studies that were run.
    pub fn outcomes(&self) -> impl Iterator<Item = &StudyRecord> {
        self.studies.iter().filter_map(SetEntry::outcome)
    }

    /// How many claims of all studies have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.outcomes().map(|outcome| outcome.count(verdict)).sum()
    }
}

/// How a set of studies was planned. The file `set.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SetManifest {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Version of the tool that planned it.
    pub version: String,
    /// SHA-256, in hexadecimal, of the executable that ran as server and generator; absent if it could not be read.
    #[serde(default)]
    pub executable_sha256: Option<String>,
    /// When it was planned, RFC 3339, UTC.
    pub planned_at: String,
    /// The studies as named on the command line: built-in names and files.
    pub studies: Vec<String>,
    /// Seed of every study.
    pub seed: u64,
    /// The budget for all studies together, seconds.
    pub budget_s: Option<f64>,
    /// The requested number of blocks.
    pub repeats: Option<u32>,
    /// The requested filter (`--only`).
    pub only: Option<String>,
}
