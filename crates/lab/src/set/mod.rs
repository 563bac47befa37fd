//! Several studies as one: a folder each, one budget for all, one overview.
//!
//! A study that fails is a line of the overview and does not stop the others. A set is as durable as its studies:
//! `set.json` holds what was asked for, each study keeps its own records, and resuming the set resumes each study.

mod manifest;
mod members;
mod overview;
mod run;
mod terminal;

pub use manifest::{is_begun, is_set, set_folder};
pub(crate) use run::begun;
pub use run::{redraw_set, run_set};
pub use terminal::set_text;
