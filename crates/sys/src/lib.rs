//! Safe wrappers over the Linux calls that `c10k` makes.
//!
//! One file is one kernel facility. The documentation of a function opens with the call and its manual page, and every
//! `unsafe` block states the invariant that it relies on and who upholds it. Calls that `rustix` offers safely are not
//! repeated here.
//!
//! The feature `io-uring` adds the modules that drive io_uring.

pub mod aio_ring;
pub mod bind_no_port;
pub mod cpu_clock;
pub mod dev_poll;
pub mod entropy;
pub mod epoll;
pub mod fork;
pub mod limit;
pub mod local_port_range;
pub mod loopback;
pub mod namespace;
pub mod poll;
#[cfg(feature = "io-uring")]
pub mod poll_ring;
pub mod process;
#[cfg(feature = "io-uring")]
mod provided_buffers;
#[cfg(feature = "io-uring")]
pub mod ring;
#[cfg(feature = "io-uring")]
pub mod ring_setup;
pub mod rusage;
pub mod scheduling;
pub mod select;
pub mod shared_counters;
pub mod signal;
pub mod spawn;
#[cfg(feature = "io-uring")]
pub mod stream_ring;
pub mod termination;
mod timeout;
pub mod user;
