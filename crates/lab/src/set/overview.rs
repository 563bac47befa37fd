//! The overview of a set: a page that links to the reports, and the same as JSON.

use std::path::Path;

use c10k_record::{SetEntry, SetManifest, SetRecord, StudyEnd, Verdict};
use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::Serialize;

use crate::format::disk_option;
use crate::report::STYLE;
use crate::{BUILT_IN, LabError, folder, report};

const TEMPLATE: &str = include_str!("overview.html");

#[derive(Serialize)]
struct Page<'a> {
    style: &'static str,
    answer: &'a str,
    studies: &'a [SetEntry],
    advice: Vec<AdviceRow<'a>>,
    again: String,
    run_again: String,
}

/// A recommendation and where its cells stand.
#[derive(Serialize)]
struct AdviceRow<'a> {
    when: &'a str,
    take: &'a str,
    study: &'a str,
    folder: &'a Path,
    /// The first claim that it rests on.
    claim: &'a str,
    by_instructions: Option<String>,
}

/// What every study advises, as far as its verdicts bear it.
fn advice(studies: &[SetEntry]) -> Vec<AdviceRow<'_>> {
    let concluded = studies
        .iter()
        .filter_map(|entry| Some((entry, &entry.outcome()?.advice)));
    let given = concluded.flat_map(|(entry, advice)| advice.iter().map(move |advice| (entry, advice)));
    given
        .filter(|(_, advice)| advice.withheld_by.is_none())
        .filter_map(|(entry, advice)| {
            Some(AdviceRow {
                when: &advice.when,
                take: &advice.take,
                study: &entry.study,
                folder: &entry.folder,
                claim: &advice.because.first()?.claim,
                by_instructions: report::by_instructions(advice),
            })
        })
        .collect()
}

/// How many claims held, and what became of the studies that say nothing.
pub(super) fn answer(set: &SetRecord) -> String {
    let [confirmed, refuted, open] =
        [Verdict::Confirmed, Verdict::Refuted, Verdict::Inconclusive].map(|verdict| set.count(verdict));
    let exact = set.count(Verdict::SettledByInstructions);
    let by_instructions = match exact {
        0 => String::new(),
        count => format!(", {count} are settled by instructions that the guest counted"),
    };
    let mut words = format!(
        "{} of {} studies were run. Of their {} claims, {confirmed} are confirmed on this machine, {refuted} are refuted\
         {by_instructions} and {open} are not settled.",
        set.outcomes().count(),
        set.studies.len(),
        confirmed + refuted + exact + open,
    );
    match set.count(Verdict::NotMeasured) {
        0 => {}
        count => words.push_str(&format!(" {count} more were not measured: excluded by --only.")),
    }
    let names = |wanted: fn(&StudyEnd) -> bool| -> Vec<&str> {
        let entries = set.studies.iter().filter(|entry| wanted(&entry.ended));
        entries.map(|entry| entry.study.as_str()).collect()
    };
    let failed = names(|ended| matches!(ended, StudyEnd::Failed { .. }));
    let partly = names(|ended| matches!(ended, StudyEnd::Concluded { outcome } if outcome.cells.failed > 0));
    let empty = names(|ended| matches!(ended, StudyEnd::Concluded { outcome } if outcome.cells.measured == 0));
    for (lead, names) in [
        (" Failed: ", failed),
        (" Cells failed in: ", partly),
        (" Nothing could be measured in: ", empty),
    ] {
        if !names.is_empty() {
            words.push_str(lead);
            words.push_str(&names.join(", "));
            words.push('.');
        }
    }
    words
}

/// Writes `index.html` and `overview.json` into the folder of the set.
pub(super) fn write(set: &SetRecord, manifest: &SetManifest) -> Result<(), LabError> {
    let json = serde_json::to_vec_pretty(set).map_err(|error| LabError::Report(error.to_string()))?;
    folder::write_whole(&set.folder.join("overview.json"), &json)?;
    let page = render(set, manifest).map_err(|error| LabError::Report(error.to_string()))?;
    folder::write_whole(&set.report, page.as_bytes())
}

fn render(set: &SetRecord, manifest: &SetManifest) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.add_template("overview.html", TEMPLATE)?;
    let page = Page {
        style: STYLE,
        answer: &set.answer,
        studies: &set.studies,
        advice: advice(&set.studies),
        again: again(&set.folder),
        run_again: run_again(manifest),
    };
    environment
        .get_template("overview.html")?
        .render(Value::from(Serde(&page)))
}

fn again(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    format!("c10k report {name}")
}

fn run_again(manifest: &SetManifest) -> String {
    let built_in: Vec<&str> = BUILT_IN.iter().map(|study| study.name).collect();
    let studies = match manifest.studies == built_in {
        true => "all".to_owned(),
        false => manifest.studies.join(" "),
    };
    let options = [
        manifest.budget_s.map(|budget_s| format!("--budget {budget_s}s")),
        manifest.repeats.map(|repeats| format!("--repeats {repeats}")),
        manifest.only.as_ref().map(|only| format!("--only '{only}'")),
        manifest.disk.as_deref().map(disk_option),
    ];
    let options: Vec<String> = options.into_iter().flatten().collect();
    let command = format!("c10k study {studies} --seed {} {}", manifest.seed, options.join(" "));
    command.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use c10k_record::{AdviceGround, AdviceRecord, StudyRecord};

    fn entry(ended: StudyEnd) -> SetEntry {
        SetEntry {
            schema: 1,
            study: "paper/one".to_owned(),
            title: "One".to_owned(),
            question: "Why?".to_owned(),
            folder: "paper/one".into(),
            ended,
        }
    }

    fn concluded(advice: Vec<AdviceRecord>) -> StudyEnd {
        StudyEnd::Concluded {
            outcome: Box::new(StudyRecord {
                advice,
                ..testing::study(Vec::new())
            }),
        }
    }

    fn advised(take: &str, withheld_by: Option<&str>) -> AdviceRecord {
        AdviceRecord {
            when: "it idles".to_owned(),
            take: take.to_owned(),
            because: vec![AdviceGround {
                claim: "flat".to_owned(),
                wanted: Verdict::Confirmed,
            }],
            withheld_by: withheld_by.map(str::to_owned),
            by_instructions: Vec::new(),
        }
    }

    fn manifest() -> SetManifest {
        SetManifest {
            schema: 1,
            version: String::new(),
            executable_sha256: None,
            planned_at: String::new(),
            studies: vec!["quick".to_owned()],
            seed: 7,
            budget_s: Some(60.0),
            repeats: None,
            only: None,
            until_settled: false,
            disk: None,
        }
    }

    #[test]
    fn the_overview_gathers_the_advice_that_is_given_and_how_to_run_it_again() {
        let failed = StudyEnd::Failed {
            reason: "no room".to_owned(),
        };
        let advice = vec![advised("epoll", None), advised("select", Some("it is open"))];
        let set = SetRecord {
            schema: 1,
            folder: "all".into(),
            report: "all/index.html".into(),
            answer: "So.".to_owned(),
            studies: vec![entry(concluded(advice)), entry(failed)],
        };
        let page = render(&set, &manifest()).expect("it renders").replace("&#x2f;", "/");
        assert!(page.contains("Where it idles: <strong>epoll</strong>"), "{page}");
        assert!(page.contains("paper/one/report.html#claim-flat") && !page.contains("<strong>select"));
        assert!(page.contains("c10k study quick --seed 7 --budget 60s"), "{page}");
    }

    #[test]
    fn all_studies_are_called_so() {
        let all = SetManifest {
            studies: BUILT_IN.iter().map(|study| study.name.to_owned()).collect(),
            budget_s: None,
            ..manifest()
        };
        assert_eq!(run_again(&all), "c10k study all --seed 7");
        let on_a_disk = SetManifest {
            disk: Some("/mnt/disk".into()),
            ..all
        };
        assert_eq!(run_again(&on_a_disk), "c10k study all --seed 7 --disk '/mnt/disk'");
    }

    #[test]
    fn claims_that_instructions_settle_are_counted_apart_and_their_advice_says_so() {
        let mut study = testing::study(vec![
            testing::settled("flat", Verdict::Confirmed),
            testing::claim("grows", Verdict::Confirmed),
        ]);
        study.advice = vec![AdviceRecord {
            by_instructions: vec!["flat".to_owned()],
            ..advised("epoll", None)
        }];
        let outcome = Box::new(study);
        let mut set = SetRecord {
            schema: 1,
            folder: "all".into(),
            report: "all/index.html".into(),
            answer: String::new(),
            studies: vec![entry(StudyEnd::Concluded { outcome })],
        };
        set.answer = answer(&set);
        let counted = "Of their 2 claims, 1 are confirmed on this machine, 0 are refuted, 1 are settled by instructions that the \
                       guest counted and 0 are not settled.";
        assert!(set.answer.contains(counted), "{}", set.answer);
        let page = render(&set, &manifest()).expect("it renders");
        assert!(
            page.contains("settled by instructions: confirmed</span> the claim flat"),
            "{page}"
        );
        assert!(page.contains("and not on these runs: flat."), "{page}");
        let text = super::super::set_text(&set);
        assert!(text.contains("0 inconclusive, 1 settled by instructions;"), "{text}");
    }
}
