//! Threads that do work that may block, so that nobody else waits for it.

mod limit;
mod pool;

pub(crate) use limit::{Admitted, WorkLimit};
pub(crate) use pool::HelperPool;
