//! What it costs when a source is written to many times before it is looked at.
//!
//! 64 sources get 10 writes each; then all that is queued is fetched and read. A mechanism that queues an event for each
//! write tells 640, one that coalesces tells 64.

use c10k_event::InterestSet;

use super::pairs::Pairs;
use super::{Task, WorkloadError};

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
        if task.asks_for(&load) {
            let mut pairs = Pairs::new(InterestSet::open(mechanism)?);
            pairs.grow_to(SOURCES)?;
            task.print(pairs.measure(&load, SOURCES, writes)?)?;
        }
    }
    Ok(())
}
