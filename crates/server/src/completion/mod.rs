//! The driver of the completion model: a loop over an io_uring.

mod acceptor;
mod connection;
mod driver;
mod kernel_thread;

pub(crate) use driver::{run, shape};
pub(crate) use kernel_thread::KernelThread;
