//! What the guest counts: work done as any application does it.
//!
//! A workload runs in a process of its own, one for each subject, and prints one
//! [`CostRecord`](c10k_record::CostRecord) per line. It reads the guest's clock, where one nanosecond is one instruction.
//! Outside the guest the same figure is time, not a number of instructions.

mod bare;
pub(crate) mod batch;
mod burst;
mod client;
pub(crate) mod curve;
pub(crate) mod dev_poll;
mod dispatch;
mod error;
mod file;
mod overflow;
mod pairs;
mod request;
mod server_process;
mod task;
mod windows;

use std::io::Write;

use c10k_units::Filter;

pub use error::WorkloadError;
pub(crate) use request::BARE;
pub use task::Subject;
use task::Task;

/// One workload: its name, the loads that it measures every subject under, and what runs it.
struct Workload {
    name: &'static str,
    loads: fn() -> Vec<String>,
    run: fn(&mut Task<'_>) -> Result<(), WorkloadError>,
}

const WORKLOADS: &[Workload] = &[
    // Prints a record only if the mechanism cannot run.
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
        name: "dev-poll",
        loads: dev_poll::loads,
        run: dev_poll::run,
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
        name: curve::CONNECTIONS.name,
        loads: || curve::CONNECTIONS.loads(),
        run: |task| curve::run(task, &curve::CONNECTIONS),
    },
    Workload {
        name: curve::IDLE_252.name,
        loads: || curve::IDLE_252.loads(),
        run: |task| curve::run(task, &curve::IDLE_252),
    },
    Workload {
        name: curve::IDLE_6000.name,
        loads: || curve::IDLE_6000.loads(),
        run: |task| curve::run(task, &curve::IDLE_6000),
    },
    Workload {
        name: curve::IDLE_6000_6K.name,
        loads: || curve::IDLE_6000_6K.loads(),
        run: |task| curve::run(task, &curve::IDLE_6000_6K),
    },
    Workload {
        name: curve::TABLE_1.name,
        loads: || curve::TABLE_1.loads(),
        run: |task| curve::run(task, &curve::TABLE_1),
    },
    Workload {
        name: "batch",
        loads: batch::loads,
        run: batch::run,
    },
    Workload {
        name: "file",
        loads: file::loads,
        run: file::run,
    },
    Workload {
        name: "request",
        loads: request::loads,
        run: request::run,
    },
];

/// Runs a workload on a subject and prints the records of the cells that `filter` selects.
///
/// # Errors
/// [`WorkloadError`]. A subject that cannot run here is a record, not an error.
pub fn run(name: &str, subject: &Subject, filter: &Filter, out: &mut dyn Write) -> Result<(), WorkloadError> {
    let workload = named(name).ok_or_else(|| WorkloadError::Unknown {
        name: name.to_owned(),
        known: WORKLOADS
            .iter()
            .map(|workload| workload.name)
            .collect::<Vec<_>>()
            .join(", "),
    })?;
    (workload.run)(&mut Task { subject, filter, out })
}

/// The loads of a workload; none if there is no such workload.
pub(crate) fn loads(name: &str) -> Vec<String> {
    named(name).map_or_else(Vec::new, |workload| (workload.loads)())
}

fn named(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_workload_is_refused_with_the_names_of_all() {
        let error = run(
            "nap",
            &Subject::named("epoll-edge"),
            &Filter::default(),
            &mut std::io::sink(),
        )
        .expect_err("unknown");
        for workload in WORKLOADS {
            assert!(error.to_string().contains(workload.name), "{error}");
        }
    }

    #[test]
    fn only_the_selected_loads_are_measured() {
        let filter: Filter = "sources=64 writes=1".parse().expect("any text is a filter");
        let mut out = Vec::new();
        run("burst", &Subject::named("epoll-edge"), &filter, &mut out).expect("nothing is lost");
        let lines: Vec<&str> = std::str::from_utf8(&out).expect("JSON").lines().collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("sources=64 writes=1\""), "{}", lines[0]);
    }
}
