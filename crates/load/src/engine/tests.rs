//! Simulates whole runs in virtual time. The behaviour of the server is a function, so the correct results are known.

mod accounting;
mod allocations;
mod ground_truth;
mod mix;
mod sessions;
mod virtual_world;
