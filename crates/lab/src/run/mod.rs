//! Running a plan: block by block, cell by cell, each record on the disk before the next cell starts.

mod available;
mod background;
mod calls;
mod cell;
mod context;
mod disk;
mod due;
mod end;
mod interleaved;
mod metering;
mod probe;
mod process;
mod server;
mod testbed;
mod validity;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use c10k_record::{CellRecord, CellStatus, HostFacts, Manifest, SCHEMA, Saturation};

use crate::experiment::{Experiment, Source};
use crate::folder::{self, Folder};
use crate::format::now_rfc3339;
use crate::plan::{Budget, Cell, Choices, Plan, fresh_seed};
use crate::progress::Progress;
use crate::{LabError, Start, StudyOptions, executable, measure, stats};
use context::RunContext;
use due::{Spent, Wanted, is_due, over_budget};
use interleaved::Pairs;
use testbed::Testbed;

/// Runs a study to its end, from the start or from where its folder stands.
pub(crate) fn study(source: &Source, options: &StudyOptions, progress: &mut Progress) -> Result<PathBuf, LabError> {
    let experiment = Experiment::parse(source)?;
    let path = choose_folder(&experiment.name, options)?;
    let facts = c10k_host::facts::read();
    let begun = match options.start {
        Start::New => None,
        Start::Resume => folder::read_manifest(&path)?,
    };
    if begun.is_none() && folder::has_records(&path) {
        return Err(LabError::NoManifest { path });
    }
    let seed = options.seed.unwrap_or_else(fresh_seed);
    let choices = match &begun {
        Some(manifest) => resumed_choices(&path, manifest, source, options, &facts)?,
        None => Choices {
            seed,
            repeats: options.repeats,
            call_passes: None,
            budget: budget(&experiment, options),
            only: options.only.clone(),
            can_interleave: true,
            looks: Some(looks(&experiment, options)),
            unavailable: BTreeMap::new(),
        },
    };
    // Whatever can be refused is refused before anything is written.
    let draft = Plan::resolve(&experiment, &choices, None)?;
    if begun.is_none() {
        check_budget(&draft, options)?;
    }
    let directory = match &begun {
        Some(manifest) => disk::directory(manifest).cloned(),
        None => options.disk_directory()?,
    };
    let mut folder = Folder::open(&path)?;
    let mut testbed = Testbed::set_up(&options.tool, &facts);
    testbed.disk = disk::make(&draft, directory.as_ref(), &path)?;
    testbed.calibrate();
    let manifest = match begun {
        Some(manifest) => manifest,
        None => {
            let started = Instant::now();
            let choices = Choices {
                unavailable: available::unavailable(&testbed, &draft),
                ..choices
            };
            let disk = disk::facts(&testbed, directory)?;
            let prepared_s = started.elapsed().as_secs_f64();
            let (choices, draft) = interleave_if_possible(&experiment, choices, &mut testbed)?;
            let saturation = measure_saturation(&testbed, &draft, progress)?;
            let manifest = Manifest {
                prepared_s,
                until_settled: options.until_settled,
                ends_when_settled: options.ends_when_settled,
                disk,
                ..new_manifest(source, &draft, &choices, &testbed, facts, saturation)
            };
            folder.write_manifest(&manifest)?;
            manifest
        }
    };
    let plan = Plan::of_manifest(&experiment, &manifest)?;
    run_blocks(&mut testbed, &plan, &manifest, &path, &mut folder, progress)?;
    calls::run_passes(&testbed, &plan, &path, progress)?;
    Ok(path)
}

/// The plan, with windows if the experiment has them and this machine can hold all servers at once.
fn interleave_if_possible(
    experiment: &Experiment,
    choices: Choices,
    testbed: &mut Testbed,
) -> Result<(Choices, Plan), LabError> {
    let draft = Plan::resolve(experiment, &choices, None)?;
    let Some(reason) = draft.interleaved.then(|| interleaved::why_not(&draft)).flatten() else {
        return Ok((choices, draft));
    };
    testbed.notes.push(format!(
        "The servers did not run all at once, as the experiment asks: {reason}. Each cell started its own."
    ));
    let choices = Choices {
        can_interleave: false,
        ..choices
    };
    let draft = Plan::resolve(experiment, &choices, None)?;
    Ok((choices, draft))
}

fn new_manifest(
    source: &Source,
    plan: &Plan,
    choices: &Choices,
    testbed: &Testbed,
    host: HostFacts,
    saturation: Option<Saturation>,
) -> Manifest {
    let unavailable = || choices.unavailable.iter();
    let reasons = unavailable().filter_map(|(name, why)| Some((name.clone(), why.reason.clone()?)));
    let failed = unavailable().filter(|(_, why)| why.has_failed);
    Manifest {
        schema: SCHEMA,
        study: plan.experiment.name.clone(),
        experiment_file: source.file.clone(),
        experiment: source.text.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        executable_sha256: executable::sha256(&testbed.tool),
        planned_at: now_rfc3339(),
        seed: choices.seed,
        blocks: plan.blocks,
        call_passes: plan.call_passes,
        interleaved: plan.interleaved,
        looks: plan.looks,
        until_settled: false,
        ends_when_settled: false,
        budget_s: choices.budget.seconds(),
        only: choices.only.clone(),
        unavailable: choices.unavailable.keys().cloned().collect(),
        unavailable_because: reasons.collect(),
        failed: failed.map(|(name, _)| name.clone()).collect(),
        prepared_s: 0.0,
        expected_s: plan.expected_within(choices.budget.seconds()),
        saturation,
        server_cpu: testbed.server_cpu(),
        client_cpus: testbed.client_cpus().to_vec(),
        notes: testbed.notes().to_vec(),
        host,
        disk: None,
    }
}

/// The choices of a study that is resumed. An option that is given again must have the same value as before.
fn resumed_choices(
    path: &Path,
    manifest: &Manifest,
    source: &Source,
    options: &StudyOptions,
    facts: &HostFacts,
) -> Result<Choices, LabError> {
    let disk = options.disk_directory()?;
    let differences = [
        (
            manifest.experiment != source.text,
            format!("the experiment in {} is not the one it was planned from", source.file),
        ),
        (
            manifest.executable_sha256 != executable::sha256(&options.tool),
            "it was begun with another build of c10k".to_owned(),
        ),
        (
            options.seed.is_some_and(|seed| seed != manifest.seed),
            format!("its --seed is {}", manifest.seed),
        ),
        (
            options.repeats.is_some_and(|repeats| repeats != manifest.blocks),
            format!("it was planned with {} blocks (--repeats)", manifest.blocks),
        ),
        (
            options.until_settled && !manifest.until_settled,
            "it was begun without --until settled".to_owned(),
        ),
        (
            options.only.is_some() && options.only != manifest.only,
            format!("its --only is '{}'", manifest.only.as_deref().unwrap_or("")),
        ),
        (
            options
                .budget
                .is_some_and(|budget| manifest.budget_s != Some(budget.as_secs_f64())),
            match manifest.budget_s {
                Some(budget_s) => format!("its budget is {budget_s}s"),
                None => "it was planned without --budget".to_owned(),
            },
        ),
        (disk::is_other(manifest, disk.as_ref()), disk::given(manifest)),
        (
            manifest.host.kernel != facts.kernel || manifest.host.cpus != facts.cpus,
            format!(
                "it was begun on kernel {} with CPUs {:?}",
                manifest.host.kernel, manifest.host.cpus
            ),
        ),
    ];
    if let Some((_, difference)) = differences.into_iter().find(|(differs, _)| *differs) {
        return Err(LabError::OtherPlan {
            path: path.to_owned(),
            difference,
        });
    }
    Ok(Choices::of_manifest(manifest))
}

/// `--out`, or a folder named after the study: a new one for a new study, the last one to resume.
pub(crate) fn choose_folder(study: &str, options: &StudyOptions) -> Result<PathBuf, LabError> {
    if let Some(out) = &options.out {
        if options.start == Start::New && folder::read_manifest(out)?.is_some() {
            return Err(LabError::Occupied { path: out.clone() });
        }
        return Ok(out.clone());
    }
    Ok(folder::next(study, options.start, folder::is_study))
}

/// A budget has room for one block at least.
fn check_budget(draft: &Plan, options: &StudyOptions) -> Result<(), LabError> {
    let (needed, Some(budget)) = (draft.least(), options.budget) else {
        return Ok(());
    };
    if budget >= needed {
        return Ok(());
    }
    let passes = match draft.call_passes {
        0 => "",
        _ => " with the pass that counts system calls",
    };
    Err(LabError::Usage {
        option: "--budget",
        problem: format!(
            "{budget:?} is too small: one block of {}{passes} takes {:.1} s; give --budget {}s or more, or select fewer cells \
             with --only",
            draft.experiment.name,
            needed.as_secs_f64(),
            needed.as_secs() + 1
        ),
    })
}

/// How often the claims are judged: as often as the experiment says, and more often in a study that is to end soon.
fn looks(experiment: &Experiment, options: &StudyOptions) -> u32 {
    /// With `--until settled`.
    const UNTIL_SETTLED: u32 = 5;
    let stated = *experiment.looks.get_ref();
    match options.until_settled {
        true => stated.max(UNTIL_SETTLED),
        false => stated,
    }
}

/// The budget asked for; without one and without a number of blocks, the duration that the experiment states.
fn budget(experiment: &Experiment, options: &StudyOptions) -> Budget {
    match (options.budget, options.repeats) {
        (Some(budget), _) => Budget::Asked(budget.as_secs_f64()),
        (None, Some(_)) => Budget::None,
        (None, None) => Budget::Stated(*experiment.seconds.get_ref() as f64),
    }
}

fn measure_saturation(testbed: &Testbed, plan: &Plan, progress: &mut Progress) -> Result<Option<Saturation>, LabError> {
    let (Some(spec), Some(cell)) = (&plan.experiment.saturation, plan.saturation_cell()) else {
        return Ok(None);
    };
    // If this machine can run no cell, no rate is used.
    let is_skipped =
        |cell: &Cell| plan.why_unavailable(cell).is_some() && plan.status_without_run(cell) == CellStatus::Skipped;
    if plan.cells.iter().all(is_skipped) {
        return Ok(None);
    }
    let variant = spec.variant.get_ref().clone();
    if let Some(cause) = plan.why_unavailable(&cell) {
        let cause = cause.to_owned();
        return Err(LabError::Saturation { variant, cause });
    }
    progress.say(&format!(
        "measuring the saturation of '{variant}', to which rates in percent refer"
    ));
    let started = Instant::now();
    let mut saturation = Saturation {
        variant: variant.clone(),
        ..Saturation::default()
    };
    let mut full = Vec::new();
    for position in 0..*spec.tries.get_ref() {
        let record = cell::run(
            testbed,
            plan,
            &cell,
            RunContext {
                position,
                ..RunContext::default()
            },
            None,
        );
        let rate = measure::find("reply-rate").and_then(|measure| measure.read(&record));
        let percent = measure::find("cpu-percent").and_then(|measure| measure.read(&record));
        let (Some(rate), Some(percent)) = (rate, percent.filter(|percent| *percent > 0.0)) else {
            return Err(LabError::Saturation {
                variant,
                cause: record.reasons.join("; "),
            });
        };
        saturation.reached.push(rate);
        saturation.cpu_percent.push(percent);
        full.push(rate / (percent / 100.0));
    }
    saturation.rate = stats::median(&full).unwrap_or_default().round();
    saturation.seconds = started.elapsed().as_secs_f64();
    Ok(Some(saturation))
}

fn run_blocks(
    testbed: &mut Testbed,
    plan: &Plan,
    manifest: &Manifest,
    path: &Path,
    folder: &mut Folder,
    progress: &mut Progress,
) -> Result<(), LabError> {
    // Damaged lines are reported when the study is concluded.
    let mut records = folder::read_records(path)?.records;
    let before_s = manifest
        .saturation
        .as_ref()
        .map_or(0.0, |saturation| saturation.seconds)
        + manifest.prepared_s;
    let budget_s = manifest
        .budget_s
        .map(|budget_s| (budget_s - before_s - plan.expected.start_s).max(0.0));
    let there = |records: &[CellRecord]| {
        let tried = records.iter().map(|record| (record.cell.as_str(), record.block));
        tried.collect::<BTreeSet<_>>().len()
    };
    progress.start(plan, path, there(&records), manifest.expected_s);
    let mut pairs = None;
    let mut wanted = Wanted::default();
    for block in 0..plan.blocks {
        let passes_s = plan.expected.pass_s * f64::from(plan.call_passes) * Spent::of(plan, &records).pace();
        let for_blocks = budget_s.map(|budget_s| (budget_s - passes_s).max(0.0));
        wanted.advance(plan, &records, block);
        if (manifest.until_settled || manifest.ends_when_settled) && wanted.is_settled() {
            progress.say(&format!("no claim is open after {block} blocks"));
            break;
        }
        if over_budget(plan, &wanted, for_blocks, &records, block) {
            progress.say(&format!("the budget is spent after {}", plan.blocks_text(block)));
            break;
        }
        let order = plan.order(block).into_iter();
        let cells = order.map(|index| &plan.cells[index]).filter(|cell| wanted.has(cell));
        for (position, cell) in cells.enumerate() {
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            while is_due(plan, budget_s, &records, &cell.id, block) {
                testbed.same_tool()?;
                let pairs = match plan.interleaved {
                    true => Some(pairs.get_or_insert_with(|| Pairs::start(testbed, plan, progress))),
                    false => None,
                };
                progress.cell(cell, block);
                let started = Instant::now();
                let place = RunContext {
                    block,
                    position,
                    best_speed: best_speed(&records),
                    ..RunContext::default()
                };
                let mut record = measure_cell(testbed, plan, cell, place, pairs);
                record.seconds = started.elapsed().as_secs_f64();
                folder.append(&record)?;
                progress.ran(&record);
                records.push(record);
            }
            progress.set_done(there(&records));
        }
        progress.block_done(block);
    }
    progress.finish();
    Ok(())
}

fn measure_cell(
    testbed: &mut Testbed,
    plan: &Plan,
    cell: &Cell,
    context: RunContext,
    pairs: Option<&mut Pairs>,
) -> CellRecord {
    match (plan.why_unavailable(cell), pairs) {
        (Some(reason), _) => cell::without_run(plan, cell, context, reason),
        (None, Some(pairs)) => pairs.measure(testbed, plan, cell, context),
        (None, None) => {
            testbed.calibrate();
            cell::run(testbed, plan, cell, context, None)
        }
    }
}

/// The best speed of the server's CPU in any cell so far.
fn best_speed(records: &[CellRecord]) -> Option<f64> {
    let speeds = records.iter().filter_map(|record| {
        let meters = record.meters.as_ref()?;
        let alone = meters.idle_loops_per_s_alone.into_iter();
        alone.chain(measure::cpu_speed(meters)).max_by(f64::total_cmp)
    });
    speeds.max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Unavailable;
    use crate::testing;

    #[test]
    fn rates_of_cells_that_this_machine_cannot_run_need_no_saturation() {
        let measured = |has_failed| {
            let why = Unavailable {
                reason: Some("no root".to_owned()),
                has_failed,
            };
            let choices = Choices {
                unavailable: ["flat", "steep"].map(|name| (name.to_owned(), why.clone())).into(),
                ..Choices::default()
            };
            let plan = Plan::resolve(&testing::experiment(), &choices, None).expect("it resolves");
            let testbed = Testbed::set_up(Path::new("/nowhere/c10k"), &HostFacts::default());
            measure_saturation(&testbed, &plan, &mut Progress::new())
        };
        assert_eq!(measured(false).expect("all are skipped"), None);
        let error = measured(true).expect_err("they failed").to_string();
        assert!(error.contains("no root"), "{error}");
    }

    #[test]
    fn what_differs_from_the_plan_is_named() {
        let source = Source {
            file: "t.toml".to_owned(),
            text: testing::EXPERIMENT.to_owned(),
        };
        let facts = HostFacts::default();
        let manifest = Manifest {
            experiment: source.text.clone(),
            seed: 7,
            blocks: 3,
            ..Manifest::default()
        };
        let resume = |options: &StudyOptions| resumed_choices(Path::new("r"), &manifest, &source, options, &facts);
        let same = StudyOptions::default();
        assert_eq!(resume(&same).expect("nothing differs").repeats, Some(3));
        let cases = [
            (
                StudyOptions {
                    seed: Some(8),
                    ..same.clone()
                },
                "--seed is 7",
            ),
            (
                StudyOptions {
                    tool: std::env::current_exe().expect("it runs"),
                    ..same.clone()
                },
                "another build",
            ),
            (
                StudyOptions {
                    repeats: Some(9),
                    ..same.clone()
                },
                "3 blocks",
            ),
            (
                StudyOptions {
                    only: Some("x".to_owned()),
                    ..same.clone()
                },
                "--only",
            ),
            (
                StudyOptions {
                    budget: Some(std::time::Duration::from_secs(1)),
                    ..same.clone()
                },
                "--budget",
            ),
        ];
        for (options, word) in cases {
            let error = resume(&options).expect_err(word).to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_study_is_resumed_on_the_disk_on_which_it_was_begun() {
        let source = Source {
            file: "t.toml".to_owned(),
            text: String::new(),
        };
        let resume = |begun: Option<&str>, given: Option<&str>| {
            let manifest = Manifest {
                disk: Some(c10k_record::DiskFacts {
                    directory: begun.map(Into::into),
                    ..Default::default()
                }),
                ..Manifest::default()
            };
            let options = StudyOptions {
                disk: given.map(Into::into),
                ..StudyOptions::default()
            };
            let choices = resumed_choices(Path::new("r"), &manifest, &source, &options, &HostFacts::default());
            choices.map_err(|error| error.to_string())
        };
        for (begun, given) in [(None, None), (Some("/proc"), None), (Some("/proc"), Some("/proc/"))] {
            resume(begun, given).expect("it is the same disk");
        }
        for (begun, given, word) in [
            (Some("/proc"), "/", "its --disk is /proc"),
            (None, "/", "without --disk"),
            (Some("/proc"), "/nowhere/at/all", "/nowhere/at/all"),
        ] {
            let error = resume(begun, Some(given)).expect_err(word);
            assert!(error.contains(word), "{error}");
        }
    }
}
