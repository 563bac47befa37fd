//! What is still to be run. Decided from the plan and the records alone, so that a study that was interrupted continues and ends
//! as if nothing had happened.

use std::collections::{BTreeMap, BTreeSet};

use c10k_record::{CellRecord, CellStatus};

use crate::judge;
use crate::plan::{Cell, Plan};

/// The cells that are run in a block.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The looks that there have been.
    looks: usize,
    /// The names of the cells that open claims need; absent before the first look.
    open: Option<BTreeSet<String>>,
}

impl Wanted {
    /// Moves on to a block.
    pub(super) fn advance(&mut self, plan: &Plan, records: &[CellRecord], block: u32) {
        let looks = judge::looks_before(plan, records, block);
        if looks != self.looks {
            self.looks = looks;
            self.open = judge::open_cells(plan, records, block);
        }
    }

    /// Whether a look has found all claims settled that more blocks can settle.
    pub(super) fn is_settled(&self) -> bool {
        self.open.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// Whether a cell is run: all are, until claims are settled, and when no claim is open.
    pub(super) fn has(&self, cell: &Cell) -> bool {
        let open = self.open.as_ref().filter(|open| !open.is_empty());
        open.is_none_or(|open| open.contains(&cell.id))
    }
}

/// Whether a cell is still to be run in a block: it has not run; or its only try was invalid; or its only try was
/// disturbed and the budget leaves room. Decided from the records alone, so that an interrupted study continues as if
/// nothing had happened.
pub(super) fn is_due(plan: &Plan, budget_s: Option<f64>, records: &[CellRecord], cell: &str, block: u32) -> bool {
    let mut tries = records
        .iter()
        .filter(|record| record.block == block && record.cell == cell);
    let (Some(first), second) = (tries.next(), tries.next()) else {
        return true;
    };
    if second.is_some() {
        return false;
    }
    // A disturbance passes; a server that cannot be measured does not.
    first.status == CellStatus::Invalid || (first.disturbed && room_for_another_try(plan, budget_s, records))
}

/// Whether what was spent beyond the plan so far is less than what the budget leaves beyond it, at the pace that the cells
/// have kept: a second try is worth less than a first one in another block.
fn room_for_another_try(plan: &Plan, budget_s: Option<f64>, records: &[CellRecord]) -> bool {
    /// Tries beyond the plan where no budget is given, as a part of the plan.
    const EXTRA: f64 = 0.25;
    let spent = Spent::of(plan, records);
    let planned_s = (plan.expected_s() - plan.expected.start_s) * spent.pace();
    spent.again_s < budget_s.map_or(EXTRA * planned_s, |budget_s| budget_s - planned_s)
}

/// What the tries so far have taken, seconds.
#[derive(Debug, Default)]
pub(super) struct Spent {
    /// The first tries.
    first_s: f64,
    /// What was expected of those.
    expected_s: f64,
    /// All later ones.
    again_s: f64,
}

impl Spent {
    pub(super) fn of<'r>(plan: &Plan, records: impl IntoIterator<Item = &'r CellRecord>) -> Self {
        let cells = plan.cells.iter();
        let expected: BTreeMap<&str, f64> = cells.map(|cell| (cell.id.as_str(), plan.cell_s(cell))).collect();
        let mut seen = BTreeSet::new();
        let mut spent = Self::default();
        for record in records {
            if seen.insert((record.block, record.cell.as_str())) {
                spent.first_s += record.seconds;
                // What cannot run takes no time.
                if matches!(record.status, CellStatus::Skipped | CellStatus::Failed) {
                    continue;
                }
                spent.expected_s += expected.get(record.cell.as_str()).copied().unwrap_or_default();
            } else {
                spent.again_s += record.seconds;
            }
        }
        spent
    }

    /// How long the first tries took, as a multiple of what was expected of them; 1 before there are any.
    pub(super) fn pace(&self) -> f64 {
        if self.expected_s > 0.0 {
            self.first_s / self.expected_s
        } else {
            1.0
        }
    }
}

/// Whether a block of these cells would pass the budget, at the pace of the blocks before, with their second tries.
pub(super) fn over_budget(
    plan: &Plan,
    wanted: &Wanted,
    budget_s: Option<f64>,
    records: &[CellRecord],
    block: u32,
) -> bool {
    let Some(budget_s) = budget_s.filter(|_| block > 0) else {
        return false;
    };
    let spent = Spent::of(plan, records.iter().filter(|record| record.block < block));
    let spent_s = spent.first_s + spent.again_s;
    let cells = plan.cells.iter();
    let next = cells.filter(|cell| wanted.has(cell) && !plan.unavailable.contains_key(&cell.variant));
    let next_s: f64 = next.map(|cell| plan.cell_s(cell)).sum();
    spent_s + next_s * spent_s / spent.expected_s.max(f64::MIN_POSITIVE) > budget_s
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Choices;
    use crate::testing;

    /// Blocks of which each took a second for each that was expected.
    fn blocks(plan: &Plan, count: u32) -> Vec<CellRecord> {
        let cells = |block| plan.cells.iter().map(move |cell| (cell, block));
        let record = |(cell, block): (&Cell, u32)| CellRecord {
            seconds: plan.cell_s(cell),
            ..testing::record(&cell.id, block, 0.1)
        };
        (0..count).flat_map(cells).map(record).collect()
    }

    #[test]
    fn a_budget_ends_a_study_between_blocks_by_the_records_alone() {
        let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
        let records = blocks(&plan, 4);
        let block_s = plan.expected.block_s;
        let ends =
            |wanted: &Wanted, budget: f64, block| over_budget(&plan, wanted, Some(budget * block_s), &records, block);
        let all = Wanted::default();
        assert!(!over_budget(&plan, &all, None, &records, 4));
        assert!(!ends(&all, 3.1, 2));
        assert!(ends(&all, 3.1, 3));
        assert!(!ends(&all, 0.1, 0), "the first block always runs");
        let one = Wanted {
            looks: 1,
            open: Some(BTreeSet::from([plan.cells[0].id.clone()])),
        };
        assert!(!ends(&one, 3.4, 3), "a block of one cell is shorter");
    }

    #[test]
    fn only_what_is_open_is_run_until_nothing_is() {
        let experiment = testing::EXPERIMENT.replacen("seconds = 1", "seconds = 1\nlooks = 2", 1);
        let source = crate::experiment::Source {
            file: "test.toml".to_owned(),
            text: experiment,
        };
        let experiment = crate::experiment::Experiment::parse(&source).expect("it parses");
        let mut plan = Plan::resolve(&experiment, &Choices::default(), Some(1000.0)).expect("it resolves");
        plan.blocks_s = Some(20.0 * plan.expected.block_s);
        let records = blocks(&plan, 12);
        let mut wanted = Wanted::default();
        wanted.advance(&plan, &records, 9);
        assert!(
            plan.cells.iter().all(|cell| wanted.has(cell)) && !wanted.is_settled(),
            "before the look"
        );
        wanted.advance(&plan, &records, 10);
        // All values are equal, so `grows` and `dearer` are refuted by ten blocks, and `flat` is confirmed.
        assert!(wanted.is_settled() && plan.cells.iter().all(|cell| wanted.has(cell)));
        let varying: Vec<CellRecord> = records
            .iter()
            .map(|record| match (record.variant.as_str(), record.block % 2) {
                ("flat", 0) if record.cell.contains("idle=20") => CellRecord {
                    meters: testing::record(&record.cell, 0, 0.2).meters,
                    ..record.clone()
                },
                _ => record.clone(),
            })
            .collect();
        let mut wanted = Wanted::default();
        wanted.advance(&plan, &varying, 10);
        let needed: Vec<&str> = plan
            .cells
            .iter()
            .filter(|cell| wanted.has(cell))
            .map(|cell| cell.id.as_str())
            .collect();
        assert!(
            !wanted.is_settled() && needed.iter().all(|id| id.starts_with("flat")),
            "{needed:?}"
        );
    }

    #[test]
    fn a_cell_is_tried_again_once_when_it_was_invalid_or_disturbed() {
        let valid = testing::record("a", 0, 0.1);
        let mut invalid = valid.clone();
        invalid.status = CellStatus::Invalid;
        let mut skipped = valid.clone();
        skipped.status = CellStatus::Skipped;
        let mut disturbed = valid.clone();
        disturbed.disturbed = true;
        let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
        let due_within = |budget_s: Option<f64>, records: &[&CellRecord]| {
            let records: Vec<CellRecord> = records.iter().map(|&record| record.clone()).collect();
            is_due(&plan, budget_s, &records, "a", 0)
        };
        let due = |records: &[&CellRecord]| due_within(None, records);
        assert!(due(&[]));
        assert!(!due(&[&valid]));
        assert!(!due(&[&skipped]));
        assert!(due(&[&invalid]));
        assert!(!due(&[&invalid, &invalid]));
        assert!(!due(&[&invalid, &valid]));
        assert!(due(&[&disturbed]));
        assert!(!due(&[&disturbed, &disturbed]));
        assert!(!due_within(Some(0.1), &[&disturbed]), "the budget leaves no room");
        assert!(is_due(&plan, None, std::slice::from_ref(&valid), "a", 1));
    }

    #[test]
    fn a_study_that_is_slower_than_planned_spends_its_budget_on_blocks() {
        let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
        let mut disturbed = testing::record(&plan.cells[0].id, 0, 0.1);
        disturbed.cell.clone_from(&plan.cells[0].id);
        disturbed.disturbed = true;
        let expected_s = plan.cells[0].time.expected_s(plan.cells[0].connections);
        let due_at = |pace: f64| {
            let mut record = disturbed.clone();
            record.seconds = pace * expected_s;
            is_due(&plan, Some(1.5 * plan.expected_s()), &[record], &plan.cells[0].id, 0)
        };
        assert!(due_at(0.5) && due_at(1.0) && due_at(1.4));
        assert!(!due_at(1.6) && !due_at(5.0));
    }
}
