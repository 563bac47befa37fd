//! The row of a probe: its name, its options, its figures, and what runs it.

use c10k_record::{ProbeFigure, ProbeRow};

use crate::error::ProbeError;
use crate::option::OptionRow;
use crate::values::Values;

/// One row of [`PROBES`](crate::PROBES).
#[derive(Debug)]
pub struct Probe {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it measures, in one line.
    pub summary: &'static str,
    /// The options that it takes.
    pub options: &'static [OptionRow],
    /// The figures that a run may have.
    pub figures: &'static [Figure],
    pub(crate) run: fn(&Values) -> Outcome,
}

/// A figure of a probe: a value in its record, and a measure for the claims of an experiment.
#[derive(Debug)]
pub struct Figure {
    /// Its key in the record.
    pub key: &'static str,
    /// The name of the measure.
    pub measure: &'static str,
    /// What it is, for axes and tables.
    pub label: &'static str,
    /// Its unit.
    pub unit: &'static str,
}

/// The time of one operation: most probes have this figure.
pub(crate) const COST_US: Figure = Figure {
    key: "cost_us",
    measure: "cost-us",
    label: "time of one operation",
    unit: "µs",
};

/// What a run measured: the number of operations that were timed, and its figures by their keys.
pub(crate) struct Figures {
    pub(crate) operations: u64,
    pub(crate) values: Vec<(&'static str, f64)>,
}

pub(crate) type Outcome = Result<Figures, ProbeError>;

impl Probe {
    /// The row as `c10k list --json` prints it.
    #[must_use]
    pub fn row(&self) -> ProbeRow {
        ProbeRow {
            name: self.name.to_owned(),
            summary: self.summary.to_owned(),
            options: self.options.iter().map(OptionRow::row).collect(),
            figures: self.figures.iter().map(Figure::row).collect(),
        }
    }
}

impl Figure {
    fn row(&self) -> ProbeFigure {
        ProbeFigure {
            key: self.key.to_owned(),
            measure: self.measure.to_owned(),
            label: self.label.to_owned(),
            unit: self.unit.to_owned(),
        }
    }
}
