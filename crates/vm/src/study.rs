//! Studies in the guest: the question of each, what it measures, and the figures that it draws.

use c10k_event::Mechanism;
use c10k_record::{GuestStudyRow, ModelRow};
use c10k_units::Filter;

use crate::figure::{CPU, Figure, INSTRUCTIONS, RESPONSE, THROUGHPUT};
use crate::plan::Step;
use crate::workload::curve::{self, Curve};
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
    /// The figures that it draws.
    pub figures: &'static [Figure],
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
    /// A workload on the server: each model, on one mechanism if it takes one.
    Models {
        workload: &'static str,
        mechanism: &'static str,
    },
    /// Servers of load curves, with a boot for each cell.
    LoadCurves(&'static Curve),
    /// The ways to use the `/dev/poll` of the module.
    DevPoll,
    /// epoll and the ways to use io_uring.
    Rings,
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
        name: "vm/blocking-work",
        question: "How many instructions does a server pay to have a file read in a way that does not block it?",
        unit: "one request for 4 KiB, from memory or from a file in the page cache, answered; without the client's share",
        figures: &[],
        seconds: 60,
        subjects: Subjects::Models {
            workload: "file",
            mechanism: "epoll-edge",
        },
    },
    Study {
        name: "vm/ready-batch",
        question: "What does a request cost if several arrive together: with epoll, with completions, and with each option of a ring?",
        unit: "one request for 92 bytes, answered; without the client's share",
        figures: &[Figure::over("batch", "ready-batch", &INSTRUCTIONS, "")
            .with_break_even("io-uring", "event-loop/epoll-edge")],
        seconds: 90,
        subjects: Subjects::Rings,
    },
    Study {
        name: "vm/idle-connections",
        question: "Figures 3 to 5: what do mostly idle connections cost each server at a constant rate of requests?",
        unit: "one reply of 92 bytes on a kept connection, without the generator",
        figures: &[
            Figure::over("connections", "figure-3a", &THROUGHPUT, "rate=1000")
                .with_reply_rate(&[(250.0, 500.0), (3000.0, 500.0)]),
            Figure::over("connections", "figure-3b", &THROUGHPUT, "rate=2000")
                .with_reply_rate(&[(250.0, 1000.0), (3000.0, 1000.0)]),
            Figure::over("connections", "figure-4a", &CPU, "rate=1000").with_flat(&[(250.0, 6.67), (3000.0, 6.67)]),
            Figure::over("connections", "figure-4b", &CPU, "rate=2000").with_flat(&[(250.0, 13.25), (3000.0, 13.25)]),
            Figure::over("connections", "figure-5a", &RESPONSE, "rate=1000").with_flat(&[(250.0, 0.3), (3000.0, 0.3)]),
            Figure::over("connections", "figure-5b", &RESPONSE, "rate=2000").with_flat(&[(250.0, 0.3), (3000.0, 0.3)]),
        ],
        seconds: 400,
        subjects: Subjects::LoadCurves(&curve::CONNECTIONS),
    },
    Study {
        name: "vm/throughput-252-1b",
        question: "Figure 6: how many requests does each server answer, and how fast, next to 252 idle connections?",
        unit: "one reply of 1 byte on a connection of its own, without the generator",
        figures: &[
            Figure::over("rate", "figure-6a", &THROUGHPUT, "").with_saturation(),
            Figure::over("rate", "figure-6b", &CPU, "").with_full_cpu(),
            Figure::over("rate", "figure-9a", &RESPONSE, ""),
        ],
        seconds: 400,
        subjects: Subjects::LoadCurves(&curve::IDLE_252),
    },
    Study {
        name: "vm/throughput-6000-1b",
        question: "Figure 7: how many requests does each server answer, and how fast, next to 6,000 idle connections?",
        unit: "one reply of 1 byte on a connection of its own, without the generator",
        figures: &[
            Figure::over("rate", "figure-7a", &THROUGHPUT, "").with_saturation(),
            Figure::over("rate", "figure-7b", &CPU, "").with_full_cpu(),
            Figure::over("rate", "figure-9b", &RESPONSE, ""),
        ],
        seconds: 500,
        subjects: Subjects::LoadCurves(&curve::IDLE_6000),
    },
    Study {
        name: "vm/throughput-6000-6k",
        question: "Figure 8: the same with replies of 6 KB",
        unit: "one reply of 6,144 bytes on a connection of its own, without the generator",
        figures: &[
            Figure::over("rate", "figure-8a", &THROUGHPUT, ""),
            Figure::over("rate", "figure-8b", &CPU, ""),
            Figure::over("rate", "figure-9c", &RESPONSE, ""),
        ],
        seconds: 500,
        subjects: Subjects::LoadCurves(&curve::IDLE_6000_6K),
    },
    Study {
        name: "vm/table-1",
        question: "Table 1: when does the queue of signals overflow, from below saturation to beyond?",
        unit: "one reply of 1 byte on a connection of its own, without the generator",
        figures: &[],
        seconds: 200,
        subjects: Subjects::LoadCurves(&curve::TABLE_1),
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

impl Study {
    /// The study of this name, with or without `vm/`, or the one that draws the figure of this name: `figure-6` is both
    /// `figure-6a` and `figure-6b`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        let is_part = |rest: &str| rest.is_empty() || rest.starts_with(|next: char| next.is_ascii_alphabetic());
        let draws = |figure: &str| name.starts_with("figure-") && figure.strip_prefix(name).is_some_and(is_part);
        STUDIES.iter().find(|study| {
            study.name == name
                || study.name.strip_prefix("vm/") == Some(name)
                || study.figures.iter().any(|figure| draws(figure.name))
        })
    }

    /// Whether it has figures or a table of the paper.
    #[must_use]
    pub fn is_of_the_paper(&self) -> bool {
        matches!(self.subjects, Subjects::LoadCurves(_))
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

    /// The steps of its boots: one boot with a step for each subject of which a cell is selected, or a boot for each selected cell.
    pub(crate) fn boots(&self, filter: &Filter, models: &[ModelRow]) -> Vec<Vec<Step>> {
        let (workload, subjects) = match self.subjects {
            Subjects::Mechanisms(workload) => (workload, mechanisms(|_| true)),
            Subjects::SignalMechanisms(workload) => (workload, mechanisms(|row| row.signal_queue().is_some())),
            Subjects::Servers {
                workload,
                model,
                mechanism,
            } => (workload, servers(models, model, mechanism)),
            Subjects::Models { workload, mechanism } => {
                let subjects = models.iter().map(|model| server(model, mechanism));
                (workload, subjects.collect())
            }
            Subjects::LoadCurves(curve) => (curve.name, curve.subjects()),
            Subjects::DevPoll => ("dev-poll", workload::dev_poll::subjects()),
            Subjects::Rings => ("batch", workload::batch::subjects()),
            Subjects::Competitors => return Vec::new(),
        };
        let loads = workload::loads(workload);
        let names = |subject: &Subject| {
            let names = loads.iter().map(|load| format!("{} {load}", subject.name));
            names.filter(|name| filter.matches(name)).collect::<Vec<_>>()
        };
        if matches!(self.subjects, Subjects::LoadCurves(_)) {
            let of_subject = |subject: &Subject| {
                let cells = names(subject).into_iter();
                cells
                    .map(|cell| vec![step(workload, subject, &cell)])
                    .collect::<Vec<_>>()
            };
            return subjects.iter().flat_map(of_subject).collect();
        }
        let selected = subjects.iter().filter(|subject| !names(subject).is_empty());
        let filter = filter.to_string();
        vec![selected.map(|subject| step(workload, subject, &filter)).collect()]
    }
}

fn mechanisms(is_wanted: fn(&Mechanism) -> bool) -> Vec<Subject> {
    let wanted = Mechanism::all().filter(is_wanted);
    wanted.map(|mechanism| Subject::named(mechanism.name())).collect()
}

/// The bare server, the model `varied` on every mechanism, and every other model, on `mechanism` if it takes one.
fn servers(models: &[ModelRow], varied: &str, mechanism: &str) -> Vec<Subject> {
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

fn server(model: &ModelRow, mechanism: &str) -> Subject {
    Subject {
        name: match model.mechanisms {
            true => format!("{}/{mechanism}", model.name),
            false => model.name.clone(),
        },
        one_connection_per_worker: model.one_connection_per_worker,
    }
}

fn step(workload: &str, subject: &Subject, filter: &str) -> Step {
    let step = Step::new("/c10k").arguments(["vm", "workload", workload, &subject.name, "--only", filter]);
    match subject.one_connection_per_worker {
        true => step.arguments(["--one-connection-per-worker"]),
        false => step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_study_is_named_for_the_guest() {
        assert!(STUDIES.iter().all(|study| study.name.starts_with("vm/")));
    }

    #[test]
    fn studies_are_found_by_their_names_and_by_the_figures_that_they_draw() {
        let found = |name| Study::named(name).map(|study| study.name);
        assert_eq!(found("vm/table-1"), Some("vm/table-1"));
        assert_eq!(found("table-1"), Some("vm/table-1"));
        assert_eq!(found("figure-4"), Some("vm/idle-connections"));
        assert_eq!(found("figure-9b"), Some("vm/throughput-6000-1b"));
        assert_eq!(found("figure-1"), None);
    }
}
