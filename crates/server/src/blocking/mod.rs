//! The driver of the blocking models: one connection at a time, on a socket whose calls block.

mod connection;
mod threads;
mod worker;

pub(crate) use connection::{BlockingConnection, Waits};
pub(crate) use threads::{BlockedThreads, STACK_BYTES, prepare_interrupts};
pub(crate) use worker::BlockingWorker;
