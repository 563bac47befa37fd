//! The lab: plans a question as an experiment, runs it, judges the claim, draws the report.
//!
//! An experiment is a TOML file (`experiments/` holds the built-in ones). [`run_study`] resolves it into cells (one
//! variant at one combination of levels), runs each cell once per block in an order that a recorded seed decides, and
//! appends one record per cell to the study's folder. Then every claim of the experiment is judged from the records
//! and the report is drawn. [`redraw`] does only the last two.
//!
//! What is measured is started as a process and never linked: the lab knows `c10k serve` and `c10k load` only by what
//! they print (`c10k-record`), so that any other server is measured in the same way.
//!
//! ```no_run
//! use c10k_lab::{StudyOptions, run_study, study_text};
//!
//! let options = StudyOptions {
//!     tool: std::env::current_exe()?,
//!     ..StudyOptions::default()
//! };
//! let outcome = run_study("quick", &options)?;
//! println!("{}", study_text(&outcome));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod compare;
mod error;
mod executable;
mod experiment;
mod folder;
mod format;
mod guest_tables;
mod judge;
mod measure;
mod plan;
mod progress;
mod report;
mod results;
mod rows;
mod run;
mod set;
mod statistic;
mod stats;
mod study;
mod study_options;
#[cfg(test)]
mod testing;

pub use compare::{CompareOptions, compare, comparison_text, gate_text};
pub use error::LabError;
pub use experiment::{BUILT_IN, BuiltIn};
pub use report::study_text;
pub use rows::{Rows, register};
pub use set::{is_begun, is_set, redraw_set, run_set, set_folder, set_text};
pub use study::{check, redraw, run_study, studies, study_folder};
pub use study_options::{Start, StudyOptions};
