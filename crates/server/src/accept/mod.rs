//! Accepting connections: the listener, the batches in which connections are accepted, and how they reach their workers.

mod acceptor;
mod batch;
mod handoff;
mod listener;

pub(crate) use acceptor::{AcceptSink, Acceptor};
pub(crate) use batch::{Accept, BACK_OFF, BatchEnd, Shortage, accept_batch};
pub(crate) use handoff::HandoffQueue;
pub(crate) use listener::{Accepted, Port, accept_blocking, accept_nonblocking, inherited, open};
