//! From records to verdicts: each claim *confirmed*, *refuted* or *inconclusive*, with its numbers.
//!
//! One rule decides all claims. A statistic is computed in each block by itself; its interval over the blocks either
//! lies within the bounds of the claim (confirmed), or beside them (refuted), or neither (inconclusive). The confidence
//! of all intervals of a study together is 95%: each single one has 1 − 0.05 ÷ (their number), after Bonferroni.

mod advice;
mod levels;
mod scale;
mod settle;
pub(crate) mod statistic;

use std::collections::BTreeMap;

use c10k_record::{CellRecord, CellStatus};
use serde::Serialize;

use crate::experiment::ClaimSpec;
use crate::experiment::options::{self, Kind};
use crate::measure::{self, Measure};
use crate::plan::{Cell, Plan};
use crate::report::duration;
use crate::stats::{self, Interval};
pub(crate) use advice::advise;
pub use advice::{Advice, Ground};
use levels::{Range, keep_common_levels};
use scale::{Scale, interval};
use settle::Needs;
pub(crate) use statistic::Form;
use statistic::{Statistic, Values};

/// Error rate of all intervals of a study together.
const FAMILY_ERROR: f64 = 0.05;

/// How a claim ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// Every interval lies within the bounds.
    Confirmed,
    /// At least one interval lies outside the bounds.
    Refuted,
    /// An interval crosses a bound, or there are too few valid blocks for one.
    Inconclusive,
}

impl Verdict {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// A claim with its verdict and the numbers that it rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// Short name of the claim.
    pub id: String,
    /// The claim.
    pub text: String,
    /// Who made it, where.
    pub source: String,
    /// The verdict.
    pub verdict: Verdict,
    /// What was asked of the statistic: its name, its measure and its bounds, in words.
    pub test: String,
    /// The numbers, one for each variant and combination of levels.
    pub estimates: Vec<Estimate>,
    /// One sentence for the answer.
    pub sentence: String,
    /// What would settle it, in words; `None` where it is settled.
    pub settles: Option<String>,
}

/// One number with its interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Variant and levels.
    pub of: String,
    /// The median over the blocks, as text with its unit; `none` without a valid block.
    pub value: String,
    /// The interval as text; `none` with fewer than two valid blocks.
    pub interval: String,
    /// Valid blocks.
    pub blocks: usize,
    /// The verdict on this number alone.
    pub verdict: Verdict,
}

/// The A/A control: the same server under two names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoiseFloor {
    /// Which variant ran twice.
    pub variant: String,
    /// What was compared.
    pub measure: String,
    /// The largest difference between the two, median over blocks, percent.
    pub percent: f64,
    /// The largest difference in any single block, percent.
    pub worst_block_percent: f64,
    /// Comparisons made, one for each combination of levels.
    pub comparisons: usize,
    /// Of those, called different at the confidence of the study's intervals, which is wrong.
    pub called_different: usize,
}

/// The records of a study, found by cell and block.
pub(crate) struct Results<'a> {
    plan: &'a Plan,
    by_cell: BTreeMap<&'a str, BTreeMap<u32, &'a CellRecord>>,
}

impl<'a> Results<'a> {
    pub(crate) fn new(plan: &'a Plan, records: &'a [CellRecord]) -> Self {
        let mut by_cell: BTreeMap<&str, BTreeMap<u32, &CellRecord>> = BTreeMap::new();
        for record in records {
            let blocks = by_cell.entry(&record.cell).or_default();
            let kept = blocks.entry(record.block).or_insert(record);
            if worth(record) >= worth(kept) {
                *kept = record;
            }
        }
        Self { plan, by_cell }
    }

    /// The records of a cell, by block, valid or not.
    pub(crate) fn of(&self, cell: &str) -> impl Iterator<Item = &'a CellRecord> + use<'a> {
        let blocks: Vec<&'a CellRecord> = self
            .by_cell
            .get(cell)
            .into_iter()
            .flat_map(|blocks| blocks.values().copied())
            .collect();
        blocks.into_iter()
    }

    /// The measure in each valid block of a cell.
    pub(crate) fn values(&self, cell: &str, measure: &Measure) -> BTreeMap<u32, f64> {
        self.of(cell)
            .filter(|record| record.status == CellStatus::Measured)
            .filter_map(|record| Some((record.block, (measure.read)(record)?)))
            .collect()
    }

    /// The blocks that have been run at least in part.
    pub(crate) fn blocks(&self) -> u32 {
        let last = self.by_cell.values().flat_map(|blocks| blocks.keys()).max();
        last.map_or(0, |&block| block + 1)
    }

    /// The measure of a variant along an axis (or at one point), block by block. A level that is valid in fewer than
    /// half of the blocks is left out; a block that lacks one of the rest is left out, so that all blocks span the same
    /// range.
    fn along(
        &self,
        variant: usize,
        levels: &[usize],
        along: Option<usize>,
        measure: &Measure,
    ) -> BTreeMap<u32, Vec<(f64, f64)>> {
        let places: Vec<usize> = along.map_or_else(|| vec![0], |axis| (0..self.plan.axes[axis].levels.len()).collect());
        let mut columns = Vec::new();
        for place in places {
            let mut levels = levels.to_vec();
            let mut x = 0.0;
            if let Some(axis) = along {
                levels[axis] = place;
                x = self.plan.axes[axis].levels[place].value;
            }
            let Some(cell) = self.plan.cell(variant, &levels) else {
                continue;
            };
            columns.push((x, self.values(&cell.id, measure)));
        }
        let most = columns.iter().map(|(_, blocks)| blocks.len()).max().unwrap_or_default();
        columns.retain(|(_, blocks)| !blocks.is_empty() && 2 * blocks.len() >= most);
        let mut rows: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
        for block in 0..self.blocks() {
            let row: Option<Vec<(f64, f64)>> = columns
                .iter()
                .map(|(x, blocks)| Some((*x, *blocks.get(&block)?)))
                .collect();
            if let Some(row) = row.filter(|row| !row.is_empty()) {
                rows.insert(block, row);
            }
        }
        rows
    }
}

/// Of several tries of a cell in a block, the worthiest counts; of equals the last.
fn worth(record: &CellRecord) -> u8 {
    match (record.status, record.disturbed) {
        (CellStatus::Measured, false) => 3,
        (CellStatus::Measured, true) => 2,
        (CellStatus::Invalid, _) => 1,
        (CellStatus::Skipped, _) => 0,
    }
}

struct Raw {
    of: String,
    per_block: Vec<f64>,
}

/// A claim, what it looks at, and what it finds in each block.
type RawClaim<'p> = (&'p ClaimSpec, &'static Statistic, &'static Measure, Vec<Raw>);

fn raw_claims<'p>(plan: &'p Plan, results: &Results) -> Vec<RawClaim<'p>> {
    let claims = plan.experiment.claims.iter();
    claims
        .filter_map(|claim| {
            // Both names were checked when the experiment was read.
            let statistic = statistic::find(claim.statistic.get_ref())?;
            let measure = measure::find(claim.measure.get_ref())?;
            let raws = raw_estimates(results, claim, statistic, measure);
            Some((claim, statistic, measure, raws))
        })
        .collect()
}

/// The confidence of each interval of a study, so that all of them hold together: those of its claims and those of its
/// control.
fn confidence(plan: &Plan, claims: &[RawClaim]) -> f64 {
    let intervals = claims.iter().map(|(.., raws)| raws.len()).sum::<usize>() + control_pairs(plan).len();
    1.0 - FAMILY_ERROR / intervals.max(1) as f64
}

/// The cells of the control: a variant and the same under its other name, at each combination of levels.
fn control_pairs(plan: &Plan) -> Vec<(&Cell, &Cell)> {
    let again = plan.variants.iter().position(|variant| variant.control_of.is_some());
    let pair = again.and_then(|again| Some((plan.variants[again].control_of?, again)));
    let Some((original, again)) = pair else {
        return Vec::new();
    };
    let combinations = plan.combinations(None, &BTreeMap::new());
    let pairs = combinations.iter();
    pairs
        .filter_map(|levels| plan.cell(original, levels).zip(plan.cell(again, levels)))
        .collect()
}

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

fn raw_estimates(results: &Results, claim: &ClaimSpec, statistic: &Statistic, measure: &Measure) -> Vec<Raw> {
    let plan = results.plan;
    let along = claim
        .along
        .as_ref()
        .filter(|_| statistic.needs_axis)
        .and_then(|name| plan.axis(name.get_ref()));
    let other = claim.against.as_ref().and_then(|name| plan.variant(name.get_ref()));
    let mut raws = Vec::new();
    let named = claim.variants.iter().filter_map(|name| plan.variant(name.get_ref()));
    for variant in named.filter(|variant| !plan.unavailable.contains(variant)) {
        for levels in plan.combinations(along, &claim.filter) {
            let mut own = results.along(variant, &levels, along, measure);
            let mut others = other.map(|other| results.along(other, &levels, along, measure));
            if let Some(others) = &mut others {
                keep_common_levels(&mut own, others);
            }
            let range = along.map(|axis| Range::of(&plan.axes[axis], &own)).unwrap_or_default();
            let per_block = own
                .into_iter()
                .filter(|_| range != Range::Point)
                .filter_map(|(block, own)| {
                    let other = match &others {
                        Some(others) => others.get(&block)?.clone(),
                        None => Vec::new(),
                    };
                    (statistic.of)(&Values { own, other })
                })
                .collect();
            let levels = plan.levels_text(&levels, along);
            let label = plan.variants[variant].label.clone();
            let parts = [
                Some(label),
                Some(levels).filter(|levels| !levels.is_empty()),
                range.text(),
            ];
            raws.push(Raw {
                of: parts.into_iter().flatten().collect::<Vec<_>>().join(", "),
                per_block,
            });
        }
    }
    raws
}

/// What was found of one number.
struct Found {
    estimate: Estimate,
    is_measured: bool,
    needs: Needs,
}

fn estimate(
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
            let beside =
                claim.at_least.is_some_and(|bound| high < bound) || claim.at_most.is_some_and(|bound| low > bound);
            match (above && below, beside) {
                (true, _) => Verdict::Confirmed,
                (_, true) => Verdict::Refuted,
                _ => Verdict::Inconclusive,
            }
        }
    };
    let unit = unit(claim, statistic, measure);
    let write = |value: f64| number(statistic.form, unit, value);
    let estimate = Estimate {
        of: raw.of.clone(),
        value: centre.map_or_else(|| "none".to_owned(), write),
        interval: interval.map_or_else(
            || "none".to_owned(),
            |interval| format!("{} … {}", write(interval.low), write(interval.high)),
        ),
        blocks: raw.per_block.len(),
        verdict,
    };
    let bounds = (claim.at_least, claim.at_most);
    let scale = Scale::of(statistic.form, &raw.per_block);
    // A pass in which calls are counted is run once or not at all.
    let run = if measure.is_per_pass() { 0 } else { run };
    Found {
        estimate,
        is_measured: centre.is_some(),
        needs: settle::needs(verdict, scale, &raw.per_block, bounds, confidence, run),
    }
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
                settle::in_words(&needs, measure.is_per_pass())
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

/// The unit of a statistic: that of the measure, or that of the axis where it is a level.
fn unit(claim: &ClaimSpec, statistic: &Statistic, measure: &Measure) -> &'static str {
    if statistic.form != Form::Level {
        return measure.unit;
    }
    let axis = claim.along.as_ref().and_then(|name| options::find(name.get_ref()));
    match axis.map(|row| row.kind) {
        Some(Kind::Duration) => "s",
        Some(Kind::Rate) => "/s",
        _ => "",
    }
}

/// A number in its form, with three significant digits.
pub(crate) fn number(form: Form, unit: &str, value: f64) -> String {
    match form {
        Form::Share => format!("{:+.1}%", value * 100.0),
        // What an interval over two blocks comes to; the digits of such a bound say nothing.
        Form::Factor if value > 1000.0 => "over 1000×".to_owned(),
        Form::Factor if value < 0.001 => "under 0.001×".to_owned(),
        Form::Factor => format!("{}×", significant(value)),
        Form::Level if unit == "s" => duration(value),
        Form::Plain | Form::Level if unit.is_empty() => significant(value),
        Form::Plain if unit == "%" => format!("{}%", significant(value)),
        Form::Plain | Form::Level => format!("{} {unit}", significant(value)),
    }
}

/// Three significant digits, without an exponent.
pub(crate) fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    let text = format!("{value:.*}", usize::try_from(digits.clamp(0, 9)).unwrap_or_default());
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Compares the control with the variant that it repeats. `None` without a control or a common valid block.
pub(crate) fn noise_floor(plan: &Plan, records: &[CellRecord]) -> Option<NoiseFloor> {
    let control = plan.experiment.control.as_ref()?;
    let measure = measure::find(control.measure.get_ref())?;
    let results = Results::new(plan, records);
    let confidence = confidence(plan, &raw_claims(plan, &results));
    let original = plan.variants.iter().find_map(|variant| variant.control_of)?;
    let mut floor = NoiseFloor {
        variant: plan.variants[original].label.clone(),
        measure: measure.label.to_owned(),
        percent: 0.0,
        worst_block_percent: 0.0,
        comparisons: 0,
        called_different: 0,
    };
    for (one, two) in control_pairs(plan) {
        let one = results.values(&one.id, measure);
        let two = results.values(&two.id, measure);
        let ratios: Vec<f64> = one
            .iter()
            .filter_map(|(block, value)| Some(two.get(block)? / value))
            .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
            .collect();
        let Some(centre) = stats::median(&ratios) else {
            continue;
        };
        floor.comparisons += 1;
        floor.percent = floor.percent.max(100.0 * (centre - 1.0).abs());
        for ratio in &ratios {
            floor.worst_block_percent = floor.worst_block_percent.max(100.0 * (ratio - 1.0).abs());
        }
        if let Some(found) = interval(Form::Factor, &ratios, confidence, plan.seed) {
            floor.called_different += usize::from(found.low > 1.0 || found.high < 1.0);
        }
    }
    (floor.comparisons > 0).then_some(floor)
}

#[cfg(test)]
mod tests;
