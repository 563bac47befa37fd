//! What it costs to learn of one event, with many sources that are silent.
//!
//! The unit is one byte written to one source, told, and read until the source would block: the write, the wait, and two
//! reads, kernel and user together.

use c10k_event::InterestSet;

use super::pairs::Pairs;
use super::{Task, WorkloadError};

/// Sources that stay silent, and sources that are written to in every round.
const IDLE: [usize; 4] = [10, 100, 1_000, 5_000];
const ACTIVE: [usize; 3] = [1, 10, 100];

fn load(idle: usize, active: usize) -> String {
    format!("idle={idle} active={active}")
}

pub(super) fn loads() -> Vec<String> {
    let loads = IDLE.iter().flat_map(|&idle| ACTIVE.map(|active| load(idle, active)));
    loads.collect()
}

pub(super) fn run(task: &mut Task<'_>) -> Result<(), WorkloadError> {
    let Some(mechanism) = task.mechanism()? else {
        return Ok(());
    };
    for idle in IDLE {
        let asked = ACTIVE.map(|active| task.asks_for(&load(idle, active)));
        if !asked.contains(&true) {
            continue;
        }
        // A set of its own, so that no cell depends on those before it.
        let mut pairs = Pairs::new(InterestSet::open(mechanism)?);
        for (active, asked) in ACTIVE.into_iter().zip(asked) {
            pairs.grow_to(idle + active)?;
            if asked {
                task.print(pairs.measure(&load(idle, active), active, 1)?)?;
            }
        }
    }
    Ok(())
}
