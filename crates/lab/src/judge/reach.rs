//! What is out of reach of a claim: cells that `--only` excluded, that this machine cannot run, that failed.

use c10k_record::CellStatus;

use super::blocks_to_settle::Needs;
use crate::experiment::ClaimSpec;
use crate::plan::{Cell, Plan};
use crate::results::Results;

/// The variants of a claim, and the one that it compares them with.
fn variants(plan: &Plan, claim: &ClaimSpec) -> impl Iterator<Item = usize> {
    let names = claim.variants.iter().chain(&claim.against);
    names.filter_map(|name| plan.variant(name.get_ref()))
}

/// Whether `--only` excluded a cell that the claim looks at. Without it, a statement about some variants and levels would be
/// made from others.
pub(super) fn is_excluded(plan: &Plan, claim: &ClaimSpec) -> bool {
    let combinations = plan.combinations(None, &claim.filter);
    let has_all = |variant| combinations.iter().all(|levels| plan.cell(variant, levels).is_some());
    !variants(plan, claim).all(has_all)
}

/// What a claim needs of which no variant can run here.
pub(super) fn needed_to_run(plan: &Plan, claim: &ClaimSpec) -> Needs {
    let mut unavailable = variants(plan, claim).filter_map(|variant| plan.unavailable.get(&variant));
    match unavailable.any(|unavailable| unavailable.has_failed) {
        true => Needs::Server,
        false => Needs::Machine,
    }
}

/// What a number needs that was computed in no block from these cells. More blocks bring nothing where a cell was skipped or
/// failed each time.
pub(super) fn needed_of<'c>(results: &Results, cells: impl Iterator<Item = &'c Cell>) -> Needs {
    let mut needs = Needs::Machine;
    let mut lacking = 0;
    for cell in cells {
        let all = |wanted| results.of(&cell.id).all(|record| record.status == wanted);
        if results.of(&cell.id).any(|record| record.status == CellStatus::Measured) {
            continue;
        }
        lacking += 1;
        if results.of(&cell.id).next().is_none() || !(all(CellStatus::Skipped) || all(CellStatus::Failed)) {
            return Needs::Valid;
        }
        if all(CellStatus::Failed) {
            needs = Needs::Server;
        }
    }
    if lacking == 0 { Needs::Valid } else { needs }
}
