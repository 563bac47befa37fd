//! One number with its intervals and its own verdict.

use c10k_record::{DecidingInterval, EstimateRecord, SpeedRecord, Verdict};

use super::block_values::BlockValues;
use super::blocks_to_settle::{Needs, needs};
use super::decide::{Bounds, Tails};
use super::samples::{Raw, RawSpeed};
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

/// How a number is shown.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    /// Of the intervals that are shown.
    pub(super) confidence: f64,
    pub(super) seed: u64,
    /// The blocks that were run.
    pub(super) run: u32,
}

pub(super) fn estimate(
    (claim, statistic, measure): (&ClaimSpec, &Statistic, &Measure),
    raw: &Raw,
    (tails, verdict): (Tails, Verdict),
    shown: Shown,
) -> Found {
    let values = &raw.values;
    let interval = values.displayed(shown.confidence, shown.seed);
    let estimate = EstimateRecord {
        of: raw.of.clone(),
        variant: raw.variant.clone(),
        levels: raw.levels.clone(),
        value: stats::median(&values.per_block),
        low: interval.map(|interval| interval.low),
        high: interval.map(|interval| interval.high),
        unit: unit(claim, statistic, measure).to_owned(),
        confidence: shown.confidence,
        confirms: deciding(tails.confirm, values.deciding(tails.confirm)),
        refutes: deciding(tails.refute, values.deciding(tails.refute)),
        blocks: values.per_block.len(),
        speed: raw.speed.as_ref().and_then(|speed| speed_record(speed, shown)),
        verdict,
    };
    // A pass in which calls are counted is run once or not at all.
    let run = if measure.is_per_pass() { 0 } else { shown.run };
    let needs = match values.per_block.is_empty() {
        true => raw.needs,
        false => needs(verdict, values, bounds(claim), tails, run),
    };
    Found { estimate, needs }
}

/// `None` without a block.
fn speed_record(RawSpeed { plain, adjusted }: &RawSpeed, shown: Shown) -> Option<SpeedRecord> {
    let interval = |values: &BlockValues| values.displayed(shown.confidence, shown.seed);
    let (of_plain, of_speeds) = (interval(plain), interval(&adjusted.speeds));
    Some(SpeedRecord {
        is_adjusted: !adjusted.differs,
        plain: stats::median(&plain.per_block)?,
        plain_low: of_plain.map(|interval| interval.low),
        plain_high: of_plain.map(|interval| interval.high),
        slope: adjusted.slope,
        speeds: stats::median(&adjusted.speeds.per_block)?,
        speeds_low: of_speeds.map(|interval| interval.low),
        speeds_high: of_speeds.map(|interval| interval.high),
    })
}

pub(super) fn bounds(claim: &ClaimSpec) -> Bounds {
    Bounds {
        at_least: claim.at_least,
        at_most: claim.at_most,
    }
}

fn deciding(tail: f64, interval: Option<Interval>) -> Option<DecidingInterval> {
    interval.map(|Interval { low, high }| {
        // Either both ends bound something or none does; that of a factor is then 0 and not minus infinity.
        let is_bounded = low.is_finite() && high.is_finite();
        DecidingInterval {
            confidence: 1.0 - 2.0 * tail,
            low: is_bounded.then_some(low),
            high: is_bounded.then_some(high),
        }
    })
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
