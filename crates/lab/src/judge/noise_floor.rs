//! The A/A control: how far two runs of the same server differ.

use c10k_record::{CellRecord, NoiseFloor};

use super::samples::{confidence, control_pairs, raw_claims};
use super::scale::interval;
use crate::measure;
use crate::plan::Plan;
use crate::results::Results;
use crate::statistic::Form;
use crate::stats;

/// Compares the control with the variant that it repeats. `None` without a control or a common valid block.
pub(crate) fn noise_floor(plan: &Plan, records: &[CellRecord]) -> Option<NoiseFloor> {
    let control = plan.experiment.control.as_ref()?;
    let measure = measure::find(control.measure.get_ref())?;
    let results = Results::new(plan, records);
    let confidence = confidence(plan, &raw_claims(plan, &results));
    let original = plan.variants.iter().find_map(|variant| variant.control_of)?;
    let mut floor = NoiseFloor {
        variant: plan.variants[original].name.clone(),
        label: plan.variants[original].label.clone(),
        measure: measure.name.to_owned(),
        difference_percent: 0.0,
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
        floor.difference_percent = floor.difference_percent.max(100.0 * (centre - 1.0).abs());
        for ratio in &ratios {
            floor.worst_block_percent = floor.worst_block_percent.max(100.0 * (ratio - 1.0).abs());
        }
        if let Some(found) = interval(Form::Factor, &ratios, confidence, plan.seed) {
            floor.called_different += usize::from(found.low > 1.0 || found.high < 1.0);
        }
    }
    (floor.comparisons > 0).then_some(floor)
}
