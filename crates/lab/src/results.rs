//! What was measured: a study's folder read back, its records joined and found by cell and block.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use c10k_record::{CallRecord, CellRecord, CellStatus, Manifest};

use crate::LabError;
use crate::experiment::{Experiment, Source};
use crate::folder;
use crate::format::say;
use crate::measure::Measure;
use crate::plan::Plan;

/// A study as its folder holds it.
pub(crate) struct StudyData {
    pub(crate) folder: PathBuf,
    pub(crate) plan: Plan,
    pub(crate) manifest: Manifest,
    pub(crate) records: Vec<CellRecord>,
    /// What could not be read: one line each.
    pub(crate) damage: Vec<String>,
}

/// Reads a finished or unfinished study without running anything.
pub(crate) fn read(path: &Path) -> Result<StudyData, LabError> {
    let manifest = folder::read_manifest(path)?.ok_or_else(|| LabError::NoStudy { path: path.to_owned() })?;
    let source = Source {
        file: manifest.experiment_file.clone(),
        text: manifest.experiment.clone(),
    };
    let experiment = Experiment::parse(&source)?;
    let plan = Plan::of_manifest(&experiment, &manifest)?;
    let (mut read, calls) = (folder::read_records(path)?, folder::read_calls(path)?);
    read.damage.extend(calls.damage);
    read.damage.extend(keep_planned(&mut read.records, &plan, path));
    read.damage.iter().for_each(|line| say(line));
    join(&mut read.records, calls.records);
    Ok(StudyData {
        folder: path.to_owned(),
        plan,
        records: read.records,
        damage: read.damage,
        manifest,
    })
}

/// Leaves out the records of blocks that the study does not have; one line about each.
fn keep_planned(records: &mut Vec<CellRecord>, plan: &Plan, path: &Path) -> Vec<String> {
    let mut damage = Vec::new();
    records.retain(|record| {
        let is_planned = record.block < plan.blocks;
        if !is_planned {
            damage.push(format!(
                "{}: a record of '{}' has block {} of {}; it is left out and the others count",
                path.join("records.ndjson").display(),
                record.cell,
                record.block,
                plan.blocks
            ));
        }
        is_planned
    });
    damage
}

/// Gives the record of each block what was counted in the pass of the same number, so that the pass is judged like any
/// measure, block by block.
fn join(records: &mut [CellRecord], calls: Vec<CallRecord>) {
    for call in calls {
        let valid = call.status == CellStatus::Measured;
        let same = records
            .iter_mut()
            .filter(|record| record.cell == call.cell && record.block == call.pass);
        for record in same.filter(|record| valid || record.calls.is_none()) {
            record.calls = Some(call.clone());
        }
    }
}

/// The records of a study, found by cell and block.
pub(crate) struct Results<'a> {
    pub(crate) plan: &'a Plan,
    by_cell: BTreeMap<&'a str, BTreeMap<u32, &'a CellRecord>>,
}

impl<'a> Results<'a> {
    pub(crate) fn new(plan: &'a Plan, records: &'a [CellRecord]) -> Self {
        Self::before(plan, records, u32::MAX)
    }

    /// The results of the blocks before this one.
    pub(crate) fn before(plan: &'a Plan, records: &'a [CellRecord], block: u32) -> Self {
        let mut by_cell: BTreeMap<&str, BTreeMap<u32, &CellRecord>> = BTreeMap::new();
        for record in records.iter().filter(|record| record.block < block) {
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

    /// The records of the valid blocks of a cell.
    pub(crate) fn valid(&self, cell: &str) -> impl Iterator<Item = &'a CellRecord> + use<'a> {
        self.of(cell).filter(|record| record.status == CellStatus::Measured)
    }

    /// The measure in each valid block of a cell.
    pub(crate) fn values(&self, cell: &str, measure: &Measure) -> BTreeMap<u32, f64> {
        self.valid(cell)
            .filter_map(|record| Some((record.block, measure.read(record)?)))
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
    pub(crate) fn along(
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
        (CellStatus::Skipped | CellStatus::Failed, _) => 0,
    }
}

#[cfg(test)]
mod tests;
