//! A token that goes round a ring of sleeping tasks: one switch for each hop.

use crate::error::ProbeError;
use crate::option::{Kind, OptionRow, TIME, names};
use crate::ring::{self, Link};
use crate::row::{COST_US, Outcome, Probe};
use crate::values::Values;

pub(super) const ROW: Probe = Probe {
    name: "switch-cost",
    summary: "one hop of a token round a ring of sleeping tasks",
    options: &[
        TIME,
        OptionRow::by(BY, "How the token is passed"),
        OptionRow {
            name: "place",
            summary: "Whether the tasks share one CPU, or take turns on two",
            kind: Kind::Word(PLACE),
            default: Some("same"),
            label: "place",
            setup_us: 0,
        },
        OptionRow {
            name: "tasks",
            summary: "Tasks in the ring",
            kind: Kind::Count(2, 1000),
            default: Some("2"),
            label: "tasks in the ring",
            setup_us: 0,
        },
    ],
    figures: &[COST_US],
    run,
};

const LINKS: [(&str, Link); 4] = [
    ("pipe", Link::Pipe),
    ("pipe-processes", Link::PipeProcesses),
    ("eventfd", Link::Eventfd),
    ("futex", Link::Futex),
];
const BY: &[&str] = &names(&LINKS);

/// Whether every other task runs on the second CPU.
const PLACES: [(&str, bool); 2] = [("same", false), ("cross", true)];
const PLACE: &[&str] = &names(&PLACES);

fn run(values: &Values) -> Outcome {
    let first = values.cpus.first().copied();
    let other = match values.choice("place", &PLACES) {
        false => first,
        true => Some(second_cpu(&values.cpus)?),
    };
    let cpus: Vec<Option<usize>> = (0..values.count("tasks"))
        .map(|task| if task % 2 == 1 { other } else { first })
        .collect();
    ring::run(values.choice("by", &LINKS), values.time(), &cpus)
}

fn second_cpu(cpus: &[usize]) -> Result<usize, ProbeError> {
    cpus.get(1).copied().ok_or_else(|| {
        ProbeError::Impossible("--place cross takes two CPUs and there is one: give two with --cpus A,B".to_owned())
    })
}
