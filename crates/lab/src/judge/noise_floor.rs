//! The A/A control: how far two runs of the same server differ.

use c10k_record::{CellRecord, NoiseFloor};

use super::block_values::BlockValues;
use super::decide::{FAMILY_ERROR, share};
use super::pairs::control_pairs;
use super::samples::raw_claims;
use super::speed::Speed;
use crate::measure;
use crate::plan::Plan;
use crate::results::Results;
use crate::statistic::Form;
use crate::stats;

/// Compares the control with the variant that it repeats, at equal speeds of the CPU if claims are compared so. It shares the
/// error of the study as one more claim, which says that each of its comparisons is equal; that is refuted on two sides. `None`
/// without a control or a common valid block.
pub(crate) fn noise_floor(plan: &Plan, records: &[CellRecord]) -> Option<NoiseFloor> {
    let control = plan.experiment.control.as_ref()?;
    let measure = measure::find(control.measure.get_ref())?;
    let results = Results::new(plan, records);
    let pairs = control_pairs(plan);
    let claims = raw_claims(plan, &results);
    let judged = claims.iter().filter(|(.., raws)| !raws.is_empty()).count() + 1;
    let tail = share(FAMILY_ERROR, judged) / (2 * pairs.len().max(1)) as f64;
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
    let speed = Speed::of(&results).filter(|_| measure.name == measure::ADJUSTED);
    for (one, two) in pairs {
        let cells = (two.id.as_str(), one.id.as_str());
        let one = results.values(&one.id, measure);
        let two = results.values(&two.id, measure);
        let ratios: Vec<f64> = one
            .iter()
            .filter_map(|(block, value)| Some(two.get(block)? / value))
            .filter(|ratio| ratio.is_finite() && *ratio > 0.0)
            .collect();
        let adjusted = speed.as_ref().and_then(|speed| speed.adjusted(cells, ratios.len()));
        let ratios = adjusted.map_or(ratios, |adjusted| adjusted.per_block);
        let Some(centre) = stats::median(&ratios) else {
            continue;
        };
        floor.comparisons += 1;
        floor.difference_percent = floor.difference_percent.max(100.0 * (centre - 1.0).abs());
        for ratio in &ratios {
            floor.worst_block_percent = floor.worst_block_percent.max(100.0 * (ratio - 1.0).abs());
        }
        let ratios = BlockValues {
            form: Form::Factor,
            per_block: ratios,
            counts: None,
        };
        if let Some(found) = ratios.deciding(tail) {
            floor.called_different += usize::from(found.low > 1.0 || found.high < 1.0);
        }
    }
    (floor.comparisons > 0).then_some(floor)
}
