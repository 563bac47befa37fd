//! An open-loop HTTP load generator with an idle-connection pool.
//!
//! A [`LoadPlan`] describes a run. [`run`] executes it and returns a [`LoadReport`] with a [`c10k_record::LoadSummary`],
//! which the [`FORMATS`] write in several formats. [`find_max`] searches the highest rate that a server sustains.
//!
//! # The contract
//!
//! - **The schedule represents the users.** One global schedule with a seed determines when each request is due. It does
//!   not depend on connections, threads or replies. Latency always counts from the scheduled instant. So a server that
//!   stalls is charged with every request that was due meanwhile; coordinated omission cannot occur.
//! - **Every request is accounted for.** `intended = sent + never_sent` and
//!   `sent = completed + timed_out + errors + in_flight` hold at the end of every run, and [`run`] asserts them. A
//!   request without a good reply enters the percentiles with the time limit, which is its lower bound.
//! - **A run knows whether it is valid.** A run that was limited by the generator itself (descriptors, ports, CPU, send
//!   lag), or whose idle pool was not complete, has `valid: false` and the reasons.
//! - **Time is an argument.** Schedule, engine and statistics never read a clock. In the tests, whole runs are simulated
//!   in virtual time.
//!
//! ```no_run
//! use c10k_load::{LoadPlan, Target, run};
//!
//! let plan = LoadPlan::new(Target::parse("http://127.0.0.1:8080/bytes/92")?);
//! let summary = run(&plan, |event| eprintln!("{event:?}"))?.summary;
//! println!("p99 {} ns, valid: {}", summary.latency_ns.p99, summary.valid);
//! # Ok::<(), c10k_load::LoadError>(())
//! ```
#![forbid(unsafe_code)]

mod accounting;
mod clock;
mod endpoint;
mod engine;
mod error;
mod fingerprint;
mod net;
mod output;
mod plan;
mod progress;
mod report;
mod run;
mod schedule;
mod search;
mod stop;
mod worker;

pub use clock::{Moment, use_server_clock};
pub use endpoint::Endpoint;
pub use error::LoadError;
pub use output::{Destination, FORMATS, OutputFormat, search_text};
pub use plan::{
    Arrival, Bodies, Close, LoadPlan, MixError, MixRow, Pace, Pattern, Ports, Probe, Rate, Sessions, Target,
};
pub use progress::{Progress, RunEvent};
pub use report::LoadReport;
pub use run::{run, run_until, run_windows};
pub use search::{Criterion, find_max};
pub use stop::Stop;
