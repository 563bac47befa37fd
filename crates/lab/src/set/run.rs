//! Runs the studies of a set one after another, or only reads them again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use c10k_record::{SCHEMA, SetEntry, SetManifest, SetRecord, StudyEnd};

use super::manifest::{self, is_set, set_folder};
use super::members::{Member, expanded, in_order, least, members, part};
use super::overview;
use crate::format::{rough_duration, say};
use crate::{LabError, Start, StudyOptions, folder, study};

/// The part of the budget that is planned; the rest is for what no plan holds: saturation, calibration, reports.
const PLANNED: f64 = 0.95;

/// Runs several studies one after another. `all` among the names stands for every built-in study. `each` gets every study
/// as soon as it has ended.
///
/// Before each study the remaining budget is divided anew, in proportion to the durations that the remaining studies
/// state: a study that takes too long leaves less for all that follow, and one whose claims are settled early leaves more.
/// With a budget, those that state the longest durations run last, so that they get what the others leave.
///
/// # Errors
/// When a name or a file is wrong, before anything runs; when the folder cannot be used; when the filter matches no cell of
/// any study. An error within one study is an entry of the result.
pub fn run_set(
    names: &[String],
    options: &StudyOptions,
    mut each: impl FnMut(&SetEntry),
) -> Result<SetRecord, LabError> {
    let names = expanded(names);
    let members = members(&names)?;
    let path = set_folder(options)?;
    if !is_set(&path) {
        check_budget(&members, options)?;
    }
    let plan = manifest::begin(&path, names, options)?;
    let order = in_order(&members, plan.budget_s.is_some());
    let mut studies = BTreeMap::new();
    let mut spent_s = 0.0;
    for (place, &index) in order.iter().enumerate() {
        let coming: Vec<&Member> = order[place..].iter().map(|&index| &members[index]).collect();
        let part = plan
            .budget_s
            .map(|budget_s| part(budget_s * PLANNED - spent_s, &coming, plan.only.as_deref()));
        let member = &members[index];
        let name = &member.experiment.name;
        let share = part.map_or_else(String::new, |part| {
            format!(", about {} of the budget", rough_duration(part))
        });
        say(&format!("study {} of {}: {name}{share}", place + 1, members.len()));
        let begun = Instant::now();
        let entry = run_member(member, &path, &plan, part, options);
        spent_s += begun.elapsed().as_secs_f64().max(recorded_s(&path.join(name)));
        each(&entry);
        studies.insert(index, entry);
    }
    conclude(path, studies.into_values().collect(), &plan, plan.only.as_deref())
}

/// Gives every claim of every study of a set its verdict from the records and draws all reports and the overview, without
/// running anything.
///
/// # Errors
/// When the folder holds no set, is damaged, or cannot be written.
pub fn redraw_set(path: &Path) -> Result<SetRecord, LabError> {
    let manifest = manifest::read(path)?;
    let entries = members(&manifest.studies)?.into_iter().map(|member| {
        let folder = path.join(&member.experiment.name);
        let ended = match study::redraw(&folder) {
            Ok(outcome) => StudyEnd::Concluded {
                outcome: Box::new(outcome),
            },
            Err(LabError::NoStudy { .. }) => StudyEnd::NotRun {
                reason: "it has not been run".to_owned(),
            },
            Err(error) => StudyEnd::Failed {
                reason: error.to_string(),
            },
        };
        entry(&member, ended)
    });
    let studies = entries.collect();
    conclude(path.to_owned(), studies, &manifest, None)
}

/// Every study of a set gets the time of one block at least.
fn check_budget(members: &[Member], options: &StudyOptions) -> Result<(), LabError> {
    let Some(budget) = options.budget else {
        return Ok(());
    };
    let each = members.iter().map(|member| least(member, options.only.as_deref()));
    let needed = each.sum::<Duration>().div_f64(PLANNED);
    if budget >= needed {
        return Ok(());
    }
    Err(LabError::Usage {
        option: "--budget",
        problem: format!(
            "{budget:?} is too small: {} studies of one block each take {}; give --budget {}s or more, name fewer studies, or \
             select fewer cells with --only",
            members.len(),
            rough_duration(needed),
            needed.as_secs() + 1
        ),
    })
}

/// The studies of a set that have a folder with a plan: their names, which are their folders.
pub(crate) fn begun(path: &Path) -> Result<Vec<String>, LabError> {
    let manifest = manifest::read(path)?;
    let names = members(&manifest.studies)?
        .into_iter()
        .map(|member| member.experiment.name);
    Ok(names
        .filter(|name| path.join(name).join("manifest.json").is_file())
        .collect())
}

fn run_member(
    member: &Member,
    path: &Path,
    manifest: &SetManifest,
    part: Option<Duration>,
    chosen: &StudyOptions,
) -> SetEntry {
    let folder = path.join(&member.experiment.name);
    let begun = folder::read_manifest(&folder).ok().flatten().is_some();
    let options = StudyOptions {
        tool: chosen.tool.clone(),
        out: Some(folder),
        disk: manifest.disk.clone(),
        // A study that was planned keeps its plan.
        budget: part.filter(|_| !begun),
        repeats: manifest.repeats.filter(|_| !begun),
        seed: Some(manifest.seed),
        only: manifest.only.clone(),
        until_settled: manifest.until_settled && !begun,
        ends_when_settled: part.is_some(),
        start: Start::Resume,
    };
    let ended = match study::run_source(&member.source, &options) {
        Ok(outcome) => StudyEnd::Concluded {
            outcome: Box::new(outcome),
        },
        Err(LabError::NothingMatches { .. }) => StudyEnd::NotRun {
            reason: format!("--only '{}' matches no cell", manifest.only.as_deref().unwrap_or("")),
        },
        Err(error) => {
            say(&format!("{} failed: {error}", member.experiment.name));
            StudyEnd::Failed {
                reason: error.to_string(),
            }
        }
    };
    entry(member, ended)
}

fn entry(member: &Member, ended: StudyEnd) -> SetEntry {
    SetEntry {
        schema: SCHEMA,
        study: member.experiment.name.clone(),
        title: member.experiment.title.clone(),
        question: member.experiment.question.clone(),
        folder: PathBuf::from(&member.experiment.name),
        ended,
    }
}

/// The time that the records of a study took, seconds: for sets that were interrupted.
fn recorded_s(folder: &Path) -> f64 {
    // A file that cannot be read is reported when the study runs.
    let records = folder::read_records(folder)
        .map(|read| read.records)
        .unwrap_or_default();
    records.iter().map(|record| record.seconds).sum()
}

fn conclude(
    path: PathBuf,
    studies: Vec<SetEntry>,
    manifest: &SetManifest,
    only: Option<&str>,
) -> Result<SetRecord, LabError> {
    let nothing = |entry: &SetEntry| matches!(entry.ended, StudyEnd::NotRun { .. });
    if let Some(only) = only.filter(|_| studies.iter().all(nothing)) {
        return Err(LabError::Usage {
            option: "--only",
            problem: format!("'{only}' matches no cell of any of the {} studies", studies.len()),
        });
    }
    let mut set = SetRecord {
        schema: SCHEMA,
        report: path.join("index.html"),
        folder: path,
        answer: String::new(),
        studies,
    };
    set.answer = overview::answer(&set);
    overview::write(&set, manifest)?;
    Ok(set)
}
