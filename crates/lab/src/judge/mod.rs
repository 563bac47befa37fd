//! From records to verdicts: each claim *confirmed*, *refuted* or *inconclusive*, with its numbers.
//!
//! One rule decides all claims. A statistic is computed in each block by itself; its interval over the blocks either
//! lies within the bounds of the claim (confirmed), or outside them (refuted), or neither (inconclusive). Any verdict of a
//! study is wrong with a chance of at most 5%: [`looks`] and [`decide`] divide it. The intervals that are shown are others: they hold all
//! together with 95%, each with 1 − 0.05 ÷ (their number), after Bonferroni. What noise leaves open, [`exact`] may settle from
//! the guest's tables, with a verdict of its own.

mod advice;
mod block_values;
mod blocks_to_settle;
mod cheapest;
mod decide;
mod estimate;
mod exact;
mod levels;
mod looks;
mod noise_floor;
mod pairs;
mod reach;
mod samples;
mod scale;
mod speed;

use c10k_record::{CellRecord, ClaimNeeds, ClaimRecord, ClaimTest, Verdict};

use crate::experiment::ClaimSpec;
use crate::measure::Measure;
use crate::plan::Plan;
use crate::statistic::{Statistic, number};
pub(crate) use advice::advise;
use blocks_to_settle::Needs;
pub(crate) use cheapest::cheapest;
use decide::Decision;
use estimate::{Found, Shown, estimate, unit};
use looks::Judged;
pub(crate) use looks::{looks_before, open_cells};
pub(crate) use noise_floor::noise_floor;
use samples::confidence;

/// Judges every claim of the plan's experiment.
pub(crate) fn judge(plan: &Plan, records: &[CellRecord]) -> Vec<ClaimRecord> {
    let judged = looks::judged(plan, records, &looks::all(plan, records));
    let numbers = judged.iter().map(|Judged { claim: (.., raws), .. }| raws.len()).sum();
    let confidence = confidence(plan, numbers);
    judged.iter().map(|judged| record(plan, judged, confidence)).collect()
}

fn record(plan: &Plan, judged: &Judged, confidence: f64) -> ClaimRecord {
    let Judged { decision, .. } = judged;
    let (claim, statistic, measure, raws) = &judged.claim;
    let shown = Shown {
        confidence,
        seed: plan.seed,
        run: judged.run,
    };
    let each = raws.iter().zip(&decision.verdicts);
    let found =
        each.map(|(raw, verdict)| estimate((claim, statistic, measure), raw, (decision.tails, *verdict), shown));
    let found = found.collect();
    let record = match reach::is_excluded(plan, claim) {
        true => not_measured(claim, statistic, measure),
        false => {
            let without = reach::needed_to_run(plan, claim);
            conclude((claim, statistic, measure), decision, found, without)
        }
    };
    let record = ClaimRecord {
        settled_after: judged.settled_after,
        ..record
    };
    exact::join(claim, statistic, record)
}

/// The record of a claim of which `--only` excluded cells.
fn not_measured(claim: &ClaimSpec, statistic: &Statistic, measure: &Measure) -> ClaimRecord {
    ClaimRecord {
        claim: claim.id.get_ref().clone(),
        text: claim.text.clone(),
        source: claim.source.clone(),
        verdict: Verdict::NotMeasured,
        test: test(claim, statistic, measure),
        estimates: Vec::new(),
        sentence: format!("{} (excluded by --only)", claim.text.trim_end_matches('.')),
        needs: Some(ClaimNeeds::WholeStudy),
        settled_after: None,
        exact: None,
    }
}

/// `without` is what it needs where none of its variants can run.
fn conclude(
    (claim, statistic, measure): (&ClaimSpec, &Statistic, &Measure),
    decision: &Decision,
    found: Vec<Found>,
    without: Needs,
) -> ClaimRecord {
    let verdict = decision.verdict;
    let telling = |found: &&Found| {
        found.estimate.value.is_some() && (found.estimate.verdict == verdict || verdict == Verdict::Confirmed)
    };
    let numbers: Vec<String> = found
        .iter()
        .filter(telling)
        .filter_map(|Found { estimate, .. }| {
            let value = number(statistic.form, &estimate.unit, estimate.value?);
            Some(format!("{}: {value}", estimate.of))
        })
        .collect();
    let numbers = match numbers.as_slice() {
        [] if found.is_empty() && without == Needs::Server => "it failed".to_owned(),
        [] if found.is_empty() => "it cannot run here".to_owned(),
        [] => "no valid block".to_owned(),
        [first, second, .., last] if numbers.len() > 4 => format!("{first}; {second}; … {last}"),
        all => all.join("; "),
    };
    let own_words = match verdict {
        Verdict::Confirmed => &claim.confirmed,
        Verdict::Refuted => &claim.refuted,
        _ => &None,
    };
    let sentence = match own_words {
        Some(words) => words.replace("{}", &numbers),
        None => format!("{} ({numbers})", claim.text.trim_end_matches('.')),
    };
    let needs = match verdict {
        Verdict::Inconclusive if found.is_empty() => blocks_to_settle::of_claim(&[without], false),
        Verdict::Inconclusive => {
            let needs: Vec<Needs> = found.iter().map(|found| found.needs).collect();
            blocks_to_settle::of_claim(&needs, measure.is_per_pass())
        }
        _ => None,
    };
    ClaimRecord {
        claim: claim.id.get_ref().clone(),
        text: claim.text.clone(),
        source: claim.source.clone(),
        verdict,
        test: test(claim, statistic, measure),
        estimates: found.into_iter().map(|found| found.estimate).collect(),
        sentence,
        needs,
        settled_after: None,
        exact: None,
    }
}

fn test(claim: &ClaimSpec, statistic: &Statistic, measure: &Measure) -> ClaimTest {
    let along = claim.along.as_ref().filter(|_| statistic.needs_axis);
    ClaimTest {
        statistic: statistic.name.to_owned(),
        measure: measure.name.to_owned(),
        along: along.map(|name| name.get_ref().clone()),
        against: claim.against.as_ref().map(|name| name.get_ref().clone()),
        at_least: claim.at_least,
        at_most: claim.at_most,
        form: statistic.form,
        unit: unit(claim, statistic, measure).to_owned(),
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
