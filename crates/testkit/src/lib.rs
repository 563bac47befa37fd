//! Test support for `c10k`. It is a dev-dependency: no part of the product links it.
//!
//! - [`allocations`]: a counting allocator, for tests that assert the number of allocations.
//! - [`faults`]: a tracer that makes system calls of a program fail.
//! - [`handler`]: a signal handler that calls a function of the test.
//! - [`held_file`]: a file that blocks whoever opens it.
//! - [`required`]: whether a test that cannot run on this machine fails (`C10K_REQUIRE`).
//! - [`seccomp`]: a sandbox that refuses system calls.

pub mod allocations;
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
pub mod faults;
pub mod handler;
pub mod held_file;
pub mod required;
pub mod seccomp;
