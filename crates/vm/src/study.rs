//! Studies in the guest: what is measured, and the tables of results.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use c10k_event::Mechanism;
use c10k_record::{CostCell, CostRecord, CostTable, GuestRecord, GuestStudyRow, ModelRow, SCHEMA};
use c10k_units::Filter;

use crate::competitors::Competitors;
use crate::error::VmError;
use crate::machine::Machine;
use crate::plan::{Plan, Step};
use crate::qemu::Guest;
use crate::workload::{self, BARE, Subject};

/// One study.
#[derive(Debug, Clone, Copy)]
pub struct Study {
    /// Its name on the command line.
    pub name: &'static str,
    /// The question that it answers.
    pub question: &'static str,
    /// What one unit of work is.
    pub unit: &'static str,
    /// The figures of the paper that it draws: throughput, CPU and response time.
    pub figures: &'static [&'static str],
    /// About how long it takes on the host, seconds. An emulated processor is slow.
    pub seconds: u64,
    subjects: Subjects,
}

/// What a study measures, and with which workload.
#[derive(Debug, Clone, Copy)]
enum Subjects {
    /// A workload on every mechanism.
    Mechanisms(&'static str),
    /// A workload on every mechanism that has a queue of signals.
    SignalMechanisms(&'static str),
    /// A workload on the server: each mechanism in one model, and each other model, on one mechanism if it takes one.
    Servers {
        workload: &'static str,
        model: &'static str,
        mechanism: &'static str,
    },
    /// A workload on the servers of the paper's load curves.
    LoadCurves(&'static str),
    /// The ways to use the `/dev/poll` of the module.
    DevPoll,
    /// The competitors of the dispatch benchmark.
    Competitors,
}

/// The studies, one row each.
pub static STUDIES: &[Study] = &[
    Study {
        name: "vm/dispatch-cost",
        question: "How many instructions does it cost to learn of one event?",
        unit: "one byte written, reported, and read until the source would block",
        figures: &[],
        seconds: 60,
        subjects: Subjects::Mechanisms("dispatch"),
    },
    Study {
        name: "vm/dev-poll-cost",
        question: "What do idle descriptors cost on /dev/poll, and what do its hints and its mapped results save?",
        unit: "one byte written, reported, and read until the source would block; without an interest set",
        figures: &[],
        seconds: 20,
        subjects: Subjects::DevPoll,
    },
    Study {
        name: "vm/burst-cost",
        question: "What does it cost if a source is written several times before it is read?",
        unit: "one byte written; those of a burst are reported and read together",
        figures: &[],
        seconds: 20,
        subjects: Subjects::Mechanisms("burst"),
    },
    Study {
        name: "vm/queue-overflow",
        question: "When does the queue of signals overflow, and what does that cost?",
        unit: "one byte written; those of a burst are reported and read together",
        figures: &[],
        seconds: 20,
        subjects: Subjects::SignalMechanisms("overflow"),
    },
    Study {
        name: "vm/request-cost",
        question: "How many instructions does a request cost a server, with each mechanism and each model?",
        unit: "one request for 92 bytes, answered; without the client's share",
        figures: &[],
        seconds: 120,
        subjects: Subjects::Servers {
            workload: "request",
            model: "event-loop",
            mechanism: "epoll-edge",
        },
    },
    Study {
        name: "vm/throughput-252-1b",
        question: "Figure 6: how many requests does each server answer, and how fast, next to 252 idle connections?",
        unit: "one reply of 1 byte on a connection of its own, without the generator",
        figures: &["figure-6a", "figure-6b", "figure-9a"],
        seconds: 300,
        subjects: Subjects::LoadCurves("curve-252-1b"),
    },
    Study {
        name: "vm/throughput-6000-1b",
        question: "Figure 7: how many requests does each server answer, and how fast, next to 6,000 idle connections?",
        unit: "one reply of 1 byte on a connection of its own, without the generator",
        figures: &["figure-7a", "figure-7b", "figure-9b"],
        seconds: 600,
        subjects: Subjects::LoadCurves("curve-6000-1b"),
    },
    Study {
        name: "vm/throughput-6000-6k",
        question: "Figure 8: the same with replies of 6 KB",
        unit: "one reply of 6,144 bytes on a connection of its own, without the generator",
        figures: &["figure-8a", "figure-8b", "figure-9c"],
        seconds: 600,
        subjects: Subjects::LoadCurves("curve-6000-6k"),
    },
    Study {
        name: "vm/peers",
        question: "What does an event cost in this library, in a loop written by hand, and in other libraries?",
        unit: "one byte read and one written, on a ring of socket pairs (libevent's benchmark)",
        figures: &[],
        seconds: 60,
        subjects: Subjects::Competitors,
    },
];

/// The studies to run, and what they need.
#[derive(Debug, Default)]
pub struct Selection {
    /// The studies.
    pub studies: Vec<&'static Study>,
    /// Which of their cells.
    pub filter: Filter,
    /// The server's models.
    pub models: Vec<ModelRow>,
    /// The dispatch benchmark of c10k-event, if a study [needs](Study::needs_benchmark) it.
    pub benchmark: Option<PathBuf>,
}

/// The steps of a plan, each with its study.
type Steps = Vec<(&'static Study, Step)>;

impl Study {
    /// The study of this name, or the one that draws the figure of this name: `figure-6` is both `figure-6a` and `figure-6b`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        let is_part = |rest: &str| rest.is_empty() || rest.starts_with(|next: char| next.is_ascii_alphabetic());
        let draws = |figure: &&str| name.starts_with("figure-") && figure.strip_prefix(name).is_some_and(is_part);
        STUDIES
            .iter()
            .find(|study| study.name == name || study.figures.iter().any(draws))
    }

    /// Whether it runs the dispatch benchmark of c10k-event.
    #[must_use]
    pub fn needs_benchmark(&self) -> bool {
        matches!(self.subjects, Subjects::Competitors)
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

    /// One step for each subject of which a cell is selected.
    fn steps(&self, filter: &Filter, models: &[ModelRow]) -> Vec<Step> {
        let (workload, subjects) = match self.subjects {
            Subjects::Mechanisms(workload) => (workload, mechanisms(|_| true)),
            Subjects::SignalMechanisms(workload) => (workload, mechanisms(|row| row.signal_queue().is_some())),
            Subjects::Servers {
                workload,
                model,
                mechanism,
            } => (workload, servers(models, model, mechanism)),
            Subjects::LoadCurves(workload) => (workload, workload::curve::subjects()),
            Subjects::DevPoll => ("dev-poll", workload::dev_poll::subjects()),
            Subjects::Competitors => return Vec::new(),
        };
        let loads = workload::loads(workload);
        let is_selected = |subject: &&Subject| {
            let mut names = loads.iter().map(|load| format!("{} {load}", subject.name));
            names.any(|name| filter.matches(&name))
        };
        subjects
            .iter()
            .filter(is_selected)
            .map(|subject| step(workload, subject, filter))
            .collect()
    }
}

fn mechanisms(is_wanted: fn(&Mechanism) -> bool) -> Vec<Subject> {
    let wanted = Mechanism::all().filter(is_wanted);
    wanted.map(|mechanism| Subject::named(mechanism.name())).collect()
}

/// The bare server, the model `varied` on every mechanism, and every other model, on `mechanism` if it takes one.
fn servers(models: &[ModelRow], varied: &str, mechanism: &str) -> Vec<Subject> {
    let server = |model: &ModelRow, mechanism: &str| Subject {
        name: match model.mechanisms {
            true => format!("{}/{mechanism}", model.name),
            false => model.name.clone(),
        },
        one_connection_per_worker: model.one_connection_per_worker,
    };
    let (varied, others): (Vec<_>, Vec<_>) = models.iter().partition(|model| model.name == varied);
    let varied = varied
        .into_iter()
        .flat_map(|model| Mechanism::all().map(move |mechanism| server(model, mechanism.name())));
    let others = others.into_iter().map(|model| server(model, mechanism));
    std::iter::once(Subject::named(BARE))
        .chain(varied)
        .chain(others)
        .collect()
}

fn step(workload: &str, subject: &Subject, filter: &Filter) -> Step {
    let step = Step::new("/c10k").arguments(["vm", "workload", workload, &subject.name, "--only", &filter.to_string()]);
    match subject.one_connection_per_worker {
        true => step.arguments(["--one-connection-per-worker"]),
        false => step,
    }
}

impl Selection {
    /// Boots one guest, runs the studies in it, and returns a table for each. `watch` is called with each cell as it arrives.
    ///
    /// # Errors
    /// [`VmError`]; [`VmError::Step`] if a workload failed, [`VmError::NothingMatches`] if no cell is selected.
    pub fn run(
        &self,
        machine: &Machine,
        settings: &Plan,
        watch: &mut dyn FnMut(&Study, &CostCell),
    ) -> Result<Vec<CostTable>, VmError> {
        let competitors = self.competitors()?;
        let steps = self.steps(competitors.as_ref());
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
        if let Some(competitors) = &competitors {
            competitors.add_to(&mut guest)?;
        }
        let mut results = Results::new(self, machine);
        let report = guest.run(&mut |record| results.add(record, &steps, watch))?;
        match report.statuses.iter().position(|status| *status != Some(0)) {
            None => Ok(results.tables()),
            Some(step) => Err(VmError::Step {
                step: steps[step].1.arguments.join(" "),
                last_line: results
                    .last_lines
                    .remove(&step)
                    .unwrap_or_else(|| "it printed nothing".to_owned()),
            }),
        }
    }

    fn competitors(&self) -> Result<Option<Competitors>, VmError> {
        let program = self.benchmark.as_deref();
        let program: Option<&Path> = program.filter(|_| self.studies.iter().any(|study| study.needs_benchmark()));
        program.map(Competitors::of).transpose()
    }

    fn steps(&self, competitors: Option<&Competitors>) -> Steps {
        let mut steps = Vec::new();
        for &study in &self.studies {
            let own = match (study.subjects, competitors) {
                (Subjects::Competitors, Some(competitors)) => competitors.steps(&self.filter),
                _ => study.steps(&self.filter, &self.models),
            };
            steps.extend(own.into_iter().map(|step| (study, step)));
        }
        steps
    }
}

/// The records of a guest, sorted into the tables of their studies.
struct Results<'s> {
    selection: &'s Selection,
    tables: Vec<CostTable>,
    /// The last line of each step that is not a record.
    last_lines: BTreeMap<usize, String>,
}

impl<'s> Results<'s> {
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
            last_lines: BTreeMap::new(),
        }
    }

    /// The tables of the studies that have a result.
    fn tables(self) -> Vec<CostTable> {
        let mut tables = self.tables;
        tables.retain(|table| !table.cells.is_empty() || !table.unavailable.is_empty());
        tables
    }

    fn add(
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
                self.last_lines.insert(step, text.clone());
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
            one_connection_per_worker: !mechanisms,
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
    fn a_plan_has_a_step_for_each_mechanism_that_is_selected() {
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
        let occupied = steps
            .iter()
            .filter(|step| step.arguments.contains(&"--one-connection-per-worker".to_owned()));
        assert_eq!(occupied.count(), 1, "thread-pool only");
    }

    #[test]
    fn every_study_is_named_for_the_guest() {
        assert!(STUDIES.iter().all(|study| study.name.starts_with("vm/")));
    }
}
