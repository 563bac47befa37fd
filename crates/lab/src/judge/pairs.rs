//! The pairs of cells whose values are divided by each other: those of the claims, and those of the control.

use std::collections::BTreeMap;

use crate::measure::{self, Measure};
use crate::plan::{Cell, Plan};
use crate::statistic::{self, Pair, Statistic};

/// The cells of the control: a variant and the same under its other name, at each combination of levels.
pub(super) fn control_pairs(plan: &Plan) -> Vec<(&Cell, &Cell)> {
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

/// The cells that claims divide by each other and whose ratio can be adjusted: that of the variant, and that of the other.
pub(super) fn ratio_pairs(plan: &Plan) -> Vec<(&str, &str)> {
    let claims = plan.experiment.claims.iter().filter(|claim| {
        let statistic = statistic::find(claim.statistic.get_ref());
        let measure = measure::find(claim.measure.get_ref());
        statistic
            .zip(measure)
            .is_some_and(|(statistic, measure)| is_adjusted(statistic, measure))
    });
    let pairs = claims.flat_map(|claim| {
        let other = claim.against.as_ref().and_then(|name| plan.variant(name.get_ref()));
        let variants = claim.variants.iter().filter_map(|name| plan.variant(name.get_ref()));
        variants.flat_map(move |variant| {
            let levels = plan.combinations(None, &claim.filter).into_iter();
            levels.filter_map(move |levels| {
                let (own, other) = plan.cell(variant, &levels).zip(plan.cell(other?, &levels))?;
                Some((own.id.as_str(), other.id.as_str()))
            })
        })
    });
    pairs.collect()
}

/// Whether an experiment with a covariate adjusts such a number.
pub(super) fn is_adjusted(statistic: &Statistic, of: &Measure) -> bool {
    statistic.pair == Some(Pair::Variants) && of.name == measure::ADJUSTED
}
