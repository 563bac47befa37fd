//! Statistics: what one worker counts, and the sums of all workers.

mod shared;
mod worker;

pub(crate) use shared::SharedStats;
pub(crate) use worker::{Calls, WorkerStats};
