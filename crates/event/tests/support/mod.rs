//! Helpers that the test programs share.

use c10k_event::Mechanism;
use c10k_testkit::required::is_required;
use std::sync::{Mutex, PoisonError};

/// The results of probing. Each mechanism is probed once per test program, and its reason is printed once.
static PROBED: Mutex<Vec<(&str, Option<String>)>> = Mutex::new(Vec::new());

/// The reason why a mechanism cannot run on this machine, which is also printed on standard error. `None` if it can
/// run.
///
/// # Errors
/// The mechanism cannot run, but `C10K_REQUIRE` requires it.
pub(crate) fn unavailable(mechanism: Mechanism) -> Result<Option<String>, String> {
    let mut probed = PROBED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = probed.iter().find(|(name, _)| *name == mechanism.name());
    let reason = if let Some((_, reason)) = known {
        reason.clone()
    } else {
        let reason = mechanism.probe().err().map(|reason| reason.to_string());
        if let Some(reason) = &reason {
            eprintln!("{mechanism}: unavailable here: {reason}");
        }
        probed.push((mechanism.name(), reason.clone()));
        reason
    };
    match reason {
        Some(reason) if is_required(&[mechanism.name()]) => Err(format!(
            "{mechanism} is required (C10K_REQUIRE) and unavailable: {reason}"
        )),
        reason => Ok(reason),
    }
}
