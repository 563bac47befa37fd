//! When the queue of signals overflows, and what that costs: the paper's table 1 with signal-per-fd beside.
//!
//! 200 sources get 10 writes each before anything is fetched, with queues shorter than the sources, as long as them, and
//! as long as the writes.

use c10k_event::{InterestSet, Mechanism, Options};

use super::{Pairs, Print, WorkloadError};

const SOURCES: usize = 200;
const WRITES: usize = 10;

pub(super) fn run(mechanism: Mechanism, print: &mut Print<'_>) -> Result<(), WorkloadError> {
    for queue in [SOURCES / 2, SOURCES, SOURCES * WRITES] {
        let mut options = Options::default();
        options.signal_queue = Some(queue as u64);
        let mut pairs = Pairs::new(InterestSet::open_with(mechanism, &options)?);
        pairs.grow_to(SOURCES)?;
        let cell = pairs.measure(
            &format!("queue={queue} sources={SOURCES} writes={WRITES}"),
            SOURCES,
            WRITES,
        )?;
        print(cell).map_err(|error| WorkloadError::Io("print a record", error))?;
    }
    Ok(())
}
