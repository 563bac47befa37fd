//! What it costs if a source is written several times before it is read.
//!
//! 64 sources get 10 writes each; then all events are fetched and all sources read. A mechanism that queues an event for each
//! write reports 640 events, one that merges them reports 64.

use c10k_event::InterestSet;

use super::error::WorkloadError;
use super::pairs::Pairs;
use super::task::Task;

const SOURCES: usize = 64;
const WRITES: [usize; 2] = [1, 10];

fn load(writes: usize) -> String {
    format!("sources={SOURCES} writes={writes}")
}

pub(super) fn loads() -> Vec<String> {
    WRITES.map(load).into()
}

pub(super) fn run(task: &mut Task<'_>) -> Result<(), WorkloadError> {
    let Some(mechanism) = task.mechanism()? else {
        return Ok(());
    };
    for writes in WRITES {
        let load = load(writes);
        if task.is_selected(&load) {
            let mut pairs = Pairs::new(InterestSet::open(mechanism)?);
            pairs.grow_to(SOURCES)?;
            task.print(pairs.measure(&load, SOURCES, writes)?)?;
        }
    }
    Ok(())
}
