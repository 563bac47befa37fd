//! Whole runs in virtual time against scripted servers: the peer's behaviour is a function, so the truth is known.

mod accounting;
mod allocations;
mod ground_truth;
mod sessions;
mod virtual_world;
