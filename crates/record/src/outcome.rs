//! The results of studies: `c10k study --json`, `c10k report --json`, and for several studies `overview.json`.

use std::collections::BTreeMap;
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
    /// The variants compared with the cheapest of them; absent where no two of them can be compared.
    #[serde(default)]
    pub cheapest: Option<CheapestRecord>,
    /// Tables in the layout of the source, with the published numbers.
    pub tables: Vec<TableRecord>,
    /// How the cells ended.
    pub cells: CellCounts,
    /// What failed, for a reason that is not the machine's. Empty unless `cells.failed` is above 0.
    #[serde(default)]
    pub failures: Vec<FailureRecord>,
    /// Lines of the study's files that could not be read, one sentence each with file and line. Their records are lost.
    #[serde(default)]
    pub damage: Vec<String>,
}

impl StudyRecord {
    /// Whether something was measured, nothing failed and no claim was refuted. A claim that instructions settle does not count:
    /// the guest's tables say nothing about this run.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.cells.measured > 0 && self.cells.failed == 0 && self.count(Verdict::Refuted) == 0
    }

    /// The claims that a run like this one can settle: not those that this machine cannot run or that `--only` excluded.
    pub fn claims_within_reach(&self) -> impl Iterator<Item = &ClaimRecord> {
        self.claims.iter().filter(|claim| claim.is_within_reach())
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
    /// Could not run on this machine.
    pub skipped: usize,
    /// Could not run because of what the experiment asks for.
    #[serde(default)]
    pub failed: usize,
}

/// A variant with cells that failed, by reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// Name of the variant.
    pub variant: String,
    /// Why, in one line.
    pub reason: String,
    /// How many runs of its cells failed for this reason.
    pub cells: usize,
}

/// The variants of a study at the last level of each axis, compared with the cheapest of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheapestRecord {
    /// Name of the measure: CPU per request.
    pub measure: String,
    /// Its unit.
    pub unit: String,
    /// The levels in words; empty without an axis.
    pub at: String,
    /// The level on each axis, in the unit of the axis.
    pub levels: BTreeMap<String, f64>,
    /// Confidence of each interval alone, a part of one. The intervals of all pairs together would hold with 0.95, so that
    /// those against the cheapest hold whichever variant that is.
    pub confidence: f64,
    /// The noise floor of the study in this measure, percent; absent without a control.
    pub floor_percent: Option<f64>,
    /// The cheapest first, the others by their ratio.
    pub variants: Vec<CheapestRow>,
}

/// One variant compared with the cheapest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheapestRow {
    /// Name of the variant.
    pub variant: String,
    /// Its label in reports.
    pub label: String,
    /// The median over its valid blocks.
    pub median: f64,
    /// The measure ÷ that of the cheapest in the same block: the median over the blocks that both have. 1 for the cheapest.
    pub ratio: f64,
    /// Lower end of the interval of the ratio; absent for the cheapest, and with fewer than two blocks.
    pub ratio_low: Option<f64>,
    /// Upper end of the interval of the ratio.
    pub ratio_high: Option<f64>,
    /// Valid blocks that both have.
    pub blocks: usize,
    /// Whether the whole interval lies beyond the noise floor. Variants that are not apart may cost the same.
    pub is_apart: bool,
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
    /// Whether every study that was run measured something, had no failed cell and refuted no claim, and none failed.
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
    /// Whether each study ends as soon as no claim is open (`--until settled`).
    #[serde(default)]
    pub until_settled: bool,
    /// The absolute path of the directory that was given with `--disk`, for the studies whose servers have files.
    #[serde(default)]
    pub disk: Option<PathBuf>,
}
