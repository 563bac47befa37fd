//! Results as text: one format is one file.

pub mod text;
