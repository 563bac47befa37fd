//! The lab: plans a question as an experiment, runs it, judges the claim, draws the report.
//!
//! An experiment is a TOML file (`experiments/` holds the built-in ones). [`run_study`] resolves it into cells (one
//! variant at one combination of levels), runs each cell once per block in an order that a recorded seed decides, and
//! appends one record per cell to the study's folder. Then every claim of the experiment is judged from the records
//! and the report is drawn. [`redraw`] does only the last two.
//!
//! What is measured is started as a process and never linked: the lab knows `c10k serve` and `c10k load` only by what
//! they print (`c10k-record`), so that any other server is measured in the same way.
//!
//! ```no_run
//! use c10k_lab::{StudyOptions, run_study};
//!
//! let options = StudyOptions {
//!     tool: std::env::current_exe()?,
//!     ..StudyOptions::default()
//! };
//! let outcome = run_study("quick", &options)?;
//! println!("{}", outcome.summary());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod compare;
mod error;
mod experiment;
mod judge;
mod measure;
mod plan;
mod progress;
mod report;
mod run;
mod set;
mod stats;
#[cfg(test)]
mod testing;

use std::path::{Path, PathBuf};
use std::time::Duration;

use c10k_record::{CellStatus, StudyRow};
use serde::Serialize;

pub use compare::{CellComparison, Change, CompareOptions, Comparison, Difference, Pairing, compare};
pub use error::LabError;
pub use experiment::{BUILT_IN, BuiltIn};
pub use judge::{Advice, Estimate, Ground, Judgement, NoiseFloor, Verdict};
pub use set::{Ended, SetEntry, SetOutcome, is_set, redraw_set, run_set};

use experiment::{Experiment, Source};
use progress::Progress;
use run::Ran;

/// How a study is run.
#[derive(Debug, Clone, Default)]
pub struct StudyOptions {
    /// The `c10k` executable that serves and loads.
    pub tool: PathBuf,
    /// The folder; `c10k-results/NAME` where absent.
    pub out: Option<PathBuf>,
    /// As many blocks as fit; the experiment's own number of blocks where absent.
    pub budget: Option<Duration>,
    /// The number of blocks, or the most of them where there is a budget.
    pub repeats: Option<u32>,
    /// Seed of the order, the schedules and the resampling; a new one where absent. It is recorded.
    pub seed: Option<u64>,
    /// Only cells whose name has all words of one of the alternatives between commas.
    pub only: Option<String>,
    /// Whether to go on with what the folder holds.
    pub start: Start,
}

/// Whether to go on with what the folder holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// A new study; a folder that holds one already is refused.
    #[default]
    Afresh,
    /// The cells that are missing; a new study where there is none.
    Resume,
}

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
    pub cells: Tally,
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
pub struct Tally {
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

    /// The verdict table and the report's path, for a terminal.
    #[must_use]
    pub fn summary(&self) -> String {
        report::terminal::summary(self)
    }
}

/// Runs the built-in study or the experiment file called `name` and draws its report.
///
/// Says on standard error how far it is.
///
/// # Errors
/// Whatever makes the study impossible as a whole; a cell that cannot run is a record and no error.
pub fn run_study(name: &str, options: &StudyOptions) -> Result<Outcome, LabError> {
    run_source(&Source::find(name)?, options)
}

/// Runs in a thread of its own: the lab leaves the server's CPU to the server, and the caller keeps all of its CPUs for
/// the next study.
fn run_source(source: &Source, options: &StudyOptions) -> Result<Outcome, LabError> {
    std::thread::scope(|scope| {
        let study = scope.spawn(|| {
            let mut progress = Progress::new();
            let ran = run::study(source, options, &mut progress)?;
            conclude(&ran)
        });
        study.join().unwrap_or_else(|_| {
            Err(LabError::Panicked {
                study: source.file.clone(),
            })
        })
    })
}

/// Judges the records of a folder again and draws its report again.
///
/// # Errors
/// When the folder holds no study, is damaged, or cannot be written.
pub fn redraw(folder: &Path) -> Result<Outcome, LabError> {
    conclude(&run::read(folder)?)
}

/// The built-in studies for `c10k list`.
#[must_use]
pub fn studies() -> Vec<StudyRow> {
    let rows = BUILT_IN.iter().filter_map(|built_in| {
        let source = Source::find(built_in.name).ok()?;
        let experiment = Experiment::parse(&source).ok()?;
        Some(StudyRow {
            name: experiment.name,
            question: experiment.question,
            seconds: experiment.seconds,
        })
    });
    rows.collect()
}

fn conclude(ran: &Ran) -> Result<Outcome, LabError> {
    let judgements = judge::judge(&ran.plan, &ran.records);
    let advice = judge::advise(&ran.plan.experiment, &judgements);
    let noise_floor = judge::noise_floor(&ran.plan, &ran.records);
    let mut cells = Tally::default();
    for record in &ran.records {
        match record.status {
            CellStatus::Measured => cells.measured += 1,
            CellStatus::Invalid => cells.invalid += 1,
            CellStatus::Skipped => cells.skipped += 1,
        }
    }
    let mut outcome = Outcome {
        study: ran.manifest.study.clone(),
        folder: ran.folder.clone(),
        report: ran.folder.join("report.html"),
        answer: String::new(),
        judgements,
        advice,
        noise_floor,
        tables: report::tables(&ran.plan, &ran.records),
        cells,
    };
    outcome.answer = report::answer(&ran.plan, &ran.records, &outcome);
    report::write(ran, &outcome)?;
    Ok(outcome)
}
