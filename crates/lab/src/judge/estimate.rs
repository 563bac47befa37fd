//! One number with its interval and its own verdict.

use c10k_record::{EstimateRecord, Verdict};

use super::blocks_to_settle::{Needs, needs};
use super::samples::Raw;
use super::scale::{Scale, interval};
use crate::experiment::ClaimSpec;
use crate::experiment::options;
use crate::experiment::value::Kind;
use crate::measure::Measure;
use crate::statistic::{Form, Statistic};
use crate::stats::{self, Interval};

/// What was found of one number.
pub(super) struct Found {
    pub(super) estimate: EstimateRecord,
    pub(super) needs: Needs,
}

pub(super) fn estimate(
    claim: &ClaimSpec,
    statistic: &Statistic,
    measure: &Measure,
    raw: &Raw,
    confidence: f64,
    (seed, run): (u64, u32),
) -> Found {
    let centre = stats::median(&raw.per_block);
    let interval = interval(statistic.form, &raw.per_block, confidence, seed);
    let verdict = match interval {
        None => Verdict::Inconclusive,
        Some(Interval { low, high }) => {
            let above = claim.at_least.is_none_or(|bound| low >= bound);
            let below = claim.at_most.is_none_or(|bound| high <= bound);
            let outside =
                claim.at_least.is_some_and(|bound| high < bound) || claim.at_most.is_some_and(|bound| low > bound);
            match (above && below, outside) {
                (true, _) => Verdict::Confirmed,
                (_, true) => Verdict::Refuted,
                _ => Verdict::Inconclusive,
            }
        }
    };
    let estimate = EstimateRecord {
        of: raw.of.clone(),
        variant: raw.variant.clone(),
        levels: raw.levels.clone(),
        value: centre,
        low: interval.map(|interval| interval.low),
        high: interval.map(|interval| interval.high),
        unit: unit(claim, statistic, measure).to_owned(),
        confidence,
        blocks: raw.per_block.len(),
        verdict,
    };
    let bounds = (claim.at_least, claim.at_most);
    let scale = Scale::of(statistic.form, &raw.per_block);
    // A pass in which calls are counted is run once or not at all.
    let run = if measure.is_per_pass() { 0 } else { run };
    Found {
        estimate,
        needs: needs(verdict, scale, &raw.per_block, bounds, confidence, run),
    }
}

/// The unit of a statistic: that of the measure, or that of the axis where it is a level.
pub(super) fn unit(claim: &ClaimSpec, statistic: &Statistic, measure: &Measure) -> &'static str {
    if statistic.form != Form::Level {
        return measure.unit;
    }
    let axis = claim.along.as_ref().and_then(|name| options::find_any(name.get_ref()));
    match axis.map(|row| row.kind) {
        Some(Kind::Duration) => "s",
        Some(Kind::Rate) => "/s",
        _ => "",
    }
}
