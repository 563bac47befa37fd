//! The concurrency models. A model is one file and one row of [`MODELS`].

mod descriptor;
mod fork;
mod one_loop;
mod pool;
mod table;

pub use descriptor::{Descriptor, Dispatch, Workers};
pub use table::{MODELS, Model};
