//! Notices threads that sleep while they have a place.

use std::time::Duration;

use super::{Port, ThreadStates};

/// How often the monitor looks at the threads that have a place. A tenth of what a person notices, and far longer than a turn that
/// does not block: most turns begin and end between two looks, and cost the monitor nothing.
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

/// The monitor rests if no thread has had a place for so many looks, until one has.
const QUIET_LOOKS: u32 = 50;

/// Takes the places of threads that sleep, until the port has ended and only threads without a place are left. Calls `noticed` for
/// each place.
///
/// A thread is looked at only if it has had its place since the look before. So a place is taken from a thread that has not come to
/// a scheduling point for at least one interval, and never for a short wait, such as one for a lock, of a thread that has just begun.
pub(crate) fn run(port: &Port, states: &ThreadStates, mut noticed: impl FnMut()) {
    let mut before = Vec::new();
    let (mut admissions, mut quiet) = (0, 0);
    while let Some(look) = port.look_after(INTERVAL) {
        for (thread, turn) in &look.holders {
            if before.contains(&(*thread, *turn)) && states.sleeps(*thread) && port.oust(*thread, *turn) {
                noticed();
            }
        }
        let is_quiet = look.holders.is_empty() && look.admissions == admissions;
        quiet = if is_quiet { quiet + 1 } else { 0 };
        (before, admissions) = (look.holders, look.admissions);
        if quiet >= QUIET_LOOKS {
            port.rest(admissions);
            quiet = 0;
        }
    }
}
