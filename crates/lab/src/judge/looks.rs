//! When the claims of a study are judged, and what is still to be measured after that.
//!
//! A study may be judged several times, at equal parts of the time of its blocks. A claim that is settled at one of these looks
//! keeps that verdict and is not looked at again. Each look has its own part of the study's error, and any of them is wrong
//! with a chance of at most the sum. When a share t of the time has passed, t² of the error has been used: an early look settles
//! what is clear, and the last one keeps most of the error for what is not.

use std::collections::{BTreeMap, BTreeSet};

use c10k_record::{CellRecord, Verdict};

use super::decide::{Decision, FAMILY_ERROR, Question, decide};
use super::estimate::bounds;
use super::pairs::control_pairs;
use super::samples::{RawClaim, cells_of, raw_claims};
use crate::plan::Plan;
use crate::results::Results;

/// One time at which the claims are judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    /// The blocks that had been run; absent at the end of the study.
    pub(super) after: Option<u32>,
    /// The chance that a verdict of this look is wrong, at most.
    pub(super) error: f64,
}

/// A claim at the look that settled it, or at the last one.
pub(super) struct Judged<'p> {
    pub(super) claim: RawClaim<'p>,
    pub(super) decision: Decision,
    /// The blocks that had been run.
    pub(super) run: u32,
    /// The look, if it was not the last.
    pub(super) settled_after: Option<u32>,
}

impl Judged<'_> {
    fn is_settled(&self) -> bool {
        self.decision.verdict != Verdict::Inconclusive
    }

    /// Whether more blocks could settle it.
    fn is_open(&self) -> bool {
        let (_, _, measure, raws) = &self.claim;
        !self.is_settled() && !raws.is_empty() && !measure.is_per_pass()
    }
}

/// All looks of a study that ends with these records.
pub(super) fn all(plan: &Plan, records: &[CellRecord]) -> Vec<Look> {
    let mut looks = early(plan, records, u32::MAX);
    let used: f64 = looks.iter().map(|look| look.error).sum();
    looks.push(Look {
        after: None,
        error: FAMILY_ERROR - used,
    });
    looks
}

/// The looks before the end to which a study has come by the blocks before this one. Found from the records alone, so that a
/// study that was interrupted continues as if nothing had happened.
fn early(plan: &Plan, records: &[CellRecord], block: u32) -> Vec<Look> {
    let shares = shares_of_time(plan, records, block);
    let mut looks: Vec<Look> = Vec::new();
    for number in 1..plan.looks {
        let share = f64::from(number) / f64::from(plan.looks);
        let Some(after) = shares
            .iter()
            .find(|(_, passed)| *passed >= share)
            .map(|(after, _)| *after)
        else {
            break;
        };
        let error = error_of(number, plan.looks);
        match looks.last_mut() {
            // One block took more than one part of the time.
            Some(last) if last.after == Some(after) => last.error += error,
            _ => looks.push(Look {
                after: Some(after),
                error,
            }),
        }
    }
    looks
}

/// The error of one of so many looks, the first of which has the number 1.
pub(super) fn error_of(number: u32, looks: u32) -> f64 {
    let used = |number: u32| FAMILY_ERROR * (f64::from(number) / f64::from(looks)).powi(2);
    used(number) - used(number - 1)
}

/// What share of the time for all blocks had passed after each number of them.
fn shares_of_time(plan: &Plan, records: &[CellRecord], block: u32) -> Vec<(u32, f64)> {
    let mut seconds: BTreeMap<u32, f64> = BTreeMap::new();
    for record in records.iter().filter(|record| record.block < block) {
        *seconds.entry(record.block).or_default() += record.seconds;
    }
    let mut spent_s = 0.0;
    let after_each = seconds.into_iter().map(|(block, own_s)| {
        spent_s += own_s;
        let share = match plan.blocks_s {
            Some(blocks_s) => spent_s / blocks_s.max(f64::MIN_POSITIVE),
            None => f64::from(block + 1) / f64::from(plan.blocks),
        };
        (block + 1, share)
    });
    after_each.collect()
}

/// Every claim at the look that settled it, or at the last of these looks.
pub(super) fn judged<'p>(plan: &'p Plan, records: &[CellRecord], looks: &[Look]) -> Vec<Judged<'p>> {
    let others = usize::from(plan.experiment.control.is_some());
    let mut judged: Vec<Judged> = Vec::new();
    for &Look { after, error } in looks {
        let results = Results::before(plan, records, after.unwrap_or(u32::MAX));
        let claims = raw_claims(plan, &results);
        let questions: Vec<Question> = claims.iter().map(question).collect();
        let is_settled = |claim: usize| judged.get(claim).is_some_and(Judged::is_settled);
        let mut decisions = decide_open(&questions, is_settled, others, error);
        let mut before = judged.into_iter();
        let now = claims.into_iter().enumerate().filter_map(|(index, claim)| {
            let before = before.next();
            let Some(decision) = decisions.remove(&index) else {
                return before;
            };
            let is_settled = decision.verdict != Verdict::Inconclusive;
            Some(Judged {
                claim,
                decision,
                run: results.blocks(),
                settled_after: after.filter(|_| is_settled),
            })
        });
        judged = now.collect();
    }
    judged
}

/// Decides the questions that no earlier look has settled.
pub(super) fn decide_open(
    questions: &[Question],
    is_settled: impl Fn(usize) -> bool,
    others: usize,
    error: f64,
) -> BTreeMap<usize, Decision> {
    let open: Vec<usize> = (0..questions.len()).filter(|&index| !is_settled(index)).collect();
    let asked: Vec<Question> = open.iter().map(|&index| questions[index].clone()).collect();
    let decisions = decide(&asked, others, error);
    open.into_iter().zip(decisions).collect()
}

fn question<'a>((claim, .., raws): &'a RawClaim) -> Question<'a> {
    Question {
        bounds: bounds(claim),
        numbers: raws.iter().map(|raw| &raw.values).collect(),
    }
}

/// How many looks there have been before this block.
pub(crate) fn looks_before(plan: &Plan, records: &[CellRecord], block: u32) -> usize {
    match plan.looks {
        1 => 0,
        _ => early(plan, records, block).len(),
    }
}

/// The cells that claims need which no look before this block has settled, and those of the control. Empty if there is no such
/// claim; `None` before the first look.
pub(crate) fn open_cells(plan: &Plan, records: &[CellRecord], block: u32) -> Option<BTreeSet<String>> {
    let looks = early(plan, records, block);
    if looks.is_empty() {
        return None;
    }
    let judged = judged(plan, records, &looks);
    let open = judged.iter().filter(|judged| judged.is_open());
    let mut cells: BTreeSet<String> = open.flat_map(|judged| cells_of(plan, judged.claim.0)).collect();
    if !cells.is_empty() {
        let control = control_pairs(plan).into_iter();
        cells.extend(control.flat_map(|(one, two)| [one.id.clone(), two.id.clone()]));
    }
    Some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Choices;
    use crate::testing;

    /// A plan that is judged so many times in twelve blocks of one second each.
    fn plan(looks: u32) -> Plan {
        let mut plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
        plan.looks = looks;
        plan.blocks_s = Some(12.0);
        plan
    }

    /// Blocks in which a variant uses what `share` says: of its name, its level of idle connections and the block.
    fn run(plan: &Plan, blocks: u32, share: impl Fn(&str, usize, u32) -> f64) -> Vec<CellRecord> {
        // A little over a second, so that no rounding moves a look.
        let block_s = 1.001 / plan.cells.len() as f64;
        let of_block = |block| plan.cells.iter().map(move |cell| (cell, block));
        let each = (0..blocks).flat_map(of_block).map(|(cell, block)| {
            let name = &plan.variants[cell.variant].name;
            let phase = block * 7 + cell.variant as u32 * 3 + cell.levels[0] as u32 * (1 + block / 3);
            let wobble = 1.0 + 0.001 * f64::from(phase % 5);
            CellRecord {
                variant: name.clone(),
                seconds: block_s,
                ..testing::record(&cell.id, block, share(name, cell.levels[0], block) * wobble)
            }
        });
        each.collect()
    }

    #[test]
    fn the_looks_share_the_error_of_the_study() {
        for looks in [1, 2, 3, 7] {
            let plan = plan(looks);
            let all = all(&plan, &run(&plan, 12, |_, _, _| 0.1));
            let error: f64 = all.iter().map(|look| look.error).sum();
            assert_eq!(all.len(), looks as usize);
            assert!((error - FAMILY_ERROR).abs() < 1e-12, "{all:?}");
            let last = all.last().expect("the end is a look");
            assert!(all.iter().all(|look| look.error <= last.error), "{all:?}");
        }
    }

    #[test]
    fn looks_come_after_equal_parts_of_the_time() {
        let plan = plan(3);
        let after = |blocks, before| -> Vec<Option<u32>> {
            let records = run(&plan, blocks, |_, _, _| 0.1);
            early(&plan, &records, before).iter().map(|look| look.after).collect()
        };
        assert_eq!(after(12, u32::MAX), [Some(4), Some(8)]);
        assert_eq!(after(12, 7), [Some(4)], "later blocks are not known yet");
        assert_eq!(after(3, u32::MAX), []);
        let mut long = run(&plan, 2, |_, _, _| 0.1);
        long.iter_mut().for_each(|record| record.seconds *= 9.0);
        let found = early(&plan, &long, u32::MAX);
        assert_eq!(found.len(), 1, "one block took the time of both parts: {found:?}");
        assert!((found[0].error - error_of(1, 3) - error_of(2, 3)).abs() < 1e-12);
    }

    #[test]
    fn a_claim_keeps_the_verdict_of_the_look_that_settled_it() {
        let plan = plan(2);
        // `steep` grows in the first half only.
        let share = |name: &str, level: usize, block: u32| match (name, level) {
            ("steep", 1) if block < 6 => 0.4,
            _ => 0.1,
        };
        let records = run(&plan, 12, share);
        let found = crate::judge::judge(&plan, &records);
        let grows = found.iter().find(|claim| claim.claim == "grows").expect("it is there");
        assert_eq!((grows.verdict, grows.settled_after), (Verdict::Confirmed, Some(6)));
        assert!(grows.estimates.iter().all(|estimate| estimate.blocks == 6), "{grows:?}");
        let once = crate::judge::judge(&self::plan(1), &records);
        assert!(
            once.iter()
                .all(|claim| claim.verdict != Verdict::Confirmed || claim.claim == "flat")
        );
        assert!(once.iter().all(|claim| claim.settled_after.is_none()));
    }

    #[test]
    fn what_is_open_is_measured_further_with_the_control() {
        let plan = plan(2);
        let flat_varies = |name: &str, level: usize, block: u32| match (name, level, block % 2) {
            ("steep", 1, _) => 0.4,
            ("flat", 1, 0) => 0.12,
            _ => 0.1,
        };
        let records = run(&plan, 12, flat_varies);
        assert_eq!(open_cells(&plan, &records, 5), None, "before the look");
        let open = open_cells(&plan, &records, 7).expect("after the look");
        assert!(
            !open.is_empty() && open.iter().all(|id| id.starts_with("flat")),
            "{open:?}"
        );
        assert!(open.iter().any(|id| id.starts_with("flat-again")), "{open:?}");
        let settled = run(&plan, 12, |_, level, _| [0.1, 0.1001][level]);
        assert_eq!(open_cells(&plan, &settled, 7), Some(BTreeSet::new()));
    }
}
