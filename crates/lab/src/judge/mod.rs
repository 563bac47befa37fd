//! From records to verdicts: each claim *confirmed*, *refuted* or *inconclusive*, with its numbers.
//!
//! One rule decides all claims. A statistic is computed in each block by itself; its interval over the blocks either
//! lies within the bounds of the claim (confirmed), or beside them (refuted), or neither (inconclusive). The confidence
//! of all intervals of a study together is 95%: each single one has 1 − 0.05 ÷ (their number), after Bonferroni.

mod advice;
mod blocks_to_settle;
mod estimate;
mod levels;
mod noise_floor;
mod samples;
mod scale;
mod verdict;

use c10k_record::CellRecord;

use crate::experiment::ClaimSpec;
use crate::measure::Measure;
use crate::plan::Plan;
use crate::results::Results;
use crate::statistic::{Statistic, number};
pub(crate) use advice::advise;
pub use advice::{Advice, Ground};
use blocks_to_settle::Needs;
use estimate::{Found, estimate, unit};
pub(crate) use noise_floor::noise_floor;
use samples::{confidence, raw_claims};
pub use verdict::{Estimate, Judgement, NoiseFloor, Verdict};

/// Judges every claim of the plan's experiment.
pub(crate) fn judge(plan: &Plan, records: &[CellRecord]) -> Vec<Judgement> {
    let results = Results::new(plan, records);
    let claims = raw_claims(plan, &results);
    let confidence = confidence(plan, &claims);
    claims
        .iter()
        .map(|(claim, statistic, measure, raws)| {
            let found: Vec<Found> = raws
                .iter()
                .map(|raw| {
                    estimate(
                        claim,
                        statistic,
                        measure,
                        raw,
                        confidence,
                        (plan.seed, results.blocks()),
                    )
                })
                .collect();
            conclude(claim, statistic, measure, found)
        })
        .collect()
}

fn conclude(claim: &ClaimSpec, statistic: &Statistic, measure: &Measure, found: Vec<Found>) -> Judgement {
    let any = |wanted: Verdict| found.iter().any(|found| found.estimate.verdict == wanted);
    let verdict = if any(Verdict::Refuted) {
        Verdict::Refuted
    } else if found.is_empty() || any(Verdict::Inconclusive) {
        Verdict::Inconclusive
    } else {
        Verdict::Confirmed
    };
    let telling =
        |found: &&Found| found.is_measured && (found.estimate.verdict == verdict || verdict == Verdict::Confirmed);
    let numbers: Vec<String> = found
        .iter()
        .filter(telling)
        .map(|found| format!("{}: {}", found.estimate.of, found.estimate.value))
        .collect();
    let numbers = match numbers.as_slice() {
        [] if found.is_empty() => "it cannot run here".to_owned(),
        [] => "no valid block".to_owned(),
        [first, second, .., last] if numbers.len() > 4 => format!("{first}; {second}; … {last}"),
        all => all.join("; "),
    };
    let own_words = match verdict {
        Verdict::Confirmed => &claim.confirmed,
        Verdict::Refuted => &claim.refuted,
        Verdict::Inconclusive => &None,
    };
    let sentence = match own_words {
        Some(words) => words.replace("{}", &numbers),
        None => format!("{} ({numbers})", claim.text.trim_end_matches('.')),
    };
    Judgement {
        id: claim.id.get_ref().clone(),
        text: claim.text.clone(),
        source: claim.source.clone(),
        verdict,
        test: test_in_words(claim, statistic, measure),
        settles: match verdict {
            Verdict::Inconclusive if found.is_empty() => Some(
                "a machine where it can run; why it cannot here stands with the cells that do not count".to_owned(),
            ),
            Verdict::Inconclusive => {
                let needs: Vec<Needs> = found.iter().map(|found| found.needs).collect();
                blocks_to_settle::in_words(&needs, measure.is_per_pass())
            }
            Verdict::Confirmed | Verdict::Refuted => None,
        },
        estimates: found.into_iter().map(|found| found.estimate).collect(),
        sentence,
    }
}

fn test_in_words(claim: &ClaimSpec, statistic: &Statistic, measure: &Measure) -> String {
    let unit = unit(claim, statistic, measure);
    let write = |value: f64| number(statistic.form, unit, value);
    let mut words = match statistic.reads {
        "" => measure.label.to_owned(),
        reads => format!("{}, {reads}", measure.label),
    };
    if let Some(along) = claim.along.as_ref().filter(|_| statistic.needs_axis) {
        words.push_str(&format!(" along {}", along.get_ref()));
    }
    if let Some(against) = &claim.against {
        words.push_str(&format!(" against {}", against.get_ref()));
    }
    let bounds = match (claim.at_least, claim.at_most) {
        (Some(low), Some(high)) => format!(": between {} and {}", write(low), write(high)),
        (Some(low), None) => format!(": at least {}", write(low)),
        (None, Some(high)) => format!(": at most {}", write(high)),
        (None, None) => String::new(),
    };
    words + &bounds
}

#[cfg(test)]
mod tests;
