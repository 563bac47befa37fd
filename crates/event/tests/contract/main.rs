//! The contract suite: every case on every row of `MECHANISMS`, each pair its own named test.
//!
//! A pair has three outcomes: it passes; the mechanism does not offer what the case is about, which is asserted to be a
//! typed error; or the mechanism is unavailable here, which is printed with its reason, and is a failure where the
//! environment variable `C10K_REQUIRE` is `all` or lists the mechanism (`all,-NAME` is all but one). A mechanism's new
//! row gets every case.
//!
//! With `C10K_MATRIX=FILE` each pair also appends one JSON line to the file: `mechanism`, `case`, `outcome`, `reason`.
#![forbid(unsafe_code)]

mod cases;
mod rig;
#[path = "../support/mod.rs"]
mod support;

use c10k_event::{Mechanism, Trigger};
use c10k_testkit::required::is_required;
use libtest_mimic::{Arguments, Failed, Trial};
use rig::refuses;
use std::{fmt::Write as _, io::Write as _, process::Command};
use support::unavailable;

/// One thing that the contract promises.
pub(crate) struct Case {
    /// In words, as the test is called.
    pub(crate) name: &'static str,
    /// Which triggers it is about.
    pub(crate) about: About,
    /// Where it runs.
    pub(crate) place: Place,
    /// The check, for one trigger; a panic is a failure.
    pub(crate) run: fn(Setup) -> Outcome,
}

/// Which triggers a case is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// It holds with each trigger that the mechanism offers.
    EachTrigger,
    /// It is the definition of this one.
    Only(Trigger),
}

/// Where a case runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a thread beside other cases.
    Beside,
    /// In a process of its own: it forks, changes limits, or needs most of the descriptors.
    OwnProcess,
}

/// What a case runs with.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) mechanism: Mechanism,
    pub(crate) trigger: Trigger,
}

/// What came of a pair.
pub(crate) enum Outcome {
    Pass,
    /// The mechanism does not offer what the case is about, and said so by a typed error.
    Unsupported(&'static str),
    /// It cannot run here.
    Unavailable(String),
}

/// Set in the process of a case that runs in its own.
const INNER: &str = "C10K_INNER";

fn main() {
    if std::env::var_os(rig::FILLER).is_some() {
        return rig::Filler::run();
    }
    let arguments = Arguments::from_args();
    let trials = Mechanism::all()
        .flat_map(|mechanism| cases::all().map(move |case| trial(mechanism, case)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(mechanism: Mechanism, case: &'static Case) -> Trial {
    let name = format!("{mechanism}::{}", case.name);
    Trial::test(name.clone(), move || {
        if let Some(reason) = unavailable(mechanism)? {
            record(mechanism, case, &Outcome::Unavailable(reason));
            return Ok(());
        }
        let inner = std::env::var_os(INNER).is_some();
        if case.place == Place::OwnProcess && !inner {
            return alone(&name);
        }
        let outcome = run(mechanism, case);
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

fn run(mechanism: Mechanism, case: &Case) -> Outcome {
    let triggers = mechanism.triggers().iter().copied();
    let relevant = triggers.filter(|&trigger| case.about == About::EachTrigger || case.about == About::Only(trigger));
    let mut outcome = None;
    for trigger in relevant {
        match (case.run)(Setup { mechanism, trigger }) {
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

/// Runs one test in a process of its own.
fn alone(name: &str) -> Result<(), Failed> {
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
    // One write to a file opened for appending is one line, whoever else writes.
    let appended = std::fs::File::options()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = appended {
        panic!("writing the matrix: {error}");
    }
}
