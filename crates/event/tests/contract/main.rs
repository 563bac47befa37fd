//! The contract suite: every case on every row of `MECHANISMS`, each pair its own named test.
//!
//! A pair has one of three outcomes. It passes. It is unsupported: the mechanism does not offer what the case tests,
//! and the case asserts the typed error. Or the mechanism is unavailable on this machine: the reason is printed, and
//! the pair fails if the environment variable `C10K_REQUIRE` is `all` or lists the mechanism (`all,-NAME` requires all
//! but one). A new row of the table gets every case.
//!
//! A mechanism with a ring also runs every case on each [way](rings::all) to set it up.
//!
//! With `C10K_MATRIX=FILE` each pair also appends one JSON line to the file: `mechanism`, `case`, `outcome`, `reason`.
#![forbid(unsafe_code)]

mod cases;
#[path = "../support/queued.rs"]
mod queued;
mod rig;
mod rings;
#[path = "../support/mod.rs"]
mod support;

use c10k_event::{Mechanism, Options, RingSetup, Trigger};
use c10k_testkit::required::is_required;
use libtest_mimic::{Arguments, Failed, Trial};
// Under the name that the other test programs have for it.
use rig as sockets;
use rig::refuses;
use std::{fmt::Write as _, io::Write as _, process::Command};
use support::unavailable;

/// One behaviour that the contract promises.
pub(crate) struct Case {
    /// The name of the test.
    pub(crate) name: &'static str,
    /// The triggers that it runs with.
    pub(crate) about: About,
    /// Whether it needs its own process.
    pub(crate) isolation: Isolation,
    /// The check, for one trigger; a panic is a failure.
    pub(crate) run: fn(Setup) -> Outcome,
}

/// The triggers that a case runs with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Each trigger that the mechanism offers.
    EachTrigger,
    /// This trigger, which the case defines.
    Only(Trigger),
}

/// Whether a case needs its own process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// In a thread of the test program, concurrently with other cases.
    SharedProcess,
    /// In its own process: the case forks, changes limits, or needs most of the descriptors.
    OwnProcess,
}

/// The mechanism, the trigger and the way to set up a ring that a case runs with.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) mechanism: Mechanism,
    pub(crate) trigger: Trigger,
    pub(crate) ring: Option<RingSetup>,
}

impl Setup {
    /// The options of a set.
    pub(crate) fn options(self) -> Options {
        let mut options = Options::default();
        options.ring = self.ring;
        options
    }
}

/// The outcome of a pair.
pub(crate) enum Outcome {
    Pass,
    /// The mechanism does not offer what the case tests, and returned a typed error.
    Unsupported(&'static str),
    /// The case cannot run on this machine.
    Unavailable(String),
}

/// Set in the process of a case that runs in its own process.
const INNER: &str = "C10K_INNER";

fn main() {
    if let Ok(limit) = std::env::var(rig::FILLER) {
        return rig::Filler::run(&limit);
    }
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = Mechanism::all()
        .flat_map(|mechanism| cases::all().map(move |case| trial(mechanism, case)))
        .collect();
    for mechanism in Mechanism::all().filter(|mechanism| mechanism.descriptor().ring) {
        for (name, ring) in rings::all() {
            trials.extend(cases::all().map(|case| trial_with(mechanism, case, name, ring)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// A case on a ring that is set up in another way than the default. It is no cell of the matrix.
fn trial_with(mechanism: Mechanism, case: &'static Case, ring_name: &str, ring: RingSetup) -> Trial {
    let name = format!("{mechanism}::{ring_name}::{}", case.name);
    Trial::test(name.clone(), move || {
        if unavailable(mechanism)?.is_some() {
            return Ok(());
        }
        if let Some(reason) = rings::refused(mechanism, ring) {
            eprintln!("{name}: unavailable here: {reason}");
            return if is_required(&[mechanism.name()]) {
                Err(Failed::from(reason))
            } else {
                Ok(())
            };
        }
        if case.isolation == Isolation::OwnProcess && std::env::var_os(INNER).is_none() {
            return run_in_own_process(&name);
        }
        if let Outcome::Unavailable(reason) = run(mechanism, case, Some(ring)) {
            eprintln!("{name}: unavailable here: {reason}");
        }
        Ok(())
    })
}

fn trial(mechanism: Mechanism, case: &'static Case) -> Trial {
    let name = format!("{mechanism}::{}", case.name);
    Trial::test(name.clone(), move || {
        if let Some(reason) = unavailable(mechanism)? {
            record(mechanism, case, &Outcome::Unavailable(reason));
            return Ok(());
        }
        let inner = std::env::var_os(INNER).is_some();
        if case.isolation == Isolation::OwnProcess && !inner {
            return run_in_own_process(&name);
        }
        let outcome = run(mechanism, case, None);
        record(mechanism, case, &outcome);
        match outcome {
            Outcome::Unavailable(reason) if is_required(&[mechanism.name()]) => Err(Failed::from(format!(
                "{mechanism} is required (C10K_REQUIRE) and unavailable: {reason}"
            ))),
            Outcome::Unavailable(reason) => {
                eprintln!("{name}: unavailable here: {reason}");
                Ok(())
            }
            Outcome::Pass | Outcome::Unsupported(_) => Ok(()),
        }
    })
}

fn run(mechanism: Mechanism, case: &Case, ring: Option<RingSetup>) -> Outcome {
    let triggers = mechanism.triggers().iter().copied();
    let relevant = triggers.filter(|&trigger| case.about == About::EachTrigger || case.about == About::Only(trigger));
    let mut outcome = None;
    for trigger in relevant {
        match (case.run)(Setup {
            mechanism,
            trigger,
            ring,
        }) {
            Outcome::Pass if outcome.is_none() => outcome = Some(Outcome::Pass),
            Outcome::Pass => {}
            other => outcome = Some(other),
        }
    }
    match (outcome, case.about) {
        (Some(outcome), _) => outcome,
        (None, About::Only(trigger)) => {
            refuses(mechanism, trigger);
            Outcome::Unsupported("the trigger")
        }
        (None, About::EachTrigger) => panic!("{mechanism} lists no trigger"),
    }
}

/// Runs one test in its own process.
fn run_in_own_process(name: &str) -> Result<(), Failed> {
    let program = std::env::current_exe().map_err(|error| format!("finding the test program: {error}"))?;
    let output = Command::new(program)
        .args([name, "--exact", "--test-threads=1"])
        .env(INNER, "1")
        .output()
        .map_err(|error| format!("starting the test program: {error}"))?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    if output.status.success() && out.contains("1 passed") {
        err.lines()
            .filter(|line| line.contains("unavailable here"))
            .for_each(|line| eprintln!("{line}"));
        return Ok(());
    }
    let mut message = format!("in its own process: {}", output.status);
    let _ = write!(message, "\n{out}\n{err}");
    Err(Failed::from(message))
}

fn record(mechanism: Mechanism, case: &Case, outcome: &Outcome) {
    let Some(path) = std::env::var_os("C10K_MATRIX") else {
        return;
    };
    let (outcome, reason) = match outcome {
        Outcome::Pass => ("pass", ""),
        Outcome::Unsupported(what) => ("unsupported", *what),
        Outcome::Unavailable(reason) => ("unavailable", reason.as_str()),
    };
    let line = format!(
        "{{\"mechanism\":\"{mechanism}\",\"case\":\"{}\",\"outcome\":\"{outcome}\",\"reason\":\"{}\"}}\n",
        case.name,
        reason.replace('\\', "\\\\").replace('"', "\\\"")
    );
    // One write in append mode: lines of concurrent writers do not mix.
    let appended = std::fs::File::options()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = appended {
        panic!("writing the matrix: {error}");
    }
}
