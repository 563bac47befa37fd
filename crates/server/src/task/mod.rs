//! The driver of the task model: a task of the tokio runtime for each connection.

mod driver;
mod runtime_failure;
mod work;

pub(crate) use driver::run;
