//! An open-loop HTTP load generator with an idle-connection pool.
//!
//! A [`LoadPlan`] says what to do, [`run`] does it and returns a [`LoadReport`] with a [`c10k_record::LoadSummary`].
//!
//! # The contract
//!
//! - **The schedule is the users.** One global, seeded [`schedule`] says when each request is due. It does not know
//!   connections, threads or replies. Latency counts from the scheduled instant, always; so a server that stalls is
//!   charged with every request that was due meanwhile (what is known as coordinated omission cannot occur).
//! - **Everything is accounted.** `intended = sent + never_sent` and
//!   `sent = completed + timed_out + errors + in_flight` hold at the end of every run, and [`run`] asserts them. A
//!   request that got no good answer enters the percentiles with the time limit, its lower bound.
//! - **An honest word.** A run that was bounded by the generator itself (descriptors, ports, CPU, send lag) or whose
//!   idle pool was not reached or held is `valid: false` and says why.
//! - **Time is an argument.** Schedule, lanes, books and verdict never read a clock; [`clock`] is the one file that does.
//!
//! ```no_run
//! use c10k_load::{LoadPlan, Target, run};
//!
//! let plan = LoadPlan::new(Target::parse("http://127.0.0.1:8080/bytes/92")?);
//! let summary = run(&plan, |news| eprintln!("{news:?}"))?.summary;
//! println!("p99 {} ns, valid: {}", summary.latency_ns.p99, summary.valid);
//! # Ok::<(), c10k_load::LoadError>(())
//! ```
#![forbid(unsafe_code)]

pub mod account;
mod churn;
pub mod clock;
mod endpoint;
mod engine;
mod error;
pub mod failure;
pub mod fingerprint;
pub mod histogram;
pub mod idle;
mod lane;
mod limits;
pub mod occupancy;
mod opening;
pub mod output;
pub mod pacing;
mod plan;
mod probe;
pub mod profile;
mod report;
mod run;
pub mod schedule;
pub mod search;
pub mod series;
pub mod sessions;
pub mod share;
mod socket;
mod sockets;
pub mod sources;
pub mod statistics;
mod target;
pub mod traffic;
mod verdict;
mod watch;
mod worker;
mod world;

pub use endpoint::Endpoint;
pub use error::LoadError;
pub use limits::Limits;
pub use pacing::Pace;
pub use plan::{Bodies, Close, LoadPlan, Pattern, Probe, Rate};
pub use report::LoadReport;
pub use run::{run, run_until};
pub use schedule::Arrival;
pub use sessions::Sessions;
pub use sources::Ports;
pub use target::{Expected, Target};
pub use watch::{News, Progress, Stop};
