//! When the queue of signals overflows, and what that costs: the paper's table 1, with signal-per-fd.
//!
//! 200 sources get 10 writes each before anything is fetched. The queue is half as long as there are sources, as long as there
//! are sources, or as long as there are writes.

use c10k_event::{InterestSet, Options};

use super::error::WorkloadError;
use super::pairs::Pairs;
use super::task::Task;

const SOURCES: usize = 200;
const WRITES: usize = 10;
const QUEUES: [usize; 3] = [SOURCES / 2, SOURCES, SOURCES * WRITES];

fn load(queue: usize) -> String {
    format!("queue={queue} sources={SOURCES} writes={WRITES}")
}

pub(super) fn loads() -> Vec<String> {
    QUEUES.map(load).into()
}

pub(super) fn run(task: &mut Task<'_>) -> Result<(), WorkloadError> {
    let Some(mechanism) = task.mechanism()? else {
        return Ok(());
    };
    for queue in QUEUES {
        let load = load(queue);
        if task.is_selected(&load) {
            let mut options = Options::default();
            options.signal_queue = Some(queue as u64);
            let mut pairs = Pairs::new(InterestSet::open_with(mechanism, &options)?);
            pairs.grow_to(SOURCES)?;
            task.print(pairs.measure(&load, SOURCES, WRITES)?)?;
        }
    }
    Ok(())
}
