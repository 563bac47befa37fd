//! The pipeline: experiment → plan → run → results → judge → report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use c10k_record::{CellCounts, CellRecord, CellStatus, FailureRecord, SCHEMA, StudyRecord, StudyRow};

use crate::experiment::{BUILT_IN, Experiment, Source, study_of};
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
    run_source(&study_of(name)?, options)
}

/// The folder into which [`run_study`] with these options writes: that of the study that is resumed, or a free one.
///
/// # Errors
/// When there is no such study, or its experiment has a mistake, or the folder of `--out` is taken.
pub fn study_folder(name: &str, options: &StudyOptions) -> Result<PathBuf, LabError> {
    let experiment = Experiment::parse(&study_of(name)?)?;
    run::choose_folder(&experiment.name, options)
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
    Experiment::parse(&study_of(name)?).map(drop)
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
    let mut outcome = StudyRecord {
        schema: SCHEMA,
        study: study.manifest.study.clone(),
        folder: study.folder.clone(),
        report: study.folder.join("report.html"),
        answer: String::new(),
        claims,
        advice,
        cheapest: judge::cheapest(&study.plan, &study.records, noise_floor.as_ref()),
        noise_floor,
        tables: report::tables(&study.plan, &study.records),
        cells: count(&study.records),
        failures: failures(&study.records),
        damage: study.damage.clone(),
    };
    outcome.answer = report::answer(&outcome);
    report::write(study, &outcome)?;
    Ok(outcome)
}

fn count(records: &[CellRecord]) -> CellCounts {
    let mut cells = CellCounts::default();
    for record in records {
        let of_status = match record.status {
            CellStatus::Measured => &mut cells.measured,
            CellStatus::Invalid => &mut cells.invalid,
            CellStatus::Skipped => &mut cells.skipped,
            CellStatus::Failed => &mut cells.failed,
        };
        *of_status += 1;
    }
    cells
}

fn failures(records: &[CellRecord]) -> Vec<FailureRecord> {
    let mut cells: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for record in records.iter().filter(|record| record.status == CellStatus::Failed) {
        let key = (record.variant.as_str(), record.reasons.join("; "));
        *cells.entry(key).or_default() += 1;
    }
    let failures = cells.into_iter().map(|((variant, reason), cells)| FailureRecord {
        variant: variant.to_owned(),
        reason,
        cells,
    });
    failures.collect()
}
