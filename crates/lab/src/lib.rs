//! The lab: plans a question as an experiment, runs it, judges the claim, draws the report.
#![forbid(unsafe_code)]
