//! Which variants use the least CPU per request, and how many times as much the others use: compared in pairs within a block,
//! as far as the difference is beyond the noise.

use std::collections::BTreeMap;

use c10k_record::{CellRecord, CheapestRecord, CheapestRow, NoiseFloor};

use super::scale::interval;
use crate::measure::{self, Measure};
use crate::plan::{Cell, Plan};
use crate::results::Results;
use crate::statistic::Form;
use crate::stats::{self, Interval};

/// Error rate of all pairs together.
const FAMILY_ERROR: f64 = 0.05;

/// Below this share of requests that were answered, CPU per request compares servers that do not do the same.
const ANSWERED: f64 = 0.99;

const MEASURE: &str = "cpu-us-per-request";

/// A variant's CPU per request, block by block.
struct Cost<'p> {
    variant: usize,
    label: &'p str,
    per_block: BTreeMap<u32, f64>,
}

impl Cost<'_> {
    /// How many times the cost of `other` it is in each block that both have.
    fn ratios(&self, other: &Self) -> Vec<f64> {
        let pairs = self.per_block.iter();
        let ratios = pairs.filter_map(|(block, own)| Some(own / other.per_block.get(block)?));
        ratios.filter(|ratio| ratio.is_finite() && *ratio > 0.0).collect()
    }

    fn median(&self) -> Option<f64> {
        stats::median(&self.per_block.values().copied().collect::<Vec<f64>>())
    }
}

/// Compares the variants at the last level of each axis with the cheapest of them: those that do the same as the first variant,
/// under the same load. `None` where there are fewer than two, where one of them leaves requests unanswered, and where no two have
/// two valid blocks in common.
pub(crate) fn cheapest(plan: &Plan, records: &[CellRecord], floor: Option<&NoiseFloor>) -> Option<CheapestRecord> {
    let measure = measure::find(MEASURE)?;
    let results = Results::new(plan, records);
    let last: Vec<usize> = plan.axes.iter().map(|axis| axis.levels.len() - 1).collect();
    let costs = costs(plan, &results, &last, measure)?;
    let best = costs
        .iter()
        .min_by(|one, two| lead(one, &costs).total_cmp(&lead(two, &costs)))?;
    // The cheapest is known only from the same blocks: whichever pair it is in, its interval holds.
    let pairs = costs.len() * (costs.len() - 1) / 2;
    let confidence = 1.0 - FAMILY_ERROR / pairs.max(1) as f64;
    let floor_percent = floor
        .filter(|floor| floor.measure == MEASURE)
        .map(|floor| floor.difference_percent);
    let beyond = 1.0 + floor_percent.unwrap_or_default() / 100.0;
    let mut rows: Vec<CheapestRow> = costs
        .iter()
        .filter_map(|cost| {
            let ratios = cost.ratios(best);
            let is_best = cost.variant == best.variant;
            let found = interval(Form::Factor, &ratios, confidence, plan.seed).filter(|_| !is_best);
            Some(CheapestRow {
                variant: plan.variants[cost.variant].name.clone(),
                label: cost.label.to_owned(),
                median: cost.median()?,
                ratio: stats::median(&ratios)?,
                ratio_low: found.map(|Interval { low, .. }| low),
                ratio_high: found.map(|Interval { high, .. }| high),
                blocks: ratios.len(),
                is_apart: found.is_some_and(|found| found.low > beyond),
            })
        })
        .collect();
    rows.sort_by(|one, two| one.ratio.total_cmp(&two.ratio));
    // Of equals, the cheapest comes first.
    let first = rows
        .iter()
        .position(|row| row.variant == plan.variants[best.variant].name)?;
    rows[..=first].rotate_right(1);
    rows.iter().any(|row| row.ratio_low.is_some()).then(|| CheapestRecord {
        measure: measure.name.to_owned(),
        unit: measure.unit.to_owned(),
        at: plan.levels_text(&last, None),
        levels: levels(plan, &last),
        confidence,
        floor_percent,
        variants: rows,
    })
}

/// What each variant that was measured at `last` costs there. `None` where one leaves requests unanswered.
fn costs<'p>(plan: &'p Plan, results: &Results, last: &[usize], measure: &Measure) -> Option<Vec<Cost<'p>>> {
    let answered = measure::find("answered-share")?;
    let measured = || {
        let variants = plan.variants.iter().enumerate();
        let originals = variants.filter(|(_, row)| row.control_of.is_none());
        originals.filter_map(|(variant, row)| Some((variant, row, plan.cell(variant, last)?)))
    };
    let (.., first) = measured().next()?;
    let mut costs = Vec::new();
    for (variant, row, cell) in measured().filter(|(.., cell)| is_same_demand(cell, first)) {
        let answered: Vec<f64> = results.values(&cell.id, answered).into_values().collect();
        let Some(answered) = stats::median(&answered) else {
            continue;
        };
        let per_block = results.values(&cell.id, measure);
        if answered < ANSWERED || per_block.is_empty() {
            return None;
        }
        costs.push(Cost {
            variant,
            label: &row.label,
            per_block,
        });
    }
    (costs.len() >= 2).then_some(costs)
}

/// Whether two servers get the same requests and have the same work to do for each.
fn is_same_demand(one: &Cell, other: &Cell) -> bool {
    let demand = |cell: &Cell| {
        let work = cell.server_flags.iter().skip_while(|flag| *flag != "--work").nth(1);
        (cell.load_flags.clone(), cell.path.clone(), work.cloned())
    };
    demand(one) == demand(other)
}

/// The most that a variant costs in comparison with any other, in the middle of the blocks: at most 1 for the cheapest.
fn lead(cost: &Cost, all: &[Cost]) -> f64 {
    let others = all.iter().filter(|other| other.variant != cost.variant);
    let against = others.map(|other| stats::median(&cost.ratios(other)).unwrap_or(f64::INFINITY));
    against.fold(0.0, f64::max)
}

fn levels(plan: &Plan, levels: &[usize]) -> BTreeMap<String, f64> {
    let axes = plan.axes.iter().zip(levels);
    axes.map(|(axis, &level)| (axis.name.clone(), axis.levels[level].value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Choices;
    use crate::testing;

    /// `steep` uses this many times the CPU of `flat` in each block, at the last level of the test experiment. All blocks
    /// differ by far more than that.
    fn compared(factors: &[f64], floor_percent: Option<f64>) -> Option<CheapestRecord> {
        let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
        let mut records = Vec::new();
        for (block, factor) in (0..).zip(factors) {
            let common = 0.1 * f64::from(1 + block);
            for (name, share) in [("flat", common), ("steep", common * factor)] {
                records.push(testing::record(&format!("{name} idle=20 rate=10%"), block, share));
            }
        }
        let floor = floor_percent.map(|difference_percent| NoiseFloor {
            variant: "flat".to_owned(),
            label: "flat".to_owned(),
            measure: MEASURE.to_owned(),
            difference_percent,
            worst_block_percent: difference_percent,
            comparisons: 1,
            called_different: 0,
        });
        cheapest(&plan, &records, floor.as_ref())
    }

    fn apart(found: &CheapestRecord) -> Vec<(&str, bool)> {
        let rows = found.variants.iter();
        rows.map(|row| (row.variant.as_str(), row.is_apart)).collect()
    }

    #[test]
    fn a_difference_that_is_the_same_in_every_block_is_found_in_spite_of_slow_blocks() {
        let found = compared(&[2.0, 2.02, 1.98, 2.0], Some(3.0)).expect("it is compared");
        assert_eq!(apart(&found), [("flat", false), ("steep", true)]);
        let steep = &found.variants[1];
        assert!((steep.ratio - 2.0).abs() < 1e-6 && steep.blocks == 4, "{steep:?}");
        assert!(
            steep.ratio_low > Some(1.03) && steep.ratio_high < Some(3.0),
            "{steep:?}"
        );
    }

    #[test]
    fn a_variant_with_another_load_or_another_work_is_not_compared() {
        let plan = |options: &str| {
            let variant = format!("name = \"steep\"\n{options}");
            let text = testing::EXPERIMENT.replacen("name = \"steep\"\n", &variant, 1);
            let source = crate::experiment::Source {
                file: "t.toml".to_owned(),
                text,
            };
            let experiment = crate::experiment::Experiment::parse(&source).expect("nothing is wrong with it");
            Plan::resolve(&experiment, &Choices::default(), Some(1000.0)).expect("it resolves")
        };
        let records: Vec<CellRecord> = (0..4)
            .flat_map(|block| ["flat", "steep"].map(|name| (name, block)))
            .map(|(name, block)| testing::record(&format!("{name} idle=20 rate=10%"), block, 0.1))
            .collect();
        assert!(cheapest(&plan(""), &records, None).is_some());
        assert_eq!(cheapest(&plan("load = { connections = 9 }\n"), &records, None), None);
        assert_eq!(
            cheapest(&plan("load = { path = \"/bytes/7\" }\n"), &records, None),
            None
        );
    }

    #[test]
    fn one_block_compares_nothing() {
        assert_eq!(compared(&[20.0], None), None);
    }

    #[test]
    fn what_lies_within_the_noise_is_not_apart() {
        let within_the_floor = compared(&[1.04, 1.05, 1.04, 1.05], Some(8.0)).expect("it is compared");
        assert_eq!(apart(&within_the_floor), [("flat", false), ("steep", false)]);
        let beyond_it = compared(&[1.04, 1.05, 1.04, 1.05], Some(1.0)).expect("it is compared");
        assert_eq!(apart(&beyond_it), [("flat", false), ("steep", true)]);
        let across = compared(&[0.8, 1.5, 0.9, 1.3], Some(1.0)).expect("it is compared");
        assert!(across.variants.iter().all(|row| !row.is_apart), "{across:?}");
    }

    #[test]
    fn the_cheapest_is_the_one_that_costs_least_within_blocks() {
        let found = compared(&[0.5, 0.5, 0.5, 0.5], None).expect("it is compared");
        assert_eq!(apart(&found), [("steep", false), ("flat", true)]);
        assert!((found.variants[1].ratio - 2.0).abs() < 1e-6);
    }
}
