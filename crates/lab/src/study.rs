//! The pipeline: experiment → plan → run → results → judge → report.

use std::path::Path;

use c10k_record::{CellCounts, CellStatus, SCHEMA, StudyRecord, StudyRow};

use crate::experiment::{BUILT_IN, Experiment, Source};
use crate::progress::Progress;
use crate::results::{self, StudyData};
use crate::study_options::StudyOptions;
use crate::{LabError, judge, report, run};

/// Runs the built-in study or the experiment file called `name` and draws its report.
///
/// Says on standard error how far it is.
///
/// # Errors
/// Whatever makes the study impossible as a whole; a cell that cannot run is a record and no error.
pub fn run_study(name: &str, options: &StudyOptions) -> Result<StudyRecord, LabError> {
    run_source(&Source::find(name)?, options)
}

/// Runs in a thread of its own: the lab leaves the server's CPU to the server, and the caller keeps all of its CPUs for
/// the next study.
pub(crate) fn run_source(source: &Source, options: &StudyOptions) -> Result<StudyRecord, LabError> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut progress = Progress::new();
            let folder = run::study(source, options, &mut progress)?;
            conclude(&results::read(&folder)?)
        });
        thread.join().unwrap_or_else(|_| {
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
pub fn redraw(folder: &Path) -> Result<StudyRecord, LabError> {
    conclude(&results::read(folder)?)
}

/// Reads and checks the built-in study or the experiment file called `name`.
///
/// # Errors
/// The first mistake, with file, line and remedy.
pub fn check(name: &str) -> Result<(), LabError> {
    Experiment::parse(&Source::find(name)?).map(drop)
}

/// The built-in studies for `c10k list`.
#[must_use]
pub fn studies() -> Vec<StudyRow> {
    let rows = BUILT_IN.iter().filter_map(|built_in| {
        let source = Source::find(built_in.name).ok()?;
        let experiment = Experiment::read(&source).ok()?;
        Some(StudyRow {
            name: experiment.name,
            question: experiment.question,
            seconds: experiment.seconds.into_inner(),
        })
    });
    rows.collect()
}

fn conclude(study: &StudyData) -> Result<StudyRecord, LabError> {
    let claims = judge::judge(&study.plan, &study.records);
    let advice = judge::advise(&study.plan.experiment, &claims);
    let noise_floor = judge::noise_floor(&study.plan, &study.records);
    let mut cells = CellCounts::default();
    for record in &study.records {
        match record.status {
            CellStatus::Measured => cells.measured += 1,
            CellStatus::Invalid => cells.invalid += 1,
            CellStatus::Skipped => cells.skipped += 1,
        }
    }
    let mut outcome = StudyRecord {
        schema: SCHEMA,
        study: study.manifest.study.clone(),
        folder: study.folder.clone(),
        report: study.folder.join("report.html"),
        answer: String::new(),
        claims,
        advice,
        noise_floor,
        tables: report::tables(&study.plan, &study.records),
        cells,
        damage: study.damage.clone(),
    };
    outcome.answer = report::answer(&study.plan, &study.records, &outcome);
    report::write(study, &outcome)?;
    Ok(outcome)
}
