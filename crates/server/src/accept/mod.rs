//! Accepting connections: the listener, the batches in which connections are accepted, and how they reach their workers.

mod acceptor;
mod address;
mod batch;
mod handoff;
mod listener;

pub(crate) use acceptor::{AcceptSink, Acceptor};
pub use address::{Address, Listen};
pub(crate) use batch::{Accept, BatchEnd, Shortage, accept_batch};
pub(crate) use handoff::HandoffQueue;
pub(crate) use listener::{Accepted, Listeners, accept_blocking, accept_nonblocking, address_of, join, open};
