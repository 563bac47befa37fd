//! What it costs when a source is written to many times before it is looked at.
//!
//! 64 sources get 10 writes each; then all that is queued is fetched and read. A mechanism that queues an event for each
//! write tells 640, one that coalesces tells 64.

use c10k_event::{InterestSet, Mechanism};

use super::{Pairs, Print, WorkloadError};

const SOURCES: usize = 64;
const WRITES: usize = 10;

pub(super) fn run(mechanism: Mechanism, print: &mut Print<'_>) -> Result<(), WorkloadError> {
    for writes in [1, WRITES] {
        let mut pairs = Pairs::new(InterestSet::open(mechanism)?);
        pairs.grow_to(SOURCES)?;
        let cell = pairs.measure(&format!("sources={SOURCES} writes={writes}"), SOURCES, writes)?;
        print(cell).map_err(|error| WorkloadError::Io("print a record", error))?;
    }
    Ok(())
}
