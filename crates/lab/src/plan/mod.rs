//! The plan of a study: every variant at every combination of levels, with the exact commands.
//!
//! A plan depends only on the experiment, the choices on the command line and the measured saturation. Planning again from a
//! manifest gives the same cells in the same order.

mod axis;
mod background;
mod cell;
mod choices;
mod mix;
mod network;
mod overload;
mod resolve;
mod variant;

use std::collections::BTreeMap;
use std::time::Duration;

use c10k_record::CellStatus;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_pcg::Pcg64Mcg;

use crate::experiment::{Experiment, LevelFilter};
pub(crate) use axis::{Axis, Level};
pub(crate) use cell::Cell;
pub(crate) use choices::{Budget, Choices, Unavailable, fresh_seed};
pub(crate) use variant::{ExternalServer, Variant};

/// Everything that will run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) experiment: Experiment,
    pub(crate) axes: Vec<Axis>,
    pub(crate) variants: Vec<Variant>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) blocks: u32,
    /// Passes in which system calls are counted, after the blocks.
    pub(crate) call_passes: u32,
    pub(crate) seed: u64,
    /// The measured rate that levels in percent are fractions of, requests per second.
    pub(crate) saturation: Option<f64>,
    /// Variants that cannot run. Their cells are skipped or failed, the plan has no time for them, and claims do not use them.
    pub(crate) unavailable: BTreeMap<usize, Unavailable>,
    /// Whether the servers of all cells run for the whole study, and a block measures a window of each.
    pub(crate) interleaved: bool,
    /// How often the claims are judged.
    pub(crate) looks: u32,
    /// The time for the blocks, seconds, if there is a budget: known when the study runs, and afterwards.
    pub(crate) blocks_s: Option<f64>,
    /// Expected durations, seconds.
    pub(crate) expected: Expected,
}

/// How long the parts of a study are expected to take, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Expected {
    /// Starting the servers that run for the whole study, and opening their connections; 0 if each cell starts its own.
    pub(crate) start_s: f64,
    /// One block.
    pub(crate) block_s: f64,
    /// One counting pass.
    pub(crate) pass_s: f64,
}

impl Plan {
    /// The cells of a block in the order in which they run: groups that are compared in random order, and the cells of each in
    /// random order, so that what is compared runs close together in time. A group is the variants at a combination of levels,
    /// the most frequent comparison; or, where windows are compared along one axis only, a variant along that axis.
    pub(crate) fn order(&self, block: u32) -> Vec<usize> {
        let mut random = Pcg64Mcg::seed_from_u64(self.seed.wrapping_add(u64::from(block)));
        let along = self.only_axis_compared().filter(|_| self.interleaved);
        let mut by_group: BTreeMap<(usize, Vec<usize>), Vec<usize>> = BTreeMap::new();
        for (index, cell) in self.cells.iter().enumerate() {
            by_group.entry(self.group(cell, along)).or_default().push(index);
        }
        let mut groups: Vec<Vec<usize>> = by_group.into_values().collect();
        groups.shuffle(&mut random);
        groups.iter_mut().for_each(|group| group.shuffle(&mut random));
        groups.concat()
    }

    /// The variant and the levels that name the group of a cell.
    fn group(&self, cell: &Cell, along: Option<usize>) -> (usize, Vec<usize>) {
        let Some(axis) = along else {
            return (0, cell.levels.clone());
        };
        // The control is compared with its original.
        let variant = self.variants[cell.variant].control_of.unwrap_or(cell.variant);
        let mut levels = cell.levels.clone();
        levels[axis] = 0;
        (variant, levels)
    }

    /// The axis along which the claims compare, if it is the only one and no claim compares variants.
    fn only_axis_compared(&self) -> Option<usize> {
        let claims = &self.experiment.claims;
        let mut axes = claims.iter().filter_map(|claim| claim.along.as_ref());
        let first = axes.next()?;
        let is_only = axes.all(|other| other.get_ref() == first.get_ref());
        let compares_variants = claims.iter().any(|claim| claim.against.is_some());
        (is_only && !compares_variants).then(|| self.axis(first.get_ref()))?
    }

    /// Why a cell cannot run here, if that was found out before the plan was made.
    pub(crate) fn why_unavailable(&self, cell: &Cell) -> Option<&str> {
        self.unavailable.get(&cell.variant)?.reason.as_deref()
    }

    /// How a cell ends that is not run because of [`Self::why_unavailable`].
    pub(crate) fn status_without_run(&self, cell: &Cell) -> CellStatus {
        match self.unavailable.get(&cell.variant) {
            Some(unavailable) if unavailable.has_failed => CellStatus::Failed,
            _ => CellStatus::Skipped,
        }
    }

    /// What is expected of the shortest study of this plan: one block, the passes, and what the rates are fractions of.
    pub(crate) fn least(&self) -> Duration {
        let saturation = self.experiment.saturation.as_ref().zip(self.saturation_cell());
        let saturation_s = saturation.map_or(0.0, |(spec, cell)| {
            f64::from(*spec.tries.get_ref()) * cell.time.expected_s(cell.connections)
        });
        // A millisecond is more than any rounding of the number of blocks.
        Duration::from_secs_f64(saturation_s + self.with_blocks_s(1)) + Duration::from_millis(1)
    }

    /// What all blocks and passes are expected to take, seconds.
    pub(crate) fn expected_s(&self) -> f64 {
        self.with_blocks_s(self.blocks)
    }

    /// The same, where a budget may end it before all blocks are run.
    pub(crate) fn expected_within(&self, budget_s: Option<f64>) -> f64 {
        budget_s.map_or(self.expected_s(), |budget_s| self.expected_s().min(budget_s))
    }

    fn with_blocks_s(&self, blocks: u32) -> f64 {
        let Expected {
            start_s,
            block_s,
            pass_s,
        } = self.expected;
        start_s + block_s * f64::from(blocks) + pass_s * f64::from(self.call_passes)
    }

    /// So many blocks in words; of how many, unless their time alone decides that.
    pub(crate) fn blocks_text(&self, blocks: u32) -> String {
        match self.looks {
            1 => format!("{blocks} of {} blocks", self.blocks),
            _ => format!("{blocks} blocks"),
        }
    }

    /// What a cell is expected to take in a block, seconds.
    pub(crate) fn cell_s(&self, cell: &Cell) -> f64 {
        match &cell.window {
            Some(window) if self.interleaved => window.time.window_s(),
            _ => cell.time.expected_s(cell.connections),
        }
    }

    /// Whether a server of the plan needs a directory of files.
    pub(crate) fn needs_disk(&self) -> bool {
        self.cells.iter().any(|cell| cell.needs_disk)
    }

    /// The cell of `variant` at `levels`, if the plan has it.
    pub(crate) fn cell(&self, variant: usize, levels: &[usize]) -> Option<&Cell> {
        self.cells
            .iter()
            .find(|cell| cell.variant == variant && cell.levels == levels)
    }

    /// The variant of that name.
    pub(crate) fn variant(&self, name: &str) -> Option<usize> {
        self.variants.iter().position(|variant| variant.name == name)
    }

    /// The axis of that name.
    pub(crate) fn axis(&self, name: &str) -> Option<usize> {
        self.axes.iter().position(|axis| axis.name == name)
    }

    /// Every combination of level indices that `filter` lets through, with `along` (if any) left at 0.
    pub(crate) fn combinations(&self, along: Option<usize>, filter: &LevelFilter) -> Vec<Vec<usize>> {
        axis::combinations(&self.axes, along, filter)
    }

    /// The levels of a combination in words, without the axis `along`; empty if there is no other axis.
    pub(crate) fn levels_text(&self, levels: &[usize], along: Option<usize>) -> String {
        let words: Vec<String> = self
            .axes
            .iter()
            .zip(levels)
            .enumerate()
            .filter(|(index, (axis, _))| Some(*index) != along && axis.levels.len() > 1)
            .map(|(_, (axis, &level))| axis.describe(level))
            .collect();
        words.join(", ")
    }
}

#[cfg(test)]
mod tests;
