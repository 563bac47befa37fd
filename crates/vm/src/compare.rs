//! The comparison of a table with an earlier one.

use std::collections::{BTreeMap, BTreeSet};

use c10k_record::CostTable;
use c10k_units::Filter;

/// A cell that has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The subject.
    pub subject: String,
    /// The load.
    pub load: String,
    /// Instructions per unit of work before; `None` if the cell is new.
    pub before: Option<f64>,
    /// Instructions per unit of work now; `None` if the cell was not measured.
    pub now: Option<f64>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { subject, load, .. } = self;
        match (self.before, self.now) {
            (Some(before), Some(now)) => {
                let percent = 100.0 * (now / before - 1.0);
                write!(
                    formatter,
                    "{subject}, {load}: {before:.1} became {now:.1} instructions ({percent:+.2}%)"
                )
            }
            (Some(_), None) => write!(formatter, "{subject}, {load}: no longer measured"),
            (None, _) => write!(formatter, "{subject}, {load}: not in the table before"),
        }
    }
}

/// The cells that `filter` selects and that differ between the tables by more than `percent`, or are in one table only.
#[must_use]
pub fn changes(before: &CostTable, now: &CostTable, filter: &Filter, percent: f64) -> Vec<Change> {
    fn by_name<'t>(table: &'t CostTable, filter: &Filter) -> BTreeMap<(&'t str, &'t str), f64> {
        let cells = table.cells.iter();
        let cells = cells.filter(|cell| filter.matches(&cell.name()));
        cells
            .map(|cell| {
                (
                    (cell.subject.as_str(), cell.load.as_str()),
                    cell.instructions_per_work(),
                )
            })
            .collect()
    }
    let (before, now) = (by_name(before, filter), by_name(now, filter));
    let names: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    names
        .into_iter()
        .map(|name| Change {
            subject: name.0.to_owned(),
            load: name.1.to_owned(),
            before: before.get(name).copied(),
            now: now.get(name).copied(),
        })
        .filter(|change| match (change.before, change.now) {
            (Some(before), Some(now)) => 100.0 * (now / before - 1.0).abs() > percent,
            _ => true,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use c10k_record::{CostCell, SCHEMA};

    fn table(cells: &[(&str, u64)]) -> CostTable {
        CostTable {
            schema: SCHEMA,
            study: "vm/dispatch-cost".to_owned(),
            version: String::new(),
            kernel: String::new(),
            kernel_sha256: String::new(),
            emulator: String::new(),
            cells: cells
                .iter()
                .map(|(subject, instructions)| CostCell {
                    subject: (*subject).to_owned(),
                    load: "idle=10 active=1".to_owned(),
                    work: 10,
                    instructions: *instructions,
                    events: 10,
                    signals: 0,
                    overflows: 0,
                    scan: None,
                    curve: None,
                })
                .collect(),
            unavailable: Vec::new(),
        }
    }

    #[test]
    fn a_change_beyond_the_tolerance_names_the_subject() {
        let before = table(&[("poll", 100_000), ("select", 100_000)]);
        let now = table(&[("poll", 100_900), ("select", 101_100)]);
        let found = changes(&before, &now, &Filter::default(), 1.0);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "select, idle=10 active=1: 10000.0 became 10110.0 instructions (+1.10%)"
        );
    }

    #[test]
    fn a_cell_that_appears_or_disappears_is_a_change() {
        let found = changes(
            &table(&[("poll", 1)]),
            &table(&[("select", 1)]),
            &Filter::default(),
            1.0,
        );
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn cells_that_the_filter_does_not_select_are_ignored() {
        let (before, now) = (table(&[("poll", 1), ("select", 1)]), table(&[("poll", 1)]));
        let filter = "poll".parse().expect("any text is a filter");
        assert_eq!(changes(&before, &now, &filter, 1.0), []);
    }
}
