//! Studies in the guest: a plan of workloads, a table of costs, and the comparison with a table made before.

use std::collections::BTreeMap;

use c10k_event::Mechanism;
use c10k_record::{CostCell, CostRecord, CostTable, GuestRecord, SCHEMA};

use crate::{Guest, Machine, Plan, Step, VmError};

/// One study.
#[derive(Debug, Clone, Copy)]
pub struct Study {
    /// Its name on the command line.
    pub name: &'static str,
    /// The question that it answers.
    pub question: &'static str,
    /// What one unit of work is.
    pub unit: &'static str,
    workload: &'static str,
    /// The mechanisms that it is about; none for all.
    about: &'static [&'static str],
}

/// The mechanisms that have a queue of signals.
const SIGNALS: &[&str] = &["rt-signal", "rt-signal-batch", "signal-per-fd"];

/// The studies, one row each.
pub static STUDIES: &[Study] = &[
    Study {
        name: "vm/dispatch-cost",
        question: "How many instructions does it cost to learn of one event?",
        unit: "one byte written, told, and read until the source would block",
        workload: "dispatch",
        about: &[],
    },
    Study {
        name: "vm/burst-cost",
        question: "What does it cost when a source is written to many times before it is looked at?",
        unit: "one byte written; those of a burst are told and read together",
        workload: "burst",
        about: &[],
    },
    Study {
        name: "vm/queue-overflow",
        question: "When does the queue of signals overflow, and what does that cost?",
        unit: "one byte written; those of a burst are told and read together",
        workload: "overflow",
        about: SIGNALS,
    },
];

impl Study {
    /// The study of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        STUDIES.iter().find(|study| study.name == name)
    }

    /// The plan: one step for each mechanism whose name contains `only`.
    #[must_use]
    pub fn plan(&self, only: &str) -> Plan {
        let asked = |name: &str| name.contains(only) && (self.about.is_empty() || self.about.contains(&name));
        let mechanisms = Mechanism::all().filter(|mechanism| asked(mechanism.name()));
        Plan::of(
            mechanisms
                .map(|mechanism| Step::new("/c10k").arguments(["vm", "workload", self.workload, mechanism.name()])),
        )
    }

    /// Boots the guest, runs the plan, and returns its table. `watch` is told of each cell as it comes.
    ///
    /// # Errors
    /// [`VmError`]; [`VmError::Step`] where a workload failed.
    pub fn run(&self, machine: &Machine, plan: Plan, watch: &mut dyn FnMut(&CostCell)) -> Result<CostTable, VmError> {
        let mut table = CostTable {
            schema: SCHEMA,
            study: self.name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: machine.kernel.release.clone(),
            kernel_sha256: machine.kernel.sha256.clone(),
            emulator: machine.version.clone(),
            cells: Vec::new(),
            unavailable: Vec::new(),
        };
        let mut said = BTreeMap::new();
        let steps = plan.steps.clone();
        let report = Guest::new(machine, plan)?.run(&mut |record| {
            let (step, text) = match record {
                GuestRecord::Output { step, line } => (step, line),
                GuestRecord::Refused { step, reason } => (step, reason),
                _ => return,
            };
            match serde_json::from_str(text) {
                Ok(CostRecord::Cell(cell)) => {
                    watch(&cell);
                    table.cells.push(cell);
                }
                Ok(CostRecord::Unavailable { subject, reason }) => table.unavailable.push((subject, reason)),
                Err(_) => {
                    said.insert(*step, text.clone());
                }
            }
        })?;
        match report.statuses.iter().position(|status| *status != Some(0)) {
            None => Ok(table),
            Some(step) => Err(VmError::Step {
                step: steps[step].arguments.join(" "),
                said: said.remove(&step).unwrap_or_else(|| "it said nothing".to_owned()),
            }),
        }
    }
}

/// A cell that is not what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The subject.
    pub subject: String,
    /// The load.
    pub load: String,
    /// Instructions for one unit of work before; `None` where the cell is new.
    pub before: Option<f64>,
    /// Instructions for one unit of work now; `None` where the cell is gone.
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
            (Some(_), None) => write!(formatter, "{subject}, {load}: not measured any more"),
            (None, _) => write!(formatter, "{subject}, {load}: not in the table before"),
        }
    }
}

/// The cells of `now` that differ from those of `before` by more than `percent`, appeared or disappeared.
#[must_use]
pub fn changes(before: &CostTable, now: &CostTable, percent: f64) -> Vec<Change> {
    fn by_name(table: &CostTable) -> BTreeMap<(&str, &str), f64> {
        let cells = table.cells.iter();
        cells
            .map(|cell| {
                (
                    (cell.subject.as_str(), cell.load.as_str()),
                    cell.instructions_per_work(),
                )
            })
            .collect()
    }
    let (before, now) = (by_name(before), by_name(now));
    let names: std::collections::BTreeSet<_> = before.keys().chain(now.keys()).collect();
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
                })
                .collect(),
            unavailable: Vec::new(),
        }
    }

    #[test]
    fn a_change_beyond_the_gate_names_the_mechanism() {
        let before = table(&[("poll", 100_000), ("select", 100_000)]);
        let now = table(&[("poll", 100_900), ("select", 101_100)]);
        let found = changes(&before, &now, 1.0);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "select, idle=10 active=1: 10000.0 became 10110.0 instructions (+1.10%)"
        );
    }

    #[test]
    fn a_cell_that_appears_or_disappears_is_a_change() {
        let found = changes(&table(&[("poll", 1)]), &table(&[("select", 1)]), 1.0);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_plan_has_a_step_for_each_mechanism_that_is_asked_for() {
        let study = Study::named("vm/dispatch-cost").expect("in the table");
        assert_eq!(study.plan("").steps.len(), Mechanism::all().count());
        let one = study.plan("epoll-edge");
        assert_eq!(one.steps.len(), 1);
        assert_eq!(one.steps[0].arguments, ["vm", "workload", "dispatch", "epoll-edge"]);
    }
}
