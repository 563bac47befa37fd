//! A selection of studies: boots the guests that they need, and sorts what the guests print into tables.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use c10k_record::{CostCell, CostRecord, CostTable, GuestRecord, ModelRow, SCHEMA};
use c10k_units::Filter;

use crate::boots::{self, Boots};
use crate::competitors::Competitors;
use crate::error::VmError;
use crate::machine::Machine;
use crate::plan::{Plan, Step};
use crate::qemu::{Guest, Report};
use crate::study::Study;

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

/// The studies of a selection as boots of a machine.
struct Guests<'s> {
    machine: &'s Machine,
    settings: &'s Plan,
    competitors: Option<Competitors>,
    boots: Vec<Steps>,
    /// Subjects that are known to be unavailable: their other boots are not needed.
    unavailable: Mutex<BTreeSet<String>>,
}

impl Selection {
    /// Boots the guests that the studies need, at most `jobs` at the same time, and returns a table for each study. A load curve
    /// has a boot for each cell; all other studies run in one boot. `watch` is called with each cell as it arrives.
    ///
    /// # Errors
    /// [`VmError`]; [`VmError::Step`] if a workload failed, [`VmError::NothingMatches`] if no cell is selected.
    pub fn run(
        &self,
        machine: &Machine,
        settings: &Plan,
        jobs: NonZeroUsize,
        watch: &mut dyn FnMut(&Study, &CostCell),
    ) -> Result<Vec<CostTable>, VmError> {
        let competitors = self.competitors()?;
        let guests = Guests {
            machine,
            settings,
            boots: self.boots(competitors.as_ref()),
            competitors,
            unavailable: Mutex::default(),
        };
        if guests.boots.is_empty() {
            return Err(VmError::NothingMatches {
                filter: self.filter.to_string(),
            });
        }
        let results = RefCell::new(Results::new(self, machine));
        boots::run(
            &guests,
            jobs,
            &mut |boot, record| results.borrow_mut().add(&record, &guests, boot, watch),
            &mut |boot, report| results.borrow_mut().end(&report, &guests.boots[boot]),
        )?;
        Ok(results.into_inner().tables())
    }

    fn competitors(&self) -> Result<Option<Competitors>, VmError> {
        let program = self.benchmark.as_deref();
        let program: Option<&Path> = program.filter(|_| self.studies.iter().any(|study| study.needs_benchmark()));
        program.map(Competitors::of).transpose()
    }

    /// The boots of all studies: first that of the studies that share one.
    fn boots(&self, competitors: Option<&Competitors>) -> Vec<Steps> {
        let mut shared = Steps::new();
        let mut own = Vec::new();
        for &study in &self.studies {
            let of_study = match (study.needs_benchmark(), competitors) {
                (true, Some(competitors)) => vec![competitors.steps(&self.filter)],
                _ => study.boots(&self.filter, &self.models),
            };
            let with_study = |steps: Vec<Step>| steps.into_iter().map(|step| (study, step)).collect::<Steps>();
            let of_study = of_study.into_iter().map(with_study);
            match study.is_of_the_paper() {
                true => own.extend(of_study),
                false => shared.extend(of_study.flatten()),
            }
        }
        let shared = Some(shared).filter(|steps| !steps.is_empty());
        shared.into_iter().chain(own).collect()
    }
}

impl Boots for Guests<'_> {
    fn count(&self) -> usize {
        self.boots.len()
    }

    fn run(&self, boot: usize, watch: &mut dyn FnMut(GuestRecord)) -> Result<Option<Report>, VmError> {
        let steps = &self.boots[boot];
        if let [(_, step)] = steps.as_slice()
            && self.unavailable().contains(subject(step))
        {
            return Ok(None);
        }
        let plan = Plan {
            steps: steps.iter().map(|(_, step)| step.clone()).collect(),
            ..self.settings.clone()
        };
        let mut guest = Guest::new(self.machine, plan)?;
        if let Some(competitors) = &self.competitors {
            competitors.add_to(&mut guest)?;
        }
        guest.run(&mut |record| watch(record.clone())).map(Some)
    }
}

impl Guests<'_> {
    fn unavailable(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.unavailable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a step measures: its fourth argument.
fn subject(step: &Step) -> &str {
    step.arguments.get(3).map_or("", String::as_str)
}

/// The records of a guest, sorted into the tables of their studies.
struct Results<'s> {
    selection: &'s Selection,
    tables: Vec<CostTable>,
    /// The last line of each step of the current boot that is not a record.
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
        guests: &Guests<'_>,
        boot: usize,
        watch: &mut dyn FnMut(&Study, &CostCell),
    ) {
        let (step, text) = match record {
            GuestRecord::Output { step, line } => (*step, line),
            GuestRecord::Refused { step, reason } => (*step, reason),
            _ => return,
        };
        let study = guests.boots[boot][step].0;
        let table = self.tables.iter_mut().find(|table| table.study == study.name);
        match (serde_json::from_str(text), table) {
            (Ok(CostRecord::Cell(cell)), Some(table)) => {
                if self.selection.filter.matches(&cell.name()) {
                    watch(study, &cell);
                    table.cells.push(cell);
                }
            }
            (Ok(CostRecord::Unavailable { subject, reason }), Some(table)) => {
                guests.unavailable().insert(subject.clone());
                if !table.unavailable.iter().any(|(known, _)| *known == subject) {
                    table.unavailable.push((subject, reason));
                }
            }
            _ => {
                self.last_lines.insert(step, text.clone());
            }
        }
    }

    /// A boot has ended: all its steps must have succeeded.
    fn end(&mut self, report: &Report, steps: &Steps) -> Result<(), VmError> {
        let mut last_lines = std::mem::take(&mut self.last_lines);
        match report.statuses.iter().position(|status| *status != Some(0)) {
            None => Ok(()),
            Some(step) => Err(VmError::Step {
                step: steps[step].1.arguments.join(" "),
                last_line: last_lines
                    .remove(&step)
                    .unwrap_or_else(|| "it printed nothing".to_owned()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use c10k_event::Mechanism;

    use super::*;

    fn steps(study: &str, only: &str) -> Vec<Step> {
        let model = |name: &str, mechanisms| ModelRow {
            name: name.to_owned(),
            summary: String::new(),
            mechanisms,
            only_on: Vec::new(),
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
        let steps = selection.boots(None).into_iter().flatten();
        steps.map(|(_, step)| step).collect()
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
}
