//! The contract of the server, case by case, against every model on every mechanism, over real sockets.
//!
//! The subject is a process of its own: this executable starts itself again as the server ([`subject::serve`]), so that
//! signals, limits, children and exit codes are real. A row added to `MODELS` or `MECHANISMS` gets every case.
//!
//! A pair that cannot run here is printed with its reason and counts as ignored; with `C10K_REQUIRE=all`, or with its
//! name in that list, it fails.
#![forbid(unsafe_code)]

mod batches;
mod cases;
mod client;
mod dialogue;
mod disk;
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
mod faults;
mod files;
mod helpers;
mod hostile;
mod limits;
mod overflow;
mod port;
mod recycling;
mod ring_work;
mod sharing;
mod spin;
mod subject;
mod vectors;

use std::process::ExitCode;
use std::sync::{PoisonError, RwLock};
use std::thread::available_parallelism;

use c10k_event::Mechanism;
use c10k_server::{Config, Model, Server};
use libtest_mimic::{Arguments, Failed, Trial};
use subject::{Needs, Subject};

/// A name, what it needs of its subject, and what it asserts.
type Case = (&'static str, Needs, fn(&Subject));

/// All cases. Those with faults need the tracer, which supports one architecture.
const CASES: &[&[Case]] = &[
    cases::CASES,
    files::CASES,
    disk::CASES,
    ring_work::CASES,
    overflow::CASES,
    dialogue::CASES,
    hostile::CASES,
    limits::CASES,
    sharing::CASES,
    port::CASES,
    spin::CASES,
    helpers::CASES,
    batches::CASES,
    recycling::CASES,
    #[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
    faults::CASES,
];

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(subject::SERVE) {
        return subject::serve();
    }
    c10k_server::raise_descriptor_limit();
    let mut arguments = Arguments::from_args();
    // A case waits for its server most of the time.
    arguments.test_threads = arguments
        .test_threads
        .or_else(|| Some(2 * available_parallelism().ok()?.get()));
    let mut trials = Vec::new();
    for subject in Subject::all() {
        for (name, needs, case) in CASES.iter().copied().flatten() {
            if !subject.meets(*needs) {
                continue;
            }
            trials.push(trial(&subject, name, *needs, *case));
        }
    }
    trials.extend(misfits());
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A trial for each pair of a model and a mechanism that do not fit: the server says so before it listens.
fn misfits() -> impl Iterator<Item = Trial> {
    let pairs = Model::all().flat_map(|model| Mechanism::all().map(move |mechanism| (model, mechanism)));
    pairs.filter_map(|(model, mechanism)| {
        let reason = model.fits(mechanism).err()?;
        let title = format!("{}::{mechanism}::is_refused_with_a_reason_and_a_remedy", model.name());
        Some(Trial::test(title, move || {
            let refused = Server::bind(model, Config::new(mechanism)).expect_err("it does not fit");
            let (line, able) = reason.split_once("use one of ").ok_or("no remedy")?;
            assert!(line.contains(mechanism.name()), "{reason}");
            for name in able.trim_end_matches(", or another model").split(", ") {
                let able = Mechanism::named(name)?;
                assert!(model.fits(able).is_ok(), "{reason}");
            }
            let expected = format!("running the model {}: {reason}", model.name());
            assert_eq!(refused.to_string(), expected);
            Ok(())
        }))
    })
}

/// The kernel counts queued signals per user. A case whose server may queue only eight signals must run while no other
/// server of this suite queues any.
static SIGNAL_QUEUE: RwLock<()> = RwLock::new(());

fn run(subject: &Subject, needs: Needs, case: fn(&Subject)) {
    let _alone = (needs == Needs::SignalQueue).then(|| SIGNAL_QUEUE.write().unwrap_or_else(PoisonError::into_inner));
    let _shared = (needs != Needs::SignalQueue && subject.queues_signals())
        .then(|| SIGNAL_QUEUE.read().unwrap_or_else(PoisonError::into_inner));
    case(subject);
}

fn trial(subject: &Subject, name: &str, needs: Needs, case: fn(&Subject)) -> Trial {
    let title = format!("{}::{name}", subject.name());
    let subject = subject.clone();
    match subject.unavailable() {
        None => Trial::test(title, move || {
            run(&subject, needs, case);
            Ok(())
        }),
        Some(reason) if subject.is_required() => Trial::test(title, move || Err(Failed::from(reason))),
        Some(reason) => {
            eprintln!("{title}: cannot run here: {reason}");
            Trial::test(title, || Ok(())).with_ignored_flag(true)
        }
    }
}
