//! What a workload works on: a subject, the cells that are selected, and where the records are printed.

use std::io::Write;

use c10k_event::Mechanism;
use c10k_record::{CostCell, CostRecord};
use c10k_units::Filter;

use super::error::WorkloadError;

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its name: a mechanism, or `MODEL/MECHANISM`, or `MODEL` if that model takes no mechanism, or `MODEL+OPTION` with an option
    /// of its rings.
    pub name: String,
    /// Whether a worker of the server serves one connection at a time, so that an idle connection occupies it.
    pub one_connection_per_worker: bool,
}

impl Subject {
    /// A subject that is no server, or whose workers serve many connections.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            one_connection_per_worker: false,
        }
    }
}

/// One run of a workload.
pub(super) struct Task<'t> {
    pub(super) subject: &'t Subject,
    pub(super) filter: &'t Filter,
    pub(super) out: &'t mut dyn Write,
}

impl Task<'_> {
    /// Whether the filter selects this load of the subject.
    pub(super) fn is_selected(&self, load: &str) -> bool {
        self.filter.matches(&format!("{} {load}", self.subject.name))
    }

    pub(super) fn print(&mut self, cell: CostCell) -> Result<(), WorkloadError> {
        self.send(&CostRecord::Cell(cell))
    }

    /// Prints the record of a subject that cannot run here.
    pub(super) fn unavailable(&mut self, reason: String) -> Result<(), WorkloadError> {
        let subject = self.subject.name.clone();
        self.send(&CostRecord::Unavailable { subject, reason })
    }

    /// The mechanism that is the subject. If it cannot run here, prints the reason as a record and returns `None`.
    pub(super) fn mechanism(&mut self) -> Result<Option<Mechanism>, WorkloadError> {
        let mechanism = Mechanism::named(&self.subject.name)?;
        match mechanism.probe() {
            Ok(()) => Ok(Some(mechanism)),
            Err(reason) => self.unavailable(reason.to_string()).map(|()| None),
        }
    }

    fn send(&mut self, record: &CostRecord) -> Result<(), WorkloadError> {
        let failed = |error| WorkloadError::Io("print a record", error);
        let mut line = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        self.out
            .write_all(&line)
            .and_then(|()| self.out.flush())
            .map_err(failed)
    }
}
