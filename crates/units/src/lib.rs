//! Durations, sizes, rates and shares as text: one grammar for command lines, experiment files, request targets and
//! reports.
//!
//! [`Filter`] selects the cells of a study by the values in their names (`--only`).
//!
//! Each module has `parse`, which accepts a value as people write it, and `exact`, which prints it so that `parse`
//! returns the same value. Nothing is rounded on the way: a text that its type cannot hold is an error.
//! What is meant for the eye only, and may be rounded, is in [`display`].
//!
//! ```
//! use std::time::Duration;
//! use c10k_units::{duration, size};
//!
//! assert_eq!(duration::parse("1.5ms"), Ok(Duration::from_micros(1500)));
//! assert_eq!(duration::exact(Duration::from_nanos(500)), "500ns");
//! assert_eq!(size::parse("6k"), Ok(6144));
//! ```
#![forbid(unsafe_code)]

mod decimal;
pub mod display;
pub mod duration;
mod error;
mod filter;
pub mod rate;
pub mod share;
pub mod size;

pub use error::ValueError;
pub use filter::Filter;
