//! Studies in the guest: what is measured, and the tables that come of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use c10k_event::Mechanism;
use c10k_record::{CostCell, CostRecord, CostTable, GuestRecord, GuestStudyRow, ModelRow, SCHEMA};
use c10k_units::Filter;

use crate::contestants::Contestants;
use crate::workload::{self, BARE};
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
    /// How long it takes on the host, roughly: an emulated processor is slow.
    pub seconds: u64,
    subjects: Subjects,
}

/// What a study is about, and what is done with it.
#[derive(Debug, Clone, Copy)]
enum Subjects {
    /// A workload on every mechanism.
    Mechanisms(&'static str),
    /// A workload on those that have a queue of signals.
    SignalMechanisms(&'static str),
    /// A workload on the server: each mechanism in a loop of one thread, and each model.
    Servers(&'static str),
    /// The dispatch benchmark's contestants.
    Contestants,
}

/// The mechanisms that have a queue of signals.
const SIGNALS: &[&str] = &["rt-signal", "rt-signal-batch", "signal-per-fd"];

/// The model and the mechanism that are varied against the other.
const MODEL: &str = "event-loop";
const MECHANISM: &str = "epoll-edge";

/// The studies, one row each.
pub static STUDIES: &[Study] = &[
    Study {
        name: "vm/dispatch-cost",
        question: "How many instructions does it cost to learn of one event?",
        unit: "one byte written, told, and read until the source would block",
        seconds: 60,
        subjects: Subjects::Mechanisms("dispatch"),
    },
    Study {
        name: "vm/burst-cost",
        question: "What does it cost when a source is written to many times before it is looked at?",
        unit: "one byte written; those of a burst are told and read together",
        seconds: 20,
        subjects: Subjects::Mechanisms("burst"),
    },
    Study {
        name: "vm/queue-overflow",
        question: "When does the queue of signals overflow, and what does that cost?",
        unit: "one byte written; those of a burst are told and read together",
        seconds: 20,
        subjects: Subjects::SignalMechanisms("overflow"),
    },
    Study {
        name: "vm/request-cost",
        question: "How many instructions does a request cost a server, with each mechanism and each model?",
        unit: "one request for 92 bytes, answered; without the client's share",
        seconds: 120,
        subjects: Subjects::Servers("request"),
    },
    Study {
        name: "vm/peers",
        question: "What does an event cost in this library, in a loop written by hand, and in other libraries?",
        unit: "one byte read and one written, on a ring of socket pairs (libevent's benchmark)",
        seconds: 60,
        subjects: Subjects::Contestants,
    },
];

/// What studies are to run, and on what.
#[derive(Debug, Default)]
pub struct Selection {
    /// The studies.
    pub studies: Vec<&'static Study>,
    /// Which of their cells.
    pub filter: Filter,
    /// The server's models.
    pub models: Vec<ModelRow>,
    /// The dispatch benchmark of c10k-event, for the studies that [need](Study::needs_benchmark) it.
    pub benchmark: Option<PathBuf>,
}

/// One step of a selection's plan: the study that it belongs to, and what the guest runs.
type Steps = Vec<(&'static Study, Step)>;

impl Study {
    /// The study of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        STUDIES.iter().find(|study| study.name == name)
    }

    /// Whether it runs the dispatch benchmark of c10k-event.
    #[must_use]
    pub fn needs_benchmark(&self) -> bool {
        matches!(self.subjects, Subjects::Contestants)
    }

    /// The study as `c10k list` shows it.
    #[must_use]
    pub fn row(&self) -> GuestStudyRow {
        GuestStudyRow {
            name: self.name.to_owned(),
            question: self.question.to_owned(),
            unit: self.unit.to_owned(),
            seconds: self.seconds,
        }
    }

    /// One step for each subject of which a cell is asked for.
    fn steps(&self, filter: &Filter, models: &[ModelRow]) -> Vec<Step> {
        let all = || Mechanism::all().map(Mechanism::name);
        let (workload, subjects): (_, Vec<String>) = match self.subjects {
            Subjects::Mechanisms(workload) => (workload, all().map(str::to_owned).collect()),
            Subjects::SignalMechanisms(workload) => (workload, SIGNALS.iter().map(|name| (*name).to_owned()).collect()),
            Subjects::Servers(workload) => {
                let mechanisms = all().map(|mechanism| format!("{MODEL}/{mechanism}"));
                let others = models.iter().filter(|model| model.name != MODEL).map(|model| {
                    let mechanism = if model.mechanisms {
                        "/".to_owned() + MECHANISM
                    } else {
                        String::new()
                    };
                    model.name.clone() + &mechanism
                });
                let bare = std::iter::once(BARE.to_owned());
                (workload, bare.chain(mechanisms).chain(others).collect())
            }
            Subjects::Contestants => return Vec::new(),
        };
        let loads = workload::loads(workload);
        let asked = subjects
            .iter()
            .filter(|subject| loads.iter().any(|load| filter.matches(&format!("{subject} {load}"))));
        let only = filter.to_string();
        asked
            .map(|subject| Step::new("/c10k").arguments(["vm", "workload", workload, subject, "--only", &only]))
            .collect()
    }
}

impl Selection {
    /// Boots one guest, runs the studies in it, and returns a table for each. `watch` is told of each cell as it comes.
    ///
    /// # Errors
    /// [`VmError`]; [`VmError::Step`] where a workload failed, [`VmError::NothingMatches`] where no cell is asked for.
    pub fn run(
        &self,
        machine: &Machine,
        settings: &Plan,
        watch: &mut dyn FnMut(&Study, &CostCell),
    ) -> Result<Vec<CostTable>, VmError> {
        let contestants = self.contestants()?;
        let steps = self.steps(contestants.as_ref());
        if steps.is_empty() {
            return Err(VmError::NothingMatches {
                filter: self.filter.to_string(),
            });
        }
        let plan = Plan {
            steps: steps.iter().map(|(_, step)| step.clone()).collect(),
            ..settings.clone()
        };
        let mut guest = Guest::new(machine, plan)?;
        if let Some(contestants) = &contestants {
            contestants.add_to(&mut guest)?;
        }
        let mut harvest = Harvest::new(self, machine);
        let report = guest.run(&mut |record| harvest.take(record, &steps, watch))?;
        match report.statuses.iter().position(|status| *status != Some(0)) {
            None => Ok(harvest.tables()),
            Some(step) => Err(VmError::Step {
                step: steps[step].1.arguments.join(" "),
                said: harvest
                    .said
                    .remove(&step)
                    .unwrap_or_else(|| "it said nothing".to_owned()),
            }),
        }
    }

    fn contestants(&self) -> Result<Option<Contestants>, VmError> {
        let program = self.benchmark.as_deref();
        let program: Option<&Path> = program.filter(|_| self.studies.iter().any(|study| study.needs_benchmark()));
        program.map(Contestants::of).transpose()
    }

    fn steps(&self, contestants: Option<&Contestants>) -> Steps {
        let mut steps = Vec::new();
        for &study in &self.studies {
            let own = match (study.subjects, contestants) {
                (Subjects::Contestants, Some(contestants)) => contestants.steps(&self.filter),
                _ => study.steps(&self.filter, &self.models),
            };
            steps.extend(own.into_iter().map(|step| (study, step)));
        }
        steps
    }
}

/// What comes from the guest.
struct Harvest<'s> {
    selection: &'s Selection,
    tables: Vec<CostTable>,
    /// The last line of each step that is no record.
    said: BTreeMap<usize, String>,
}

impl<'s> Harvest<'s> {
    fn new(selection: &'s Selection, machine: &Machine) -> Self {
        let table = |study: &&Study| CostTable {
            schema: SCHEMA,
            study: study.name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: machine.kernel.release.clone(),
            kernel_sha256: machine.kernel.sha256.clone(),
            emulator: machine.version.clone(),
            cells: Vec::new(),
            unavailable: Vec::new(),
        };
        Self {
            selection,
            tables: selection.studies.iter().map(table).collect(),
            said: BTreeMap::new(),
        }
    }

    /// The tables of the studies of which a cell was asked for.
    fn tables(self) -> Vec<CostTable> {
        let mut tables = self.tables;
        tables.retain(|table| !table.cells.is_empty() || !table.unavailable.is_empty());
        tables
    }

    fn take(
        &mut self,
        record: &GuestRecord,
        steps: &[(&'static Study, Step)],
        watch: &mut dyn FnMut(&Study, &CostCell),
    ) {
        let (step, text) = match record {
            GuestRecord::Output { step, line } => (*step, line),
            GuestRecord::Refused { step, reason } => (*step, reason),
            _ => return,
        };
        let study = steps[step].0;
        let table = self.tables.iter_mut().find(|table| table.study == study.name);
        match (serde_json::from_str(text), table) {
            (Ok(CostRecord::Cell(cell)), Some(table)) => {
                if self.selection.filter.matches(&cell.name()) {
                    watch(study, &cell);
                    table.cells.push(cell);
                }
            }
            (Ok(CostRecord::Unavailable { subject, reason }), Some(table)) => table.unavailable.push((subject, reason)),
            _ => {
                self.said.insert(step, text.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(study: &str, only: &str) -> Vec<Step> {
        let model = |name: &str, mechanisms| ModelRow {
            name: name.to_owned(),
            summary: String::new(),
            mechanisms,
            available: true,
            reason: None,
        };
        let selection = Selection {
            studies: vec![Study::named(study).expect("in the table")],
            filter: only.parse().expect("any text is a filter"),
            models: vec![
                model("event-loop", true),
                model("loop-per-core", true),
                model("thread-pool", false),
            ],
            benchmark: None,
        };
        selection.steps(None).into_iter().map(|(_, step)| step).collect()
    }

    #[test]
    fn a_plan_has_a_step_for_each_mechanism_that_is_asked_for() {
        assert_eq!(steps("vm/dispatch-cost", "").len(), Mechanism::all().count());
        assert_eq!(steps("vm/dispatch-cost", "active=100").len(), Mechanism::all().count());
        assert_eq!(steps("vm/dispatch-cost", "active=7"), []);
        assert_eq!(steps("vm/queue-overflow", "epoll-edge"), []);
        let one = steps("vm/dispatch-cost", "epoll-edge active=1");
        assert_eq!(one.len(), 1);
        let expected = [
            "vm",
            "workload",
            "dispatch",
            "epoll-edge",
            "--only",
            "epoll-edge active=1",
        ];
        assert_eq!(one[0].arguments, expected);
    }

    #[test]
    fn the_servers_are_each_mechanism_in_one_loop_and_each_model() {
        let steps = steps("vm/request-cost", "");
        let subjects: Vec<&str> = steps.iter().map(|step| step.arguments[3].as_str()).collect();
        assert_eq!(subjects.len(), 1 + Mechanism::all().count() + 2);
        for subject in ["bare", "event-loop/select", "loop-per-core/epoll-edge", "thread-pool"] {
            assert!(subjects.contains(&subject), "{subjects:?}");
        }
    }

    #[test]
    fn every_study_is_named_for_the_guest() {
        assert!(STUDIES.iter().all(|study| study.name.starts_with("vm/")));
    }
}
