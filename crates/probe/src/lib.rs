//! Measurements that need no server: what tasks, switches, an event library and fan-out cost.
//!
//! `c10k probe NAME` runs one of them in a process of its own and prints a [`ProbeSummary`]; the lab starts it and reads
//! that, as it does with a server. Everything is bounded: by the measured time, and by the counts that are asked for.
#![forbid(unsafe_code)]

mod blocked_tasks;
mod fan_out;
mod library_cost;
mod process_cost;
mod switch_cost;
mod timing;

use std::time::Duration;

use c10k_record::{ProbeSummary, SCHEMA};
use rustix::thread::CpuSet;
use thiserror::Error;

/// What a probe is asked for. Each reads what concerns it.
#[derive(Debug, Clone)]
pub struct Options {
    /// CPUs to use, the most important first; empty leaves the process where it is.
    pub cpus: Vec<usize>,
    /// Measured time.
    pub time: Duration,
    /// The way that is measured; each probe has its own.
    pub by: String,
    /// Whether tasks share a CPU (`same`) or take turns on two (`cross`).
    pub place: String,
    /// Memory of the parent that is touched beforehand, MiB.
    pub parent_mib: u64,
    /// Tasks in a ring.
    pub tasks: u64,
    /// Blocked tasks.
    pub blocked: u64,
    /// Sources that are watched.
    pub sources: u64,
    /// Sources that are active at a time.
    pub active: u64,
    /// Subscribers.
    pub subscribers: u64,
    /// CPU time that a sample takes.
    pub sample: Duration,
}

/// Why a probe has no figures. Each is one line with the cause and the remedy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// There is no probe of that name.
    #[error("no probe is called '{name}'; there are: {known}")]
    Unknown {
        /// The name given.
        name: String,
        /// All names.
        known: String,
    },
    /// A probe does not know this way.
    #[error("--{option} '{value}' is no way of this probe; give {known}")]
    Way {
        /// The option.
        option: &'static str,
        /// The value given.
        value: String,
        /// What it may be.
        known: &'static str,
    },
    /// This machine cannot do it.
    #[error("{0}")]
    Impossible(String),
    /// A call failed.
    #[error("{call}: {source}")]
    Call {
        /// What was called, and for what.
        call: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl ProbeError {
    fn call(call: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> Self {
        let call = call.into();
        move |errno| Self::Call {
            call,
            source: errno.into(),
        }
    }

    fn io(call: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let call = call.into();
        move |source| Self::Call { call, source }
    }
}

/// What a probe measured: the operations timed, and its figures by name.
struct Figures {
    operations: u64,
    values: Vec<(&'static str, f64)>,
}

type Outcome = Result<Figures, ProbeError>;

/// One probe.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it measures.
    pub summary: &'static str,
    run: fn(&Options) -> Outcome,
}

/// Every probe.
pub const PROBES: &[Probe] = &[
    Probe {
        name: "process-cost",
        summary: "to create a task and to see it end: --by fork, spawn, thread, pool, switch; --parent-mib",
        run: process_cost::run,
    },
    Probe {
        name: "switch-cost",
        summary: "a token around a ring: --by pipe, pipe-processes, eventfd, futex; --place same, cross; --tasks",
        run: switch_cost::run,
    },
    Probe {
        name: "blocked-tasks",
        summary: "one active task beside blocked ones: --by process, thread; --blocked",
        run: blocked_tasks::run,
    },
    Probe {
        name: "library-cost",
        summary: "an event through a library: --by inline, c10k, mio, polling, libevent; --sources, --active",
        run: library_cost::run,
    },
    Probe {
        name: "fan-out",
        summary: "one sample to all subscribers: --by shared, forked; --subscribers, --sample",
        run: fan_out::run,
    },
];

/// Runs the probe called `name` on the first of the CPUs.
///
/// # Errors
/// [`ProbeError`], when the name or a way is not known, when this machine cannot do it, or when a call fails.
pub fn run(name: &str, options: &Options) -> Result<ProbeSummary, ProbeError> {
    let probe = PROBES.iter().find(|probe| probe.name == name).ok_or_else(|| {
        let known: Vec<&str> = PROBES.iter().map(|probe| probe.name).collect();
        ProbeError::Unknown {
            name: name.to_owned(),
            known: known.join(", "),
        }
    })?;
    pin(options.cpus.first().copied())?;
    let figures = (probe.run)(options)?;
    let values = figures.values.into_iter().map(|(name, value)| (name.to_owned(), value));
    Ok(ProbeSummary {
        schema: SCHEMA,
        probe: probe.name.to_owned(),
        operations: figures.operations,
        values: values.collect(),
    })
}

/// Moves the calling thread to `cpu`; leaves it where it is without one.
fn pin(cpu: Option<usize>) -> Result<(), ProbeError> {
    let Some(cpu) = cpu.filter(|&cpu| cpu < CpuSet::MAX_CPU) else {
        return Ok(());
    };
    let mut set = CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).map_err(ProbeError::call(format!("moving to CPU {cpu}")))
}

/// The second CPU, for what takes two.
fn second_cpu(options: &Options) -> Result<usize, ProbeError> {
    options.cpus.get(1).copied().ok_or_else(|| {
        ProbeError::Impossible("--place cross takes two CPUs and there is one: give two with --cpus A,B".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small, so that the whole table runs in a blink.
    fn options() -> Options {
        Options {
            cpus: Vec::new(),
            time: Duration::from_millis(5),
            by: String::new(),
            place: "same".to_owned(),
            parent_mib: 1,
            tasks: 2,
            blocked: 3,
            sources: 4,
            active: 2,
            subscribers: 3,
            sample: Duration::from_micros(20),
        }
    }

    fn ways() -> Vec<(&'static str, &'static str)> {
        vec![
            ("process-cost", "fork"),
            ("process-cost", "spawn"),
            ("process-cost", "thread"),
            ("process-cost", "pool"),
            ("process-cost", "switch"),
            ("switch-cost", "pipe"),
            ("switch-cost", "pipe-processes"),
            ("switch-cost", "eventfd"),
            ("switch-cost", "futex"),
            ("blocked-tasks", "process"),
            ("blocked-tasks", "thread"),
            ("library-cost", "inline"),
            ("library-cost", "c10k"),
            ("library-cost", "mio"),
            ("library-cost", "polling"),
            ("library-cost", "libevent"),
            ("fan-out", "shared"),
            ("fan-out", "forked"),
        ]
    }

    #[test]
    fn every_way_of_every_probe_measures_something() {
        for (name, by) in ways() {
            if by == "libevent"
                && let Err(reason) = c10k_competitors::Libevent::load()
            {
                assert!(!c10k_testkit::required::is_required(&["libevent"]), "{reason}");
                eprintln!("{name} --by {by}: skipped: {reason}");
                continue;
            }
            let options = Options {
                by: by.to_owned(),
                ..options()
            };
            let summary = run(name, &options).unwrap_or_else(|error| panic!("{name} --by {by}: {error}"));
            assert!(summary.operations > 0, "{name} --by {by}");
            assert!(!summary.values.is_empty(), "{name} --by {by}");
            for (value, number) in &summary.values {
                assert!(
                    number.is_finite() && *number >= 0.0,
                    "{name} --by {by}: {value} is {number}"
                );
            }
        }
    }

    #[test]
    fn a_way_that_is_not_known_is_answered_with_those_that_are() {
        for probe in PROBES {
            let options = Options {
                by: "magic".to_owned(),
                ..options()
            };
            let error = run(probe.name, &options).expect_err(probe.name).to_string();
            assert!(error.contains("magic") && error.contains("give "), "{error}");
        }
    }

    #[test]
    fn two_cpus_are_asked_for_where_one_is_given() {
        let options = Options {
            by: "pipe".to_owned(),
            place: "cross".to_owned(),
            ..options()
        };
        let error = run("switch-cost", &options)
            .expect_err("there is no second CPU")
            .to_string();
        assert!(error.contains("--cpus"), "{error}");
    }

    #[test]
    fn the_table_is_the_one_that_experiments_are_checked_against() {
        let names: Vec<&str> = PROBES.iter().map(|probe| probe.name).collect();
        assert_eq!(names, c10k_record::PROBES);
    }
}
