//! What a server decides about its connections, without I/O and without a clock.
//!
//! Deadlines, draining, eviction, limits and statistics are decided here, once for all models. A [`ConnectionCore`] is
//! one connection; a [`WorkerCore`] is what the connections of one worker share, the time included:
//! [`WorkerCore::advance`] is the only way in which time passes.
//!
//! Six drivers do the I/O: [`readiness`](crate::readiness) for the event mechanisms, [`shared`](crate::shared) for threads that
//! share one interest set, [`completion`](crate::completion) for io_uring, [`blocking`](crate::blocking) for threads and
//! processes, [`coroutine`](crate::coroutine) for user threads, and [`task`](crate::task) for tokio.

mod bodies;
mod connection;
mod descriptors;
mod eviction;
mod spin_limit;
mod worker;

#[cfg(test)]
mod tests;

pub(crate) use bodies::BodyBudget;
pub(crate) use connection::{Awaited, ConnectionCore, Expired, Output};
pub(crate) use descriptors::{DiskFiles, least_limit, room};
pub(crate) use eviction::{evict, evict_visited};
pub(crate) use spin_limit::SpinLimit;
pub(crate) use worker::WorkerCore;
