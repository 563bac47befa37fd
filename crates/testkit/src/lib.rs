//! What the tests of `c10k` share. A dev-dependency: no part of the product links it.
//!
//! - [`allocations`]: an allocator that counts, for tests that assert how much is allocated.
//! - [`faults`]: a tracer that lets system calls of a program fail.
//! - [`required`]: whether a test that cannot run here is a failure (`C10K_REQUIRE`).

pub mod allocations;
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
pub mod faults;
pub mod required;
