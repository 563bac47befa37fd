//! What is counted in the guest: work done as any application does it.
//!
//! A workload runs in a process of its own, one for each subject, and prints a [`CostRecord`] a line. Its clock is the
//! guest's, where one nanosecond is one instruction; elsewhere it is time, and no figure of this kind.

mod bare;
mod burst;
mod client;
mod dispatch;
mod overflow;
mod pairs;
mod request;
mod servant;

use std::io::{self, Write};
use std::time::Duration;

use c10k_event::{DeclareError, Mechanism, OpenError, UnknownMechanism, WaitError};
use c10k_record::{CostCell, CostRecord};
use c10k_units::Filter;

pub(crate) use request::BARE;

/// One workload: its name, the loads that it puts on every subject, and how it does that.
struct Workload {
    name: &'static str,
    loads: fn() -> Vec<String>,
    run: fn(&mut Task<'_>) -> Result<(), WorkloadError>,
}

const WORKLOADS: &[Workload] = &[
    // Only that a mechanism cannot run is a record.
    Workload {
        name: "probe",
        loads: Vec::new,
        run: |task| task.mechanism().map(drop),
    },
    Workload {
        name: "dispatch",
        loads: dispatch::loads,
        run: dispatch::run,
    },
    Workload {
        name: "burst",
        loads: burst::loads,
        run: burst::run,
    },
    Workload {
        name: "overflow",
        loads: overflow::loads,
        run: overflow::run,
    },
    Workload {
        name: "request",
        loads: request::loads,
        run: request::run,
    },
];

/// Why a workload stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// There is no such workload.
    #[error("no workload {0}; there are {known}", known = names())]
    Unknown(String),
    /// There is no such mechanism.
    #[error(transparent)]
    Mechanism(#[from] UnknownMechanism),
    /// A set cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A source cannot be declared.
    #[error(transparent)]
    Declare(#[from] DeclareError),
    /// Waiting failed.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A socket, a process, or standard output failed.
    #[error("cannot {0}: {1}; check the limit of open descriptors")]
    Io(&'static str, #[source] io::Error),
    /// An event that was due did not come.
    #[error("{missing} of {work} writes were never told within {limit:?}")]
    Lost {
        /// Writes that were not read.
        missing: u64,
        /// Writes made.
        work: u64,
        /// How long was waited for the next.
        limit: Duration,
    },
    /// The server did not do what it was asked.
    #[error("{subject}: {what}; run `c10k serve` with that model and mechanism to see why")]
    Server {
        /// The subject.
        subject: String,
        /// What it did.
        what: String,
    },
    /// A figure is not to be had to the instruction.
    #[error("{load}: {why}; these figures are exact only in the guest of `c10k vm study` with --accel tcg")]
    Inexact {
        /// The load.
        load: String,
        /// What was seen.
        why: String,
    },
}

/// What a workload is asked to do, and where its records go.
struct Task<'t> {
    subject: &'t str,
    filter: &'t Filter,
    out: &'t mut dyn Write,
}

impl Task<'_> {
    fn asks_for(&self, load: &str) -> bool {
        self.filter.matches(&format!("{} {load}", self.subject))
    }

    fn print(&mut self, cell: CostCell) -> Result<(), WorkloadError> {
        self.send(&CostRecord::Cell(cell))
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

    fn unavailable(&mut self, reason: String) -> Result<(), WorkloadError> {
        let subject = self.subject.to_owned();
        self.send(&CostRecord::Unavailable { subject, reason })
    }

    /// The mechanism that is the subject; `None`, and a record of the reason, where it cannot run here.
    fn mechanism(&mut self) -> Result<Option<Mechanism>, WorkloadError> {
        let mechanism = Mechanism::named(self.subject)?;
        match mechanism.probe() {
            Ok(()) => Ok(Some(mechanism)),
            Err(reason) => self.unavailable(reason.to_string()).map(|()| None),
        }
    }
}

/// Runs a workload on a subject and prints the records of the cells that are asked for.
///
/// # Errors
/// [`WorkloadError`]. That the subject cannot run here is a record and no error.
pub fn run(name: &str, subject: &str, filter: &Filter, out: &mut dyn Write) -> Result<(), WorkloadError> {
    let workload = named(name).ok_or_else(|| WorkloadError::Unknown(name.to_owned()))?;
    (workload.run)(&mut Task { subject, filter, out })
}

/// The loads of a workload; none where there is no such workload.
pub(crate) fn loads(name: &str) -> Vec<String> {
    named(name).map_or_else(Vec::new, |workload| (workload.loads)())
}

fn named(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

fn names() -> String {
    WORKLOADS
        .iter()
        .map(|workload| workload.name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Windows of a cell.
const WINDOWS: usize = 9;

/// The window of median cost: the kernel's own work, which falls into a few windows, does not count as the subject's.
fn median(mut windows: Vec<CostCell>) -> CostCell {
    windows.sort_by_key(|window| window.instructions);
    let middle = windows.len() / 2;
    windows.swap_remove(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_workload_names_those_there_are() {
        let error = run("nap", "epoll-edge", &Filter::default(), &mut io::sink()).expect_err("unknown");
        for workload in WORKLOADS {
            assert!(error.to_string().contains(workload.name), "{error}");
        }
    }

    #[test]
    fn only_the_loads_that_are_asked_for_are_measured() {
        let filter: Filter = "sources=64 writes=1".parse().expect("any text is a filter");
        let mut out = Vec::new();
        run("burst", "epoll-edge", &filter, &mut out).expect("nothing is lost");
        let lines: Vec<&str> = std::str::from_utf8(&out).expect("JSON").lines().collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("sources=64 writes=1\""), "{}", lines[0]);
    }
}
