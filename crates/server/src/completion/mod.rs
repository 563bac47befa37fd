//! The driver of the completion model: a loop over an io_uring.

mod acceptor;
mod connection;
mod driver;

pub(crate) use driver::{run, shape};
