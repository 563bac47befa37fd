//! Several studies as one: a folder each, one budget for all, one overview.
//!
//! A study that fails is a line of the overview and does not stop the others. The set is as durable as its studies:
//! `set.json` says what was asked for, each study keeps its own records, and going on with the set goes on with each.

mod overview;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use c10k_record::SCHEMA;
use serde::{Deserialize, Serialize};

use crate::experiment::{Experiment, Source};
use crate::format::{now_rfc3339, rough_duration};
use crate::plan::fresh_seed;
use crate::{BUILT_IN, LabError, Outcome, Start, StudyOptions, Verdict, executable, folder, study};

const FILE: &str = "set.json";

/// The part of the budget that is planned; the rest is for what no plan holds: saturation, calibration, reports.
const PLANNED: f64 = 0.95;

/// What a set folder was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SetManifest {
    schema: u32,
    version: String,
    #[serde(default)]
    executable_sha256: Option<String>,
    planned_at: String,
    /// As named on the command line: built-in names and files.
    studies: Vec<String>,
    seed: u64,
    budget_s: Option<f64>,
    repeats: Option<u32>,
    only: Option<String>,
}

/// What a set of studies came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetOutcome {
    /// Its folder.
    pub folder: PathBuf,
    /// The overview page.
    pub report: PathBuf,
    /// The answer in one paragraph.
    pub answer: String,
    /// Every study, in the order in which they run.
    pub studies: Vec<SetEntry>,
}

/// One study of a set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetEntry {
    /// Its name.
    pub study: String,
    /// Its title.
    pub title: String,
    /// Its question.
    pub question: String,
    /// Its folder below that of the set.
    pub folder: PathBuf,
    /// How it ended.
    #[serde(flatten)]
    pub ended: Ended,
}

/// How a study of a set ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "ended", rename_all = "kebab-case")]
pub enum Ended {
    /// It was run and judged.
    Concluded {
        /// What it came to.
        outcome: Box<Outcome>,
    },
    /// It could not be run.
    Failed {
        /// Why, in one line.
        reason: String,
    },
    /// It has no records yet, or the filter leaves nothing of it.
    NotRun {
        /// Why, in one line.
        reason: String,
    },
}

impl SetEntry {
    fn outcome(&self) -> Option<&Outcome> {
        match &self.ended {
            Ended::Concluded { outcome } => Some(outcome),
            Ended::Failed { .. } | Ended::NotRun { .. } => None,
        }
    }
}

impl SetOutcome {
    /// Whether every study could be run, measured something and refuted no claim.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.studies.iter().all(|entry| match &entry.ended {
            Ended::Concluded { outcome } => outcome.is_success(),
            Ended::Failed { .. } => false,
            Ended::NotRun { .. } => true,
        })
    }

    /// The answer, a line per study and the overview's path, for a terminal.
    #[must_use]
    pub fn summary(&self) -> String {
        overview::terminal(self)
    }

    fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.studies.iter().filter_map(SetEntry::outcome)
    }

    fn verdicts(&self, verdict: Verdict) -> usize {
        self.outcomes()
            .flat_map(|outcome| &outcome.judgements)
            .filter(|judgement| judgement.verdict == verdict)
            .count()
    }
}

/// One study of a set before it runs.
struct Member {
    source: Source,
    experiment: Experiment,
}

/// Runs several studies one after another; `all` among the names stands for every built-in one. `each` sees every study
/// as soon as it has ended.
///
/// The budget is divided anew before each study, in proportion to the durations that those still to come state, so that
/// what one takes too long is taken from all that follow.
///
/// # Errors
/// When a name or a file is wrong, before anything runs; when the folder cannot be used; when the filter leaves nothing
/// of any study. What goes wrong in a single study is an entry and no error.
pub fn run_set(
    names: &[String],
    options: &StudyOptions,
    mut each: impl FnMut(&SetEntry),
) -> Result<SetOutcome, LabError> {
    let names = expanded(names);
    let members = members(&names)?;
    let path = choose_folder(options)?;
    let manifest = begin(&path, names, options)?;
    let mut studies = Vec::new();
    let mut spent_s = 0.0;
    for (index, member) in members.iter().enumerate() {
        let part = manifest
            .budget_s
            .map(|budget_s| part(budget_s * PLANNED - spent_s, &members[index..]));
        let name = &member.experiment.name;
        eprintln!(
            "study {} of {}: {name}{}",
            index + 1,
            members.len(),
            part.map_or_else(String::new, |part| format!(
                ", about {} of the budget",
                rough_duration(part)
            ))
        );
        let begun = Instant::now();
        let entry = run_member(member, &path, &manifest, part, &options.tool);
        spent_s += begun.elapsed().as_secs_f64().max(recorded_s(&path.join(name)));
        each(&entry);
        studies.push(entry);
    }
    conclude(path, studies, &manifest, manifest.only.as_deref())
}

/// Whether a folder holds a set of studies.
#[must_use]
pub fn is_set(folder: &Path) -> bool {
    folder.join(FILE).is_file()
}

/// Judges the records of every study of a set again and draws all reports and the overview again, running nothing.
///
/// # Errors
/// When the folder holds no set, is damaged, or cannot be written.
pub fn redraw_set(path: &Path) -> Result<SetOutcome, LabError> {
    let manifest = read_manifest(path)?.ok_or_else(|| LabError::NoStudy { path: path.to_owned() })?;
    let entries = members(&manifest.studies)?.into_iter().map(|member| {
        let folder = path.join(&member.experiment.name);
        let ended = match study::redraw(&folder) {
            Ok(outcome) => Ended::Concluded {
                outcome: Box::new(outcome),
            },
            Err(LabError::NoStudy { .. }) => Ended::NotRun {
                reason: "it has not been run".to_owned(),
            },
            Err(error) => Ended::Failed {
                reason: error.to_string(),
            },
        };
        entry(&member, ended)
    });
    let studies = entries.collect();
    conclude(path.to_owned(), studies, &manifest, None)
}

/// The studies of a set that have a folder with a plan: their names, which are their folders.
pub(crate) fn begun(path: &Path) -> Result<Vec<String>, LabError> {
    let manifest = read_manifest(path)?.ok_or_else(|| LabError::NoStudy { path: path.to_owned() })?;
    let names = members(&manifest.studies)?
        .into_iter()
        .map(|member| member.experiment.name);
    Ok(names
        .filter(|name| path.join(name).join("manifest.json").is_file())
        .collect())
}

fn expanded(names: &[String]) -> Vec<String> {
    if names.iter().any(|name| name == "all") {
        BUILT_IN.iter().map(|study| study.name.to_owned()).collect()
    } else {
        names.to_vec()
    }
}

/// Reads every experiment before the first one runs: a mistake in the last one is not to be found after half an hour.
fn members(names: &[String]) -> Result<Vec<Member>, LabError> {
    let mut taken = BTreeSet::new();
    let members = names.iter().map(|name| {
        let source = Source::find(name)?;
        let experiment = Experiment::parse(&source)?;
        if !taken.insert(experiment.name.clone()) {
            return Err(LabError::Usage {
                option: "NAME|FILE",
                problem: format!(
                    "two studies are called '{}', which is also their folder",
                    experiment.name
                ),
            });
        }
        Ok(Member { source, experiment })
    });
    members.collect()
}

/// `--out`, or the next free `c10k-results/all`; the last one to go on with.
fn choose_folder(options: &StudyOptions) -> Result<PathBuf, LabError> {
    let taken = |path: &Path| is_set(path);
    match &options.out {
        Some(out) if options.start == Start::Afresh && taken(out) => Err(LabError::Occupied { path: out.clone() }),
        Some(out) => Ok(out.clone()),
        None => Ok(folder::next("all", options.start, taken)),
    }
}

/// The manifest of the set: read where it is gone on with, written where it is new.
fn begin(path: &Path, names: Vec<String>, options: &StudyOptions) -> Result<SetManifest, LabError> {
    let there = match options.start {
        Start::Resume => read_manifest(path)?,
        Start::Afresh => None,
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
    };
    let Some(there) = there else {
        fs::create_dir_all(path).map_err(|source| LabError::Write {
            path: path.to_owned(),
            source,
        })?;
        let text = serde_json::to_vec_pretty(&asked).map_err(|error| LabError::Report(error.to_string()))?;
        folder::write_whole(&path.join(FILE), &text)?;
        return Ok(asked);
    };
    let differences = [
        (asked.studies != there.studies, "its studies are others".to_owned()),
        (
            asked.executable_sha256 != there.executable_sha256,
            "it was begun with another build of c10k".to_owned(),
        ),
        (
            options.seed.is_some() && asked.seed != there.seed,
            format!("its --seed is {}", there.seed),
        ),
        (
            asked.repeats.is_some() && asked.repeats != there.repeats,
            "it was planned with another --repeats".to_owned(),
        ),
        (
            asked.budget_s.is_some() && asked.budget_s != there.budget_s,
            "it was planned with another --budget".to_owned(),
        ),
        (
            asked.only.is_some() && asked.only != there.only,
            "it was planned with another --only".to_owned(),
        ),
    ];
    match differences.into_iter().find(|(differs, _)| *differs) {
        Some((_, difference)) => Err(LabError::OtherPlan {
            path: path.to_owned(),
            difference,
        }),
        None => Ok(there),
    }
}

fn read_manifest(path: &Path) -> Result<Option<SetManifest>, LabError> {
    folder::read_json(path.join(FILE))
}

/// The part of what is left that the first of `coming` gets: in proportion to the durations that they state.
fn part(left_s: f64, coming: &[Member]) -> Duration {
    let stated = |member: &Member| member.experiment.seconds.max(1) as f64;
    let all: f64 = coming.iter().map(stated).sum();
    let share = coming.first().map_or(0.0, stated) / all.max(1.0);
    Duration::from_secs_f64(left_s.max(0.0) * share)
}

fn run_member(member: &Member, path: &Path, manifest: &SetManifest, part: Option<Duration>, tool: &Path) -> SetEntry {
    let folder = path.join(&member.experiment.name);
    let begun = folder::read_manifest(&folder).ok().flatten().is_some();
    let options = StudyOptions {
        tool: tool.to_owned(),
        out: Some(folder),
        // What was planned stays as it was planned.
        budget: part.filter(|_| !begun),
        repeats: manifest.repeats.filter(|_| !begun),
        seed: Some(manifest.seed),
        only: manifest.only.clone(),
        start: Start::Resume,
    };
    let ended = match study::run_source(&member.source, &options) {
        Ok(outcome) => Ended::Concluded {
            outcome: Box::new(outcome),
        },
        Err(LabError::NothingMatches { .. }) => Ended::NotRun {
            reason: format!("--only '{}' leaves nothing", manifest.only.as_deref().unwrap_or("")),
        },
        Err(error) => {
            eprintln!("{} failed: {error}", member.experiment.name);
            Ended::Failed {
                reason: error.to_string(),
            }
        }
    };
    entry(member, ended)
}

fn entry(member: &Member, ended: Ended) -> SetEntry {
    SetEntry {
        study: member.experiment.name.clone(),
        title: member.experiment.title.clone(),
        question: member.experiment.question.clone(),
        folder: PathBuf::from(&member.experiment.name),
        ended,
    }
}

/// What the records of a study say that it took, seconds: for sets that were interrupted.
fn recorded_s(folder: &Path) -> f64 {
    let records = folder::read_records(folder).unwrap_or_default();
    records.iter().map(|record| record.seconds).sum()
}

fn conclude(
    path: PathBuf,
    studies: Vec<SetEntry>,
    manifest: &SetManifest,
    only: Option<&str>,
) -> Result<SetOutcome, LabError> {
    let nothing = |entry: &SetEntry| matches!(entry.ended, Ended::NotRun { .. });
    if let Some(only) = only.filter(|_| studies.iter().all(nothing)) {
        return Err(LabError::Usage {
            option: "--only",
            problem: format!("'{only}' matches no cell of any of the {} studies", studies.len()),
        });
    }
    let mut set = SetOutcome {
        report: path.join("index.html"),
        folder: path,
        answer: String::new(),
        studies,
    };
    set.answer = overview::answer(&set);
    overview::write(&set, manifest)?;
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_divided_by_the_stated_durations() {
        let all = members(&["quick".to_owned(), "paper/idle-connections".to_owned()]).expect("both are built in");
        let first = part(300.0, &all);
        let rest = part(300.0 - first.as_secs_f64(), &all[1..]);
        assert!(first < rest);
        assert!((first + rest).abs_diff(Duration::from_secs(300)) < Duration::from_millis(1));
        assert_eq!(part(-1.0, &all), Duration::ZERO, "what is overspent is not owed");
    }

    #[test]
    fn a_mistake_in_any_of_them_is_found_before_the_first_runs() {
        let error = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            members(&names).err().expect("refused").to_string()
        };
        assert!(error(&["quick", "paper/nothing"]).contains("paper/nothing"));
        assert!(error(&["quick", "quick"]).contains("two studies are called 'quick'"));
    }
}
