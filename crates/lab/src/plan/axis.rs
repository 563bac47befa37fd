//! Axes and their levels.

use c10k_units::display::thousands;

use crate::experiment::options::OptionRow;
use crate::experiment::value::Kind;
use crate::experiment::{LevelFilter, flag_text};

/// An option that is varied.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    /// As the experiment names it: the current or the former name of the option.
    pub(crate) name: String,
    pub(crate) row: &'static OptionRow,
    pub(crate) levels: Vec<Level>,
}

/// One value on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Level {
    /// As the experiment has it.
    pub(crate) written: String,
    /// In the unit of the option, with fractions of the saturation resolved.
    pub(crate) value: f64,
    /// The same as the flag of a command, exactly.
    pub(crate) flag: String,
}

impl Axis {
    /// A level in words: `6,000 idle connections`, `10 ms of work per request`, `rate 6.67% (5,300/s)`.
    pub(crate) fn describe(&self, level: usize) -> String {
        let level = &self.levels[level];
        match self.row.kind {
            Kind::Count => format!("{} {}", thousands(level.value), self.row.label),
            Kind::Rate if level.written.ends_with('%') => {
                format!("{} {} ({}/s)", self.name, level.written, thousands(level.value))
            }
            Kind::Rate => format!("{} requests/s", thousands(level.value)),
            Kind::Size => format!("{} bytes", thousands(level.value)),
            Kind::Duration => format!("{} of {}", self.row.kind.text(level.value), self.row.label),
            Kind::Word => format!("{} {}", self.name, level.written),
        }
    }
}

/// Every combination of level indices that `filter` lets through, with `along` (if any) left at 0.
pub(super) fn combinations(axes: &[Axis], along: Option<usize>, filter: &LevelFilter) -> Vec<Vec<usize>> {
    let mut combinations = vec![Vec::new()];
    for (index, axis) in axes.iter().enumerate() {
        let wanted = filter
            .get(axis.name.as_str())
            .and_then(|value| flag_text(value.get_ref()));
        let levels: Vec<usize> = if along == Some(index) {
            vec![0]
        } else {
            (0..axis.levels.len())
                .filter(|&level| wanted.as_ref().is_none_or(|text| *text == axis.levels[level].written))
                .collect()
        };
        combinations = combinations
            .iter()
            .flat_map(|before: &Vec<usize>| {
                levels.iter().map(move |&level| {
                    let mut longer = before.clone();
                    longer.push(level);
                    longer
                })
            })
            .collect();
    }
    combinations
}
