//! One claim, before it is judged.

use super::cells::Cells;

/// One statement.
pub(super) struct Claim {
    pub(super) id: &'static str,
    pub(super) studies: &'static [&'static str],
    /// The figure or table that it is about.
    pub(super) about: &'static str,
    pub(super) text: &'static str,
    /// What the value is, in words.
    pub(super) what: &'static str,
    pub(super) value: fn(Cells<'_>) -> Option<f64>,
    pub(super) at_least: Option<f64>,
    pub(super) at_most: Option<f64>,
    /// The same claim of live studies, by study and id, in the order of `studies`; one or none for all of them.
    pub(super) live: &'static [(&'static str, &'static str)],
}
