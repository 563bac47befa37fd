//! Experiments: one question is one TOML file.
//!
//! [`Source`] finds the text, [`Experiment::parse`] reads it and points at the line of every mistake, and
//! [`crate::plan`] turns the result into cells.

mod authority;
mod builtin;
mod check;
mod figures;
pub(crate) mod options;
mod parse;
mod source;
mod spec;
pub(crate) mod value;

pub(crate) use authority::Authority;
pub use builtin::{BUILT_IN, BuiltIn};
pub(crate) use figures::study_of;
pub(crate) use source::Source;
pub(crate) use spec::{
    AdviceSpec, ClaimSpec, Experiment, FigureSpec, LevelFilter, PublishedSpec, Scale, Settings, TableSpec, VariantSpec,
    flag_text,
};
