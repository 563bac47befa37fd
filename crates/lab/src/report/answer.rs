//! The answer in one paragraph: the extremes first, then what was confirmed, refuted and left open.

use c10k_record::{CellRecord, StudyRecord, Verdict};

use c10k_units::display::significant;

use crate::plan::Plan;
use crate::results::Results;
use crate::statistic::{Form, number};
use crate::{measure, stats};

/// Writes the paragraph from the records and the verdicts.
pub(crate) fn answer(plan: &Plan, records: &[CellRecord], outcome: &StudyRecord) -> String {
    if outcome.cells.measured == 0 {
        return format!(
            "Nothing could be measured here: {} cells were skipped and {} are invalid. The reasons are listed below.",
            outcome.cells.skipped, outcome.cells.invalid
        );
    }
    let mut sentences: Vec<String> = extremes(plan, records).into_iter().collect();
    let said = |verdict: Verdict| -> Vec<&str> {
        let with = outcome.claims.iter().filter(|claim| claim.verdict == verdict);
        with.map(|claim| claim.sentence.trim_end_matches('.')).collect()
    };
    sentences.extend(
        said(Verdict::Confirmed)
            .into_iter()
            .map(|sentence| format!("{sentence}.")),
    );
    for (verdict, lead) in [
        (Verdict::Refuted, "Refuted here"),
        (Verdict::Inconclusive, "Inconclusive in these runs"),
    ] {
        let all = said(verdict);
        if !all.is_empty() {
            sentences.push(format!("{lead}: {}.", all.join("; ")));
        }
    }
    sentences.join(" ")
}

/// Below this share of requests that were answered, CPU per request compares servers that do not do the same.
const ANSWERED: f64 = 0.99;

/// Which variant is the cheapest and which the most expensive at the last level of each axis, in CPU per request. Nothing where one of
/// them leaves requests unanswered there, or where the blocks of the two overlap.
fn extremes(plan: &Plan, records: &[CellRecord]) -> Option<String> {
    let measure = measure::find("cpu-us-per-request")?;
    let results = Results::new(plan, records);
    let last: Vec<usize> = plan.axes.iter().map(|axis| axis.levels.len() - 1).collect();
    let answered = measure::find("answered-share")?;
    let mut costs: Vec<(Vec<f64>, &str)> = plan
        .variants
        .iter()
        .enumerate()
        .filter(|(_, variant)| variant.control_of.is_none())
        .filter_map(|(index, variant)| {
            let cell = plan.cell(index, &last)?;
            let values = |measure| -> Vec<f64> { results.values(&cell.id, measure).into_values().collect() };
            let all_do_the_same = stats::median(&values(answered))? >= ANSWERED;
            let costs = Some(values(measure)).filter(|costs| all_do_the_same && !costs.is_empty());
            Some((costs, variant.label.as_str()))
        })
        .map(|(values, label)| Some((values?, label)))
        .collect::<Option<_>>()?;
    let middle = |values: &[f64]| stats::median(values).unwrap_or_default();
    costs.sort_by(|one, two| middle(&one.0).total_cmp(&middle(&two.0)));
    let (cheapest, dearest) = (costs.first()?, costs.last()?);
    let most = cheapest.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = dearest.0.iter().copied().fold(f64::INFINITY, f64::min);
    if costs.len() < 2 || least <= most {
        return None;
    }
    let (cheapest, dearest) = ((middle(&cheapest.0), cheapest.1), (middle(&dearest.0), dearest.1));
    let place = plan.levels_text(&last, None);
    let at = if place.is_empty() {
        String::new()
    } else {
        format!("At {place}, ")
    };
    let sentence = format!(
        "{at}{} is the cheapest with {} of CPU per request and {} the most expensive with {}: {} times as much.",
        cheapest.1,
        number(Form::Plain, measure.unit, cheapest.0),
        dearest.1,
        number(Form::Plain, measure.unit, dearest.0),
        significant(dearest.0 / cheapest.0),
    );
    Some(capitalised(&sentence))
}

fn capitalised(sentence: &str) -> String {
    let mut characters = sentence.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}
