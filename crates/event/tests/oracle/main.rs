//! The oracle: random scripts on every mechanism, compared with a naive `poll(2)` scan after every step.
//!
//! `C10K_ORACLE_SCRIPTS` sets the number of scripts per mechanism and trigger (default 200), `C10K_ORACLE_SEED` the
//! first seed. A failure prints its seed; add it to `REGRESSIONS`. The corpus of the fuzzer is replayed too.
#![forbid(unsafe_code)]

mod script;
#[path = "../support/mod.rs"]
mod support;

use c10k_event::{Mechanism, Trigger};
use libtest_mimic::{Arguments, Failed, Trial};
use rand_pcg::{
    Pcg64,
    rand_core::{Rng, SeedableRng},
};
use std::path::Path;
use support::unavailable;

/// Seeds of scripts that failed once, with the defect that they found.
const REGRESSIONS: &[(u64, &str)] = &[
    (
        4,
        "io_uring: the wait after a removal may return only the completions that arrived meanwhile",
    ),
    (7, "real-time signals: no signal of a reused number was checked"),
    (
        13,
        "an event left in the batch was reported after a oneshot source was rearmed",
    ),
];

/// The number of steps of a random script.
const STEPS: usize = 60;

fn main() {
    let arguments = Arguments::from_args();
    let trials = Mechanism::all()
        .flat_map(|mechanism| mechanism.triggers().iter().map(move |&trigger| (mechanism, trigger)))
        .flat_map(|(mechanism, trigger)| {
            let name = |what| format!("{mechanism}::{trigger}::{what}");
            [
                Trial::test(name("random_scripts"), move || random_scripts(mechanism, trigger)),
                Trial::test(name("regressions"), move || regressions(mechanism, trigger)),
                Trial::test(name("corpus_of_the_fuzzer"), move || corpus(mechanism, trigger)),
            ]
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn number(variable: &str, otherwise: u64) -> Result<u64, Failed> {
    match std::env::var(variable) {
        Ok(value) => value
            .parse()
            .map_err(|_| Failed::from(format!("{variable}={value} is not a number"))),
        Err(_) => Ok(otherwise),
    }
}

/// The script that a seed generates.
fn script(seed: u64) -> Vec<u8> {
    let mut script = vec![0; STEPS * script::STEP];
    Pcg64::seed_from_u64(seed).fill_bytes(&mut script);
    script
}

/// The script that a seed of [`REGRESSIONS`] generated when it failed: there were 14 operations, and no terminals.
fn former_script(seed: u64) -> Vec<u8> {
    let mut script = script(seed);
    for step in script.chunks_exact_mut(script::STEP) {
        step[0] = ((step[0] & 0x7f) % 14) | (step[0] & 0x80);
        step[2] &= !script::TERMINAL;
    }
    script
}

fn random_scripts(mechanism: Mechanism, trigger: Trigger) -> Result<(), Failed> {
    if unavailable(mechanism)?.is_some() {
        return Ok(());
    }
    let first = number("C10K_ORACLE_SEED", 1)?;
    for seed in first..first + number("C10K_ORACLE_SCRIPTS", 200)? {
        script::run(mechanism, trigger, &script(seed)).map_err(|problem| format!("seed {seed}: {problem}"))?;
    }
    Ok(())
}

fn regressions(mechanism: Mechanism, trigger: Trigger) -> Result<(), Failed> {
    if unavailable(mechanism)?.is_some() {
        return Ok(());
    }
    for &(seed, what) in REGRESSIONS {
        script::run(mechanism, trigger, &former_script(seed))
            .map_err(|problem| format!("seed {seed} ({what}): {problem}"))?;
    }
    Ok(())
}

fn corpus(mechanism: Mechanism, trigger: Trigger) -> Result<(), Failed> {
    if unavailable(mechanism)?.is_some() {
        return Ok(());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/event_script");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut count = 0;
    for entry in entries {
        let path = entry?.path();
        script::run(mechanism, trigger, &std::fs::read(&path)?)
            .map_err(|problem| format!("{}: {problem}", path.display()))?;
        count += 1;
    }
    if count == 0 {
        Err(format!("{} is empty", folder.display()).into())
    } else {
        Ok(())
    }
}
