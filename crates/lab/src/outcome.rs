//! What a study came to: verdicts, advice, tables and how its cells ended.

use std::path::PathBuf;

use serde::Serialize;

use crate::judge::{Advice, Judgement, NoiseFloor, Verdict};

/// What a study came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Its name.
    pub study: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The report.
    pub report: PathBuf,
    /// The answer in one paragraph.
    pub answer: String,
    /// Every claim with its verdict.
    pub judgements: Vec<Judgement>,
    /// What to take for which workload, as far as the verdicts bear it.
    pub advice: Vec<Advice>,
    /// The A/A control, where the study has one.
    pub noise_floor: Option<NoiseFloor>,
    /// Tables laid out as those of the source, with the published numbers beside ours.
    pub tables: Vec<StudyTable>,
    /// How the cells ended.
    pub cells: CellCounts,
}

/// A table with its heading; all rows are as long as it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StudyTable {
    /// Short name; its file is `ID.csv`.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What to read from it.
    pub caption: String,
    /// The heading of each column.
    pub heading: Vec<String>,
    /// Medians over the valid blocks, and what the source published.
    pub rows: Vec<Vec<String>>,
}

/// How the cells ended, all blocks together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CellCounts {
    /// Valid.
    pub measured: usize,
    /// Kept, but not counted.
    pub invalid: usize,
    /// Could not run here.
    pub skipped: usize,
}

impl Outcome {
    /// Whether something could be measured and no claim was refuted.
    #[must_use]
    pub fn is_success(&self) -> bool {
        let refuted = |judgement: &Judgement| judgement.verdict == Verdict::Refuted;
        self.cells.measured > 0 && !self.judgements.iter().any(refuted)
    }
}
