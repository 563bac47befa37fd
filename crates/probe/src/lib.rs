//! Measurements that need no server: what tasks, switches, an event library, fan-out and the monitoring daemon cost.
//!
//! `c10k probe NAME` runs one of them in a process of its own and prints a [`ProbeSummary`](c10k_record::ProbeSummary);
//! the lab starts that command and reads the summary, as it does with a server. Every run is bounded by the measured time
//! and by the counts among its options.
//!
//! A probe is one file in `probes/` and one row of [`PROBES`]. The row has its options and its figures; the flags of
//! `c10k probe`, the keys of `[probe]` in an experiment, the measures of claims and `c10k list` come from it.
#![forbid(unsafe_code)]

mod daemon;
mod error;
mod option;
mod probes;
mod ring;
mod row;
mod subscribers;
mod task;
mod timing;
mod triad;
mod values;

pub use error::ProbeError;
pub use option::{Kind, OptionRow};
pub use probes::{PROBES, named, run};
pub use row::{Figure, Probe};
