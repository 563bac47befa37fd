//! Safe wrappers over the Linux facilities that `c10k` needs.
//!
//! This is the only crate of the workspace with `unsafe` code. One file is one kernel facility; each function opens
//! with the call itself and its manual page, and each `unsafe` block says which invariant holds and who upholds it.
//! Only `rivals` (feature `rivals`) is about something else: other event libraries, to be measured beside c10k-event.

pub mod allocations;
pub mod bind_no_port;
pub mod bpf;
pub mod cpu_clock;
pub mod epoll;
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
pub mod faults;
pub mod fork;
pub mod local_port_range;
pub mod loopback;
pub mod poll;
pub mod poll_ring;
pub mod process;
mod provided_buffers;
pub mod required;
pub mod ring_setup;
#[cfg(feature = "rivals")]
pub mod rivals;
pub mod rusage;
pub mod scheduling;
pub mod select;
pub mod shared_counters;
pub mod signal;
pub mod spawn;
pub mod stream_ring;
pub mod termination;
mod timeout;
pub mod user;
