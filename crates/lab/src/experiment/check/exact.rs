//! Cells of the guest's tables that a claim names: they exist, and they give the statistic of the claim.

use c10k_record::CostTable;
use toml::Spanned;

use super::{Check, Checker};
use crate::experiment::spec::{CellPair, ClaimSpec, ExactSpec};
use crate::measure::{self, Measure};
use crate::statistic::{self, Statistic};
use crate::{LabError, guest_tables};

impl Checker<'_> {
    /// Every variant of the claim has its pairs of cells, and no other.
    pub(super) fn exact(&self, claim: &ClaimSpec, statistic: &Statistic) -> Check {
        let Some(exact) = &claim.exact else {
            return Ok(());
        };
        let table = self.guest_table(exact)?;
        self.has_exact_form(claim, statistic)?;
        if exact.why.get_ref().trim().is_empty() {
            return Err(self.source.error(
                &exact.why.span(),
                "'why' says nothing",
                "say what the cells are, and how they differ from what is measured",
            ));
        }
        let listed: Vec<&str> = claim.variants.iter().map(|name| name.get_ref().as_str()).collect();
        if let Some(other) = exact
            .cells
            .keys()
            .find(|name| !listed.contains(&name.get_ref().as_str()))
        {
            return Err(self.source.error(
                &other.span(),
                format!("the claim is not about the variant '{}'", other.get_ref()),
                format!("name cells of: {}", listed.join(", ")),
            ));
        }
        // A claim is about all of its variants: cells of some cannot settle it.
        let has_none = |name: &&Spanned<String>| exact.cells.get(*name).is_none_or(Vec::is_empty);
        if let Some(without) = claim.variants.iter().find(has_none) {
            return Err(self.source.error(
                &exact.table.span(),
                format!("'exact' has no cells of the variant '{}'", without.get_ref()),
                format!(
                    "add cells.{} = [[\"FROM\", \"TO\"]], or leave out 'exact'",
                    without.get_ref()
                ),
            ));
        }
        let mut pairs = exact.cells.values().flatten();
        pairs.try_for_each(|pair| self.pair(table, pair))
    }

    fn guest_table(&self, exact: &ExactSpec) -> Result<&'static CostTable, LabError> {
        guest_tables::find(exact.table.get_ref()).ok_or_else(|| {
            self.source.error(
                &exact.table.span(),
                format!("the guest has no table '{}'", exact.table.get_ref()),
                format!("there are: {}", guest_tables::names()),
            )
        })
    }

    /// Two counts of instructions give the statistic, and the measure is the cost of the same work.
    fn has_exact_form(&self, claim: &ClaimSpec, statistic: &Statistic) -> Check {
        if statistic.pair.is_none() {
            return Err(self.source.error(
                &claim.statistic.span(),
                format!("two cells of a table do not give the statistic '{}'", statistic.name),
                format!("'exact' goes with: {}", statistic::names_with_pair()),
            ));
        }
        if measure::find(claim.measure.get_ref()).is_some_and(is_cost) {
            return Ok(());
        }
        let costs: Vec<&str> = measure::all().filter(|row| is_cost(row)).map(|row| row.name).collect();
        Err(self.source.error(
            &claim.measure.span(),
            format!("instructions say nothing about '{}'", claim.measure.get_ref()),
            format!("'exact' goes with the cost of one unit of work: {}", costs.join(", ")),
        ))
    }

    fn pair(&self, table: &CostTable, pair: &Spanned<CellPair>) -> Check {
        let [from, to] = pair.get_ref().as_slice() else {
            return Err(self.source.error(
                &pair.span(),
                format!("{} cells where two are due", pair.get_ref().len()),
                "write [FROM, TO]: the lower level and the higher one, or the variant of 'against' and the variant",
            ));
        };
        let unknown = |name: &&Spanned<String>| guest_tables::cell(table, name.get_ref()).is_none();
        if let Some(name) = [from, to].into_iter().find(unknown) {
            return Err(self.source.error(
                &name.span(),
                format!("{} has no cell '{}'", table.study, name.get_ref()),
                format!("the nearest are: {}", guest_tables::nearest(table, name.get_ref())),
            ));
        }
        if from.get_ref() == to.get_ref() {
            return Err(self.source.error(
                &pair.span(),
                format!("a pair compares the cell '{}' with itself", from.get_ref()),
                "name two cells",
            ));
        }
        Ok(())
    }
}

/// Whether a measure is the time that one unit of work takes: the CPU of a request, or what a probe repeats. These are in ns or
/// µs. Response times are in ms; they include waiting, which takes no instructions.
fn is_cost(measure: &Measure) -> bool {
    matches!(measure.unit, "ns" | "µs")
}
