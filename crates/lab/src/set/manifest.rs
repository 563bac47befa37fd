//! `set.json`: what a set was planned from.

use std::fs;
use std::path::{Path, PathBuf};

use c10k_record::{SCHEMA, SetManifest};

use crate::format::now_rfc3339;
use crate::plan::fresh_seed;
use crate::{LabError, Start, StudyOptions, executable, folder};

const FILE: &str = "set.json";

/// Whether a folder holds a set of studies.
#[must_use]
pub fn is_set(folder: &Path) -> bool {
    folder.join(FILE).is_file()
}

/// Whether a folder holds a study or a set of studies that can be resumed.
#[must_use]
pub fn is_begun(folder: &Path) -> bool {
    is_set(folder) || folder::is_study(folder)
}

/// The manifest of the set in a folder.
pub(super) fn read(path: &Path) -> Result<SetManifest, LabError> {
    read_if_any(path)?.ok_or_else(|| LabError::NoStudy { path: path.to_owned() })
}

/// The folder into which [`run_set`](crate::run_set) with these options writes: `--out`, or the next free `c10k-results/all`;
/// when resuming, the last one that exists.
///
/// # Errors
/// When the folder of `--out` holds a set already.
pub fn set_folder(options: &StudyOptions) -> Result<PathBuf, LabError> {
    let taken = |path: &Path| is_set(path);
    match &options.out {
        Some(out) if options.start == Start::New && taken(out) => Err(LabError::Occupied { path: out.clone() }),
        Some(out) => Ok(out.clone()),
        None => Ok(folder::next("all", options.start, taken)),
    }
}

/// The manifest of the set: read if the set is resumed, written if it is new.
pub(super) fn begin(path: &Path, names: Vec<String>, options: &StudyOptions) -> Result<SetManifest, LabError> {
    let planned = match options.start {
        Start::Resume => read_if_any(path)?,
        Start::New => None,
    };
    let asked = SetManifest {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        executable_sha256: executable::sha256(&options.tool),
        planned_at: now_rfc3339(),
        studies: names,
        seed: options.seed.unwrap_or_else(fresh_seed),
        budget_s: options.budget.map(|budget| budget.as_secs_f64()),
        repeats: options.repeats,
        only: options.only.clone(),
        until_settled: options.until_settled,
        disk: options.disk_directory()?,
    };
    let Some(planned) = planned else {
        fs::create_dir_all(path).map_err(|source| LabError::Write {
            path: path.to_owned(),
            source,
        })?;
        let text = serde_json::to_vec_pretty(&asked).map_err(|error| LabError::Report(error.to_string()))?;
        folder::write_whole(&path.join(FILE), &text)?;
        return Ok(asked);
    };
    match difference(&asked, &planned, options) {
        Some(difference) => Err(LabError::OtherPlan {
            path: path.to_owned(),
            difference,
        }),
        None => Ok(planned),
    }
}

/// The first thing that differs from the plan; `None` if the set can be resumed.
fn difference(asked: &SetManifest, planned: &SetManifest, options: &StudyOptions) -> Option<String> {
    let differences = [
        (
            asked.studies != planned.studies,
            "it was planned with other studies".to_owned(),
        ),
        (
            asked.executable_sha256 != planned.executable_sha256,
            "it was begun with another build of c10k".to_owned(),
        ),
        (
            options.seed.is_some() && asked.seed != planned.seed,
            format!("its --seed is {}", planned.seed),
        ),
        (
            asked.repeats.is_some() && asked.repeats != planned.repeats,
            "it was planned with another --repeats".to_owned(),
        ),
        (
            asked.budget_s.is_some() && asked.budget_s != planned.budget_s,
            "it was planned with another --budget".to_owned(),
        ),
        (
            asked.only.is_some() && asked.only != planned.only,
            "it was planned with another --only".to_owned(),
        ),
        (
            asked.until_settled && !planned.until_settled,
            "it was begun without --until settled".to_owned(),
        ),
        (
            asked.disk.is_some() && asked.disk != planned.disk,
            "it was planned with another --disk, or without".to_owned(),
        ),
    ];
    let first = differences.into_iter().find(|(differs, _)| *differs);
    first.map(|(_, difference)| difference)
}

fn read_if_any(path: &Path) -> Result<Option<SetManifest>, LabError> {
    folder::read_json(
        path.join(FILE),
        "without it the studies below are no set; restore it, or draw each with `c10k report` on its own folder",
    )
}
