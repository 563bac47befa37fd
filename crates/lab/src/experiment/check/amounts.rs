//! Amounts that are no demand at all, or that no study can meet: they are refused before anything runs.

use toml::Spanned;

use super::{Check, Checker};
use crate::error::LabError;
use crate::experiment::options::{self, OptionRow, Smallest};
use crate::experiment::spec::ClaimSpec;
use crate::experiment::value::Value;
use crate::rows;

/// The most blocks, counting passes and tries that an experiment may ask for.
const REPEATS_MAX: u64 = 10_000;

/// The most looks: each takes a part of the error, so that many settle less than few.
const LOOKS_MAX: u64 = 20;

/// The most cells of a block.
const CELLS_MAX: usize = 10_000;

impl Checker<'_> {
    /// How often, and for how long.
    pub(super) fn amounts(&self) -> Check {
        let experiment = self.experiment;
        let repeats = |amount: &Spanned<u32>| Spanned::new(amount.span(), u64::from(*amount.get_ref()));
        let mut amounts = vec![
            ("seconds", 1, u64::from(u32::MAX), experiment.seconds.clone()),
            ("repeats", 1, REPEATS_MAX, repeats(&experiment.repeats)),
            ("call-passes", 0, REPEATS_MAX, repeats(&experiment.call_passes)),
            ("looks", 1, LOOKS_MAX, repeats(&experiment.looks)),
        ];
        let tries = experiment
            .saturation
            .as_ref()
            .map(|saturation| repeats(&saturation.tries));
        amounts.extend(tries.map(|tries| ("tries", 1, REPEATS_MAX, tries)));
        for (name, least, most, amount) in amounts {
            if !(least..=most).contains(amount.get_ref()) {
                let problem = format!("'{name}' is {}", amount.get_ref());
                return Err(self
                    .source
                    .error(&amount.span(), problem, format!("write {least} to {most}")));
            }
        }
        Ok(())
    }

    /// The number of cells is the product of the axes and the variants.
    pub(super) fn cells(&self) -> Check {
        let axes = self.experiment.axes.values().map(Vec::len);
        let cells = axes.fold(self.experiment.variants.len(), usize::saturating_mul);
        if cells <= CELLS_MAX {
            return Ok(());
        }
        let first = self.experiment.axes.keys().next().map_or(0..0, Spanned::span);
        let problem = format!("the levels of all axes times the variants are {cells} cells");
        Err(self.source.error(
            &first,
            problem,
            format!("a block has at most {CELLS_MAX}: leave out some levels"),
        ))
    }

    /// A value that nothing could run with.
    pub(super) fn in_range(&self, row: &OptionRow, number: Value, value: &Spanned<toml::Value>) -> Check {
        if row.name == options::OTHER[1] && number.number() > 100.0 {
            let problem = format!("'{}' is {}", row.name, value.get_ref());
            return Err(self
                .source
                .error(&value.span(), problem, "it is in percent: write 0 to 100"));
        }
        if row.smallest == Smallest::Zero || number.number() > 0.0 {
            return Ok(());
        }
        let problem = format!("'{}' is {}", row.name, value.get_ref());
        Err(self.source.error(&value.span(), problem, "write more than 0"))
    }

    /// The counts that the probe takes for this option.
    pub(super) fn probe_count(&self, probe: &str, option: &str, value: &Spanned<toml::Value>) -> Check {
        let row = rows::probe(probe).and_then(|row| row.options.iter().find(|row| row.name == option));
        let count = value.get_ref().as_integer().and_then(|count| u64::try_from(count).ok());
        let (Some(row), Some(count)) = (row, count) else {
            return Ok(());
        };
        let (least, most) = (row.least.unwrap_or(0), row.most.unwrap_or(u64::MAX));
        if (least..=most).contains(&count) {
            return Ok(());
        }
        let problem = format!("'{option}' of the probe {probe} is {count}");
        Err(self
            .source
            .error(&value.span(), problem, format!("write {least} to {most}")))
    }

    /// The bounds of a claim are numbers, and some value lies within them and some outside.
    pub(super) fn bounds(&self, claim: &ClaimSpec) -> Check {
        let impossible = |problem: &str, remedy: &str| -> Result<(), LabError> {
            Err(self.source.error(&claim.id.span(), problem, remedy))
        };
        let bounds = [claim.at_least, claim.at_most];
        if bounds == [None, None] {
            return impossible(
                "a claim that nothing could refute",
                "give 'at-least', 'at-most' or both",
            );
        }
        if !bounds.into_iter().flatten().all(f64::is_finite) {
            return impossible(
                "a bound that is no finite number",
                "write a number for 'at-least' and 'at-most', or leave one out",
            );
        }
        if claim.at_least.zip(claim.at_most).is_some_and(|(low, high)| low > high) {
            return impossible("'at-least' is above 'at-most'", "exchange them");
        }
        Ok(())
    }
}
