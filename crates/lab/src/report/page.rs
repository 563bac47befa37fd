//! The page: one file that needs no network, read on a desktop, a phone and paper, in light and dark.

use std::collections::BTreeMap;

use c10k_record::{CellStatus, HostFacts, Manifest, StudyRecord};
use c10k_units::display::thousands;
use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::Serialize;

use super::figure::Figure;
use super::tables::{self, Table};
use super::views::{self, AdviceView, CheapestView, ClaimView, NoiseFloorView, TableView};
use super::words;
use crate::experiment::{PublishedSpec, flag_text};
use crate::format::disk_option;
use crate::plan::Plan;
use crate::results::{Results, StudyData};
use crate::statistic::{Form, number};
use crate::{LabError, measure, stats};

const TEMPLATE: &str = include_str!("report.html");
pub(crate) const STYLE: &str = include_str!("report.css");

/// What the template sees.
#[derive(Serialize)]
struct Page<'a> {
    style: &'static str,
    chart_style: &'static str,
    title: &'a str,
    question: &'a str,
    source: Option<&'a str>,
    study: &'a str,
    answer: &'a str,
    claims: Vec<ClaimView<'a>>,
    advice: Vec<AdviceView<'a>>,
    cheapest: Option<CheapestView>,
    noise_floor: Option<NoiseFloorView<'a>>,
    tables: Vec<TableView<'a>>,
    figures: Vec<FigureContext<'a>>,
    published: Vec<Published<'a>>,
    cells: Table,
    proof: Table,
    calls: Option<Table>,
    counting: String,
    troubles: Vec<Trouble>,
    notes: Vec<String>,
    accounting: String,
    saturation: Option<String>,
    comparisons: usize,
    blocks: u32,
    cell_count: usize,
    manifest: &'a Manifest,
    environment: Vec<(&'static str, String)>,
    again: String,
    commands: Vec<String>,
}

#[derive(Serialize)]
struct FigureContext<'a> {
    title: &'a str,
    caption: &'a str,
    wide: &'a str,
    narrow: &'a str,
    crossovers: &'a [String],
}

#[derive(Serialize)]
struct Published<'a> {
    what: &'a str,
    value: &'a str,
    source: &'a str,
    ours: String,
    note: String,
}

#[derive(Serialize)]
struct Trouble {
    cell: String,
    status: &'static str,
    reason: String,
    blocks: usize,
}

/// Renders the page.
pub(super) fn render(study: &StudyData, outcome: &StudyRecord, figures: &[Figure]) -> Result<String, LabError> {
    let mut environment = Environment::new();
    environment
        .add_template("report.html", TEMPLATE)
        .map_err(|error| LabError::Report(error.to_string()))?;
    let figures: Vec<FigureContext> = figures
        .iter()
        .map(|figure| FigureContext {
            title: &figure.title,
            caption: &figure.caption,
            wide: &figure.wide,
            narrow: &figure.narrow,
            crossovers: &figure.crossovers,
        })
        .collect();
    let results = Results::new(&study.plan, &study.records);
    let published: Vec<Published> = study
        .plan
        .experiment
        .published
        .iter()
        .map(|spec| published(&study.plan, &results, spec))
        .collect();
    let experiment = &study.plan.experiment;
    let page = Page {
        style: STYLE,
        chart_style: c10k_chart::STYLE,
        title: &experiment.title,
        question: &experiment.question,
        source: experiment.source.as_deref(),
        study: &experiment.name,
        answer: &outcome.answer,
        claims: outcome.claims.iter().map(ClaimView::of).collect(),
        advice: views::advice(outcome),
        cheapest: outcome.cheapest.as_ref().map(CheapestView::of),
        noise_floor: outcome.noise_floor.as_ref().map(NoiseFloorView::of),
        tables: outcome.tables.iter().map(TableView::of).collect(),
        figures,
        published,
        cells: tables::cells(&study.plan, &study.records),
        proof: tables::proof(&study.plan, &study.records),
        calls: tables::calls(&study.plan, &study.records),
        counting: counting(study),
        troubles: troubles(study),
        notes: notes(study),
        accounting: accounting(study),
        saturation: study.manifest.saturation.as_ref().map(saturation_words),
        comparisons: outcome.claims.iter().map(|claim| claim.estimates.len()).sum(),
        blocks: results.blocks(),
        cell_count: study.plan.cells.len(),
        manifest: &study.manifest,
        environment: facts(&study.manifest),
        again: again(&study.manifest),
        commands: commands(study),
    };
    environment
        .get_template("report.html")
        .and_then(|template| template.render(Value::from(Serde(&page))))
        .map_err(|error| LabError::Report(error.to_string()))
}

fn saturation_words(saturation: &c10k_record::Saturation) -> String {
    let reached: Vec<String> = saturation.reached.iter().map(|rate| thousands(*rate)).collect();
    let percent: Vec<String> = saturation
        .cpu_percent
        .iter()
        .map(|percent| format!("{percent:.0}%"))
        .collect();
    format!(
        "Rates in percent refer to {} requests per second, the rate at which {} would use all of its CPU. In a closed loop \
         it reached {} per second with {} of the CPU.",
        thousands(saturation.rate),
        saturation.variant,
        reached.join(", "),
        percent.join(", ")
    )
}

fn published<'a>(plan: &Plan, results: &Results, spec: &'a PublishedSpec) -> Published<'a> {
    let measure = measure::find(spec.measure.get_ref());
    let variant = plan.variant(spec.variant.get_ref());
    let (ours, note) = match measure.zip(variant) {
        None => (None, String::new()),
        Some((measure, variant)) => {
            let cells: Vec<_> = plan
                .combinations(None, &spec.filter)
                .into_iter()
                .filter_map(|levels| plan.cell(variant, &levels))
                .collect();
            let values: Vec<f64> = cells
                .iter()
                .flat_map(|cell| results.values(&cell.id, measure).into_values())
                .collect();
            let note = match (cells.len(), spec.filter.is_empty()) {
                (0 | 1, _) | (_, true) => plan.variants[variant].label.clone(),
                _ => {
                    let words: Vec<String> = spec
                        .filter
                        .iter()
                        .filter_map(|(name, value)| Some((plan.axis(name.get_ref())?, flag_text(value.get_ref())?)))
                        .filter_map(|(axis, text)| {
                            let level = plan.axes[axis].levels.iter().position(|level| level.written == text)?;
                            Some(plan.axes[axis].describe(level))
                        })
                        .collect();
                    format!("{}, {}", plan.variants[variant].label, words.join(", "))
                }
            };
            let centre = stats::median(&values);
            (centre.map(|value| number(Form::Plain, measure.unit, value)), note)
        }
    };
    Published {
        what: &spec.what,
        value: &spec.value,
        source: &spec.source,
        ours: ours.unwrap_or_else(|| "not measured".to_owned()),
        note,
    }
}

/// Cells that were invalid, skipped or failed, alike ones together.
fn troubles(study: &StudyData) -> Vec<Trouble> {
    let mut blocks: BTreeMap<(String, &'static str, String), usize> = BTreeMap::new();
    for record in &study.records {
        if record.status != CellStatus::Measured {
            let key = (record.cell.clone(), record.status.word(), record.reasons.join("; "));
            *blocks.entry(key).or_default() += 1;
        }
    }
    blocks
        .into_iter()
        .map(|((cell, status, reason), blocks)| Trouble {
            cell,
            status,
            reason,
            blocks,
        })
        .collect()
}

/// What was noted, a line per sort of note: its number differs from cell to cell and is left out of the sort.
fn notes(study: &StudyData) -> Vec<String> {
    let mut sorts: BTreeMap<String, (usize, &str, &str)> = BTreeMap::new();
    for record in &study.records {
        for note in &record.notes {
            let sort: String = note.chars().filter(|character| !character.is_ascii_digit()).collect();
            sorts.entry(sort).or_insert((0, &record.cell, note)).0 += 1;
        }
    }
    let lines = sorts.into_values().map(|(count, cell, note)| match count {
        1 => format!("{cell}: {note}."),
        _ => format!("In {count} runs, first in {cell}: {note}."),
    });
    let damage = study.damage.iter().map(|line| format!("{line}."));
    let before = study.manifest.notes.iter().cloned().chain(damage);
    before.chain(lines).collect()
}

/// How far the three ways of measuring CPU agree, in one paragraph.
fn accounting(study: &StudyData) -> String {
    let measures = ["cpu-percent", "cpu-percent-idle-counter", "cpu-percent-busy"].map(measure::find);
    let [Some(scheduler), Some(counter), Some(busy)] = measures else {
        return String::new();
    };
    let valid = || {
        study
            .records
            .iter()
            .filter(|record| record.status == CellStatus::Measured)
    };
    let differences = |other: &measure::Measure| -> Vec<f64> {
        valid()
            .filter_map(|record| Some(other.read(record)? - scheduler.read(record)?))
            .collect()
    };
    let mode = study
        .manifest
        .host
        .cpu_accounting
        .as_deref()
        .unwrap_or("unknown: this kernel does not report it");
    let mut words = format!("The kernel's accounting mode is {mode}. ");
    let counted = differences(counter);
    if counted.is_empty() {
        words.push_str("The idle counter could not run, so only the scheduler's figure is available.");
        return words;
    }
    let describe = |values: &[f64]| {
        let middle = stats::median(values).unwrap_or_default();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{middle:+.1} percentage points of a CPU (median; {low:+.1} to {high:+.1})")
    };
    words.push_str(&format!(
        "Compared with the scheduler's run time of the server, the idle counter shows {} and the busy time of the CPU {}.",
        describe(&counted),
        describe(&differences(busy))
    ));
    /// Beyond this the three are not the same figure any more.
    const PART_AT_POINTS: f64 = 5.0;
    let apart = |sign: f64| {
        let beyond = counted.iter().filter(|&&difference| sign * difference > PART_AT_POINTS);
        beyond.count()
    };
    for (count, more) in [
        (
            apart(1.0),
            "more: it includes what the CPU did outside the server's threads (interrupts, softirqs, switches to and from \
             the idle counter) and what slowed it down (cold caches, a neighbour on its core), and the run time does not",
        ),
        (
            apart(-1.0),
            "less: it ran faster than before the cell, for example because the clock of the CPU rose after the calibration",
        ),
    ] {
        if count > 0 {
            words.push_str(&format!(
                " In {count} of {} cells the idle counter shows over {PART_AT_POINTS:.0} points {more}.",
                counted.len()
            ));
        }
    }
    words
}

/// What counted the system calls, or why nothing did.
fn counting(study: &StudyData) -> String {
    let calls = || study.records.iter().filter_map(|record| record.calls.as_ref());
    let reason = calls().flat_map(|calls| &calls.reasons).next();
    let counted = calls().find(|calls| calls.status == CellStatus::Measured);
    match (counted.map(|calls| calls.tool.as_str()), reason) {
        (Some("strace"), _) => {
            "strace counted them. It stops the server at each call, so at a high rate each wait returns more events \
                                than at full speed."
                .to_owned()
        }
        (Some(tool), _) => format!(
            "{tool} counted them at the kernel's tracepoint: every call on the server's CPU by a task with the name of the \
             server's executable."
        ),
        (None, Some(reason)) => format!("They were not counted: {reason}."),
        (None, None) if study.manifest.call_passes == 0 => "They were not counted.".to_owned(),
        (None, None) => "The pass that counts them has not run.".to_owned(),
    }
}

fn facts(manifest: &Manifest) -> Vec<(&'static str, String)> {
    let host: &HostFacts = &manifest.host;
    let unknown = || "unknown".to_owned();
    let limit = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| thousands(limit as f64));
    let mitigated = host
        .mitigations
        .values()
        .filter(|state| state.starts_with("Mitigation"))
        .count();
    let mut facts = vec![
        ("Measured", manifest.planned_at.clone()),
        (
            "c10k",
            match &manifest.executable_sha256 {
                Some(digest) => format!("{} (SHA-256 {})", manifest.version, &digest[..digest.len().min(16)]),
                None => manifest.version.clone(),
            },
        ),
        ("Kernel", format!("{} ({})", host.kernel, host.architecture)),
        ("Processor", host.cpu_model.clone().unwrap_or_else(unknown)),
        (
            "CPUs",
            match manifest.server_cpu {
                Some(cpu) => format!("server on CPU {cpu}, generator and lab on {:?}", manifest.client_cpus),
                None => "one CPU for server and generator".to_owned(),
            },
        ),
        (
            "Memory",
            host.memory_bytes
                .map_or_else(unknown, |bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))),
        ),
        (
            "Virtual machine",
            host.virtual_machine
                .map_or_else(unknown, |guest| if guest { "yes" } else { "no" }.to_owned()),
        ),
        ("Clock source", host.clock_source.clone().unwrap_or_else(unknown)),
        ("CPU accounting", host.cpu_accounting.clone().unwrap_or_else(unknown)),
        (
            "Mitigations",
            format!("{mitigated} active of {} known", host.mitigations.len()),
        ),
        (
            "Limits",
            format!(
                "{} descriptors, {} queued signals, {} processes",
                limit(host.limits.nofile_hard),
                limit(host.limits.sigpending_soft),
                limit(host.limits.nproc_soft)
            ),
        ),
        ("Network", "loopback: no wire, no driver, no offload".to_owned()),
    ];
    facts.extend(manifest.disk.as_ref().map(|disk| ("Disk", words::disk(disk))));
    facts
}

fn again(manifest: &Manifest) -> String {
    // Where claims are judged several times, the time decides how many blocks there are.
    let length = match manifest.budget_s.filter(|_| manifest.looks > 1) {
        Some(budget_s) => format!("--budget {budget_s}s"),
        None => format!("--repeats {}", manifest.blocks),
    };
    let until = if manifest.until_settled { " --until settled" } else { "" };
    let mut command = format!(
        "c10k study {} --seed {} {length}{until}",
        manifest_target(manifest),
        manifest.seed
    );
    if let Some(only) = &manifest.only {
        command.push_str(&format!(" --only '{only}'"));
    }
    if let Some(directory) = manifest.disk.as_ref().and_then(|disk| disk.directory.as_ref()) {
        command.push_str(&format!(" {}", disk_option(directory)));
    }
    command
}

/// A built-in study is called by its name, any other by its file.
fn manifest_target(manifest: &Manifest) -> &str {
    let built_in = crate::BUILT_IN
        .iter()
        .any(|study| study.file == manifest.experiment_file);
    if built_in {
        &manifest.study
    } else {
        &manifest.experiment_file
    }
}

/// One cell's two commands, as they were started.
fn commands(study: &StudyData) -> Vec<String> {
    let Some(record) = study
        .records
        .iter()
        .find(|record| record.status == CellStatus::Measured)
    else {
        return Vec::new();
    };
    [&record.server_command, &record.load_command]
        .into_iter()
        .map(|command| {
            let mut words = command.clone();
            // The path of the executable says nothing about the measurement.
            if let Some(program) = words.first_mut()
                && let Some(name) = std::path::Path::new(program.as_str()).file_name()
            {
                *program = name.to_string_lossy().into_owned();
            }
            words.join(" ")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Choices;
    use crate::testing;
    use c10k_record::{DiskFacts, Verdict};

    fn page(outcome: &StudyRecord) -> String {
        let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
        let study = StudyData {
            folder: "test".into(),
            plan,
            manifest: Manifest::default(),
            records: Vec::new(),
            damage: Vec::new(),
        };
        render(&study, outcome, &[]).expect("it renders").replace("&#x2f;", "/")
    }

    #[test]
    fn the_command_that_repeats_a_study_names_the_disk_that_was_given() {
        let on = |directory: Option<&str>| Manifest {
            study: "threads-events/disk".to_owned(),
            experiment_file: "mine.toml".to_owned(),
            seed: 7,
            blocks: 3,
            disk: Some(DiskFacts {
                directory: directory.map(Into::into),
                ..DiskFacts::default()
            }),
            ..Manifest::default()
        };
        let plain = "c10k study mine.toml --seed 7 --repeats 3";
        assert_eq!(again(&on(None)), plain);
        assert_eq!(
            again(&on(Some("/mnt/a b's"))),
            format!("{plain} --disk '/mnt/a b'\\''s'")
        );
    }

    #[test]
    fn a_claim_with_cells_of_the_guest_has_a_column_for_them_and_the_others_have_none() {
        let mut settled = testing::settled("flat", Verdict::Confirmed);
        settled.estimates = vec![testing::estimate("flat", Verdict::Inconclusive)];
        let found = page(&testing::study(vec![settled.clone()]));
        for part in [
            "<span class=\"verdict settled-by-instructions\">settled by instructions: confirmed</span>",
            "<th scope=\"col\">here, median</th><th scope=\"col\">exact, instructions</th>",
            "<td data-label=\"here, median\">+5.0%</td><td data-label=\"exact, instructions\">+0.2%</td>",
            "In instructions (vm/dispatch-cost, Linux 6.1.0, emulator 7.2)",
            "+0.2% (epoll-level idle=10 active=1 → epoll-level idle=20 active=1). One event.</p>",
        ] {
            assert!(found.contains(part), "{part} is not in {found}");
        }
        assert!(!found.contains("disagree"));
        settled.verdict = Verdict::Refuted;
        assert!(
            page(&testing::study(vec![settled.clone()])).contains("The verdicts disagree: refuted here, confirmed")
        );
        settled.exact = None;
        assert!(!page(&testing::study(vec![settled])).contains("exact, instructions"));
    }
}
