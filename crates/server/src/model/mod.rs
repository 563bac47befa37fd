//! The concurrency models. A model is one file and one row of [`MODELS`].

mod async_tasks;
mod children;
mod completion_port;
mod descriptor;
mod event_loop;
#[cfg(feature = "fake-rows")]
mod fake;
mod fork_per_connection;
mod io_uring;
mod leader_follower;
mod loop_per_core;
mod loop_with_helpers;
mod preforked;
mod recycling;
mod shared_queue;
mod table;
mod thread_per_connection;
mod thread_pool;
mod user_threads;
mod workers;

pub use descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, ModelOption, Workers};
pub use io_uring::probe_ring_option;
pub use table::{MODELS, Model};
