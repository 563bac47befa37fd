//! What the claims of a study look at: their statistics, block by block, the events behind them, and how many intervals those
//! come to.

use std::collections::BTreeMap;

use super::block_values::{BlockValues, Counts};
use super::blocks_to_settle::Needs;
use super::decide::FAMILY_ERROR;
use super::levels::{Range, Rows, keep_common_levels};
use super::pairs::{control_pairs, is_adjusted};
use super::reach::{is_excluded, needed_of};
use super::speed::{Adjusted, Speed};
use crate::experiment::ClaimSpec;
use crate::measure::{self, Measure};
use crate::plan::{Cell, Plan};
use crate::results::Results;
use crate::statistic::{self, Statistic, Values};
use crate::stats::counts::Counted;

/// What a statistic is in each block, of one variant at one combination of levels.
pub(super) struct Raw {
    /// Variant, levels and the measured part of the axis, in words.
    pub(super) of: String,
    pub(super) variant: String,
    /// The levels, without the axis of the test.
    pub(super) levels: BTreeMap<String, f64>,
    pub(super) values: BlockValues,
    /// Where the values are adjusted to equal speeds, or would be.
    pub(super) speed: Option<RawSpeed>,
    /// What it needs where it was computed in no block.
    pub(super) needs: Needs,
}

/// What the adjustment to equal speeds of the CPU rests on.
pub(super) struct RawSpeed {
    /// The values as they were measured.
    pub(super) plain: BlockValues,
    pub(super) adjusted: Adjusted,
}

/// A claim, what it looks at, and what it finds in each block.
pub(super) type RawClaim<'p> = (&'p ClaimSpec, &'static Statistic, &'static Measure, Vec<Raw>);

pub(super) fn raw_claims<'p>(plan: &'p Plan, results: &Results) -> Vec<RawClaim<'p>> {
    let claims = plan.experiment.claims.iter();
    let speed = Speed::of(results);
    claims
        .filter_map(|claim| {
            // Both names were checked when the experiment was read.
            let statistic = statistic::find(claim.statistic.get_ref())?;
            let measure = measure::find(claim.measure.get_ref())?;
            let raws = match is_excluded(plan, claim) {
                true => Vec::new(),
                false => raw_estimates(results, (claim, statistic, measure), speed.as_ref()),
            };
            Some((claim, statistic, measure, raws))
        })
        .collect()
}

/// The confidence of each interval that the report of a study shows, so that all of them hold together: those of the numbers
/// of its claims and those of its control.
pub(super) fn confidence(plan: &Plan, numbers: usize) -> f64 {
    let intervals = numbers + control_pairs(plan).len();
    1.0 - FAMILY_ERROR / intervals.max(1) as f64
}

fn raw_estimates(
    results: &Results,
    (claim, statistic, measure): (&ClaimSpec, &Statistic, &Measure),
    speed: Option<&Speed>,
) -> Vec<Raw> {
    let plan = results.plan;
    let along = axis_of(plan, claim, statistic);
    let other = claim.against.as_ref().and_then(|name| plan.variant(name.get_ref()));
    let mut raws = Vec::new();
    let named = claim.variants.iter().filter_map(|name| plan.variant(name.get_ref()));
    for variant in named.filter(|variant| !plan.unavailable.contains_key(variant)) {
        for levels in plan.combinations(along, &claim.filter) {
            let mut own = results.along(variant, &levels, along, measure);
            let mut others = other.map(|other| results.along(other, &levels, along, measure));
            if let Some(others) = &mut others {
                keep_common_levels(&mut own, others);
            }
            let range = along.map(|axis| Range::of(&plan.axes[axis], &own)).unwrap_or_default();
            let counts = counts(results, (variant, &levels, along), (statistic, measure), &own);
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
            let plain = BlockValues {
                form: statistic.form,
                per_block,
                counts,
            };
            let pair = other.filter(|_| is_adjusted(statistic, measure)).and_then(|other| {
                let id = |variant| Some(plan.cell(variant, &levels)?.id.as_str());
                id(variant).zip(id(other))
            });
            let (block_values, speed) = at_equal_speeds(plain, pair, speed);
            let text = plan.levels_text(&levels, along);
            let label = plan.variants[variant].label.clone();
            let parts = [Some(label), Some(text).filter(|text| !text.is_empty()), range.text()];
            raws.push(Raw {
                of: parts.into_iter().flatten().collect::<Vec<_>>().join(", "),
                variant: plan.variants[variant].name.clone(),
                levels: values(plan, &levels, along),
                values: block_values,
                speed,
                needs: needed_of(results, cells(plan, variant, other, &levels, along)),
            });
        }
    }
    raws
}

/// The values at equal speeds where that is asked for and possible, with the values as they were measured.
fn at_equal_speeds(
    plain: BlockValues,
    pair: Option<(&str, &str)>,
    speed: Option<&Speed>,
) -> (BlockValues, Option<RawSpeed>) {
    let pair = pair.zip(speed);
    let Some(adjusted) = pair.and_then(|(pair, speed)| speed.adjusted(pair, plain.per_block.len())) else {
        return (plain, None);
    };
    let values = BlockValues {
        per_block: adjusted.per_block.clone(),
        ..plain.clone()
    };
    (values, Some(RawSpeed { plain, adjusted }))
}

/// The axis along which a statistic looks.
fn axis_of(plan: &Plan, claim: &ClaimSpec, statistic: &Statistic) -> Option<usize> {
    let along = claim.along.as_ref().filter(|_| statistic.needs_axis);
    along.and_then(|name| plan.axis(name.get_ref()))
}

/// The names of all cells that a claim looks at and that can run.
pub(super) fn cells_of(plan: &Plan, claim: &ClaimSpec) -> Vec<String> {
    let along = statistic::find(claim.statistic.get_ref()).and_then(|statistic| axis_of(plan, claim, statistic));
    let other = claim.against.as_ref().and_then(|name| plan.variant(name.get_ref()));
    let combinations = plan.combinations(along, &claim.filter);
    let named = claim.variants.iter().filter_map(|name| plan.variant(name.get_ref()));
    let looked_at = named.flat_map(|variant| {
        let levels = combinations.iter();
        levels.flat_map(move |levels| cells(plan, variant, other, levels, along))
    });
    looked_at.map(|cell| cell.id.clone()).collect()
}

/// The events behind a statistic that is the value of one level, of a measure that counts: those of the blocks and levels of
/// `rows`.
fn counts(
    results: &Results,
    (variant, levels, along): (usize, &[usize], Option<usize>),
    (statistic, measure): (&Statistic, &Measure),
    rows: &Rows,
) -> Option<Counts> {
    let ((law, events), pick) = measure.counting().zip(statistic.counts)?;
    let plan = results.plan;
    let seen = rows.values().next()?;
    let of_level = |place: usize| -> Option<Counted> {
        let mut levels = levels.to_vec();
        if let Some(axis) = along {
            levels[axis] = place;
            let value = plan.axes[axis].levels[place].value;
            seen.iter().find(|(level, _)| *level == value)?;
        }
        let cell = plan.cell(variant, &levels)?;
        let valid = results
            .valid(&cell.id)
            .filter(|record| rows.contains_key(&record.block));
        Some(valid.filter_map(events).sum())
    };
    let places = along.map_or(1, |axis| plan.axes[axis].levels.len());
    Some(Counts {
        law,
        pick,
        by_level: (0..places).filter_map(of_level).collect(),
    })
}

/// The cells of a variant, and of the one that it is compared with, at these levels and all of the axis `along`.
fn cells<'p>(
    plan: &'p Plan,
    variant: usize,
    other: Option<usize>,
    levels: &[usize],
    along: Option<usize>,
) -> impl Iterator<Item = &'p Cell> {
    let is_of_it = move |cell: &&Cell| cell.variant == variant || Some(cell.variant) == other;
    let levels = levels.to_vec();
    plan.cells.iter().filter(is_of_it).filter(move |cell| {
        let mut axes = cell.levels.iter().zip(&levels).enumerate();
        axes.all(|(axis, (own, level))| own == level || Some(axis) == along)
    })
}

/// The levels of a combination as numbers by axis, without the axis `along`.
fn values(plan: &Plan, levels: &[usize], along: Option<usize>) -> BTreeMap<String, f64> {
    let axes = plan.axes.iter().zip(levels).enumerate();
    axes.filter(|(index, _)| Some(*index) != along)
        .map(|(_, (axis, &level))| (axis.name.clone(), axis.levels[level].value))
        .collect()
}
