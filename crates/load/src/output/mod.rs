//! Results as text: one format is one file.

pub mod csv;
pub mod hgrm;
pub mod httperf;
pub mod openmetrics;
pub mod text;
