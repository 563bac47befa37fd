//! The driver of the completion model: a loop over an io_uring.

mod acceptor;
mod connection;
mod driver;
mod kernel_thread;
mod shape;
mod work;

pub(crate) use driver::run;
pub(crate) use kernel_thread::KernelThread;
pub(crate) use shape::shape;
