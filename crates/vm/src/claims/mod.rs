//! What the paper says of its figures and its table 1, judged on load curves.
//!
//! A value is exact, so it has no interval. Only the bounds decide: those of the live study, where it has the same claim.

mod cells;
mod claim;
mod rows;

use c10k_record::CostTable;
use serde::{Deserialize, Serialize};

use cells::Cells;
use claim::Claim;
use rows::CLAIMS;

/// A judged claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Its id.
    pub claim: String,
    /// The study whose table it is judged on.
    pub study: String,
    /// The figure or table of the paper.
    pub about: String,
    /// What the paper says.
    pub text: String,
    /// What the value is, in words.
    pub what: String,
    /// The value, six digits.
    pub value: f64,
    /// The claim holds from here.
    pub at_least: Option<f64>,
    /// The claim holds up to here.
    pub at_most: Option<f64>,
    /// Whether it holds.
    pub holds: bool,
    /// The same claim of a live study, by its study and its id.
    pub live: Option<(String, String)>,
}

/// The claims of a table, judged. One of which the table lacks a cell is left out.
#[must_use]
pub fn judge(table: &CostTable) -> Vec<Verdict> {
    CLAIMS.iter().filter_map(|claim| claim.judge(table)).collect()
}

impl Claim {
    fn judge(&self, table: &CostTable) -> Option<Verdict> {
        let place = self.studies.iter().position(|study| *study == table.study)?;
        let value = six_digits((self.value)(Cells(&table.cells)).filter(|value| value.is_finite())?);
        let live = self.live.get(place).or(self.live.first());
        Some(Verdict {
            claim: self.id.to_owned(),
            study: table.study.clone(),
            about: self.about.to_owned(),
            text: self.text.to_owned(),
            what: self.what.to_owned(),
            value,
            at_least: self.at_least,
            at_most: self.at_most,
            holds: self.at_least.is_none_or(|bound| value >= bound) && self.at_most.is_none_or(|bound| value <= bound),
            live: live.map(|(study, id)| ((*study).to_owned(), (*id).to_owned())),
        })
    }
}

/// The value that is read from a file has these digits in common with the one that was written.
fn six_digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use rows::{CONNECTIONS, SIGNALS, TABLE_1};

    fn committed() -> Vec<CostTable> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/vm");
        let files = std::fs::read_dir(folder).expect("the folder is there");
        let paths = files.filter_map(|file| Some(file.ok()?.path()));
        let tables = paths.filter(|path| path.extension().is_some_and(|kind| kind == "json"));
        tables
            .filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok())
            .collect()
    }

    #[test]
    fn every_claim_finds_its_cells_in_the_committed_tables() {
        let judged: Vec<Verdict> = committed().iter().flat_map(judge).collect();
        for claim in CLAIMS {
            for study in claim.studies {
                let own = judged.iter().filter(|one| one.claim == claim.id && one.study == *study);
                assert_eq!(own.count(), 1, "{} of {study}", claim.id);
            }
        }
    }

    #[test]
    fn a_value_outside_of_the_bounds_refutes_the_claim() {
        let mut tables = committed();
        let table = tables
            .iter_mut()
            .find(|table| table.study == TABLE_1)
            .expect("it is committed");
        let holds = |table: &CostTable| judge(table).into_iter().find(|one| one.claim == "below-saturation");
        assert!(holds(table).is_some_and(|one| one.holds && one.value == 0.0));
        for cell in &mut table.cells {
            cell.overflows += 1;
        }
        assert!(holds(table).is_some_and(|one| !one.holds));
    }

    #[test]
    fn a_claim_of_which_a_cell_is_missing_is_not_judged() {
        let mut tables = committed();
        let table = tables
            .iter_mut()
            .find(|table| table.study == CONNECTIONS)
            .expect("it is committed");
        table.cells.retain(|cell| cell.subject != SIGNALS);
        let left = judge(table);
        assert!(!left.is_empty() && left.iter().all(|one| !one.claim.starts_with("signals")));
    }
}
