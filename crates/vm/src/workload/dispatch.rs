//! What it costs to learn of one event, with many sources that are silent.
//!
//! The unit is one byte written to one source, told, and read until the source would block: the write, the wait, and two
//! reads, kernel and user together.

use c10k_event::{InterestSet, Mechanism};

use super::{Pairs, Print, WorkloadError};

/// Sources that stay silent, and sources that are written to in every round.
const IDLE: &[usize] = &[10, 100, 1_000, 5_000];
const ACTIVE: &[usize] = &[1, 10, 100];

pub(super) fn run(mechanism: Mechanism, print: &mut Print<'_>) -> Result<(), WorkloadError> {
    for &idle in IDLE {
        // A set of its own, so that no cell depends on those before it.
        let mut pairs = Pairs::new(InterestSet::open(mechanism)?);
        for &active in ACTIVE {
            pairs.grow_to(idle + active)?;
            let cell = pairs.measure(&format!("idle={idle} active={active}"), active, 1)?;
            print(cell).map_err(|error| WorkloadError::Io("print a record", error))?;
        }
    }
    Ok(())
}
