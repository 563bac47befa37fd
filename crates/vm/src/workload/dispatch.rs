//! What it costs to learn of one event while many other sources are silent.
//!
//! The unit of work is one byte: written to a source, reported, and read until the source would block. That is the write, the
//! wait, and two reads, kernel and user together.

use c10k_event::InterestSet;

use super::error::WorkloadError;
use super::pairs::Pairs;
use super::task::Task;

/// Sources that stay silent, and sources that are written in every round.
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
        let selected = ACTIVE.map(|active| task.is_selected(&load(idle, active)));
        if !selected.contains(&true) {
            continue;
        }
        // Each has a new set, so that no cell depends on those before it.
        let mut pairs = Pairs::new(InterestSet::open(mechanism)?);
        for (active, selected) in ACTIVE.into_iter().zip(selected) {
            pairs.grow_to(idle + active)?;
            if selected {
                task.print(pairs.measure(&load(idle, active), active, 1)?)?;
            }
        }
    }
    Ok(())
}
