//! The windows of a cell: the same work is measured several times, and the median counts.

use c10k_record::CostCell;

/// Windows of a cell.
pub(super) const WINDOWS: usize = 9;

/// The window of median cost. The kernel's background work falls into a few windows only, so the median does not include it.
pub(super) fn median(mut windows: Vec<CostCell>) -> CostCell {
    windows.sort_by_key(|window| window.instructions);
    let middle = windows.len() / 2;
    windows.swap_remove(middle)
}
