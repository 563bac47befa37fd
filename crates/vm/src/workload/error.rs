//! Why a workload stopped.

use std::io;
use std::time::Duration;

use c10k_event::{DeclareError, OpenError, UnknownMechanism, WaitError};
use c10k_units::duration;

/// Why a workload stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// There is no such workload.
    #[error("no workload {name}; there are {known}")]
    Unknown {
        /// The name given.
        name: String,
        /// All names.
        known: String,
    },
    /// There is no such mechanism.
    #[error(transparent)]
    Mechanism(#[from] UnknownMechanism),
    /// A set cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A source cannot be declared.
    #[error(transparent)]
    Declare(#[from] DeclareError),
    /// Waiting failed.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A socket, a process, or standard output failed.
    #[error("cannot {0}: {1}; check the limit of open descriptors")]
    Io(&'static str, #[source] io::Error),
    /// An event did not arrive in time.
    #[error("{missing} of {work} writes were not reported within {limit}", limit = duration::exact(*.limit))]
    Lost {
        /// Writes that were not read.
        missing: u64,
        /// Writes made.
        work: u64,
        /// The longest wait for the next event.
        limit: Duration,
    },
    /// The server did not do what it was asked.
    #[error("{subject}: {problem}; run `c10k serve` with that model and mechanism to see why")]
    Server {
        /// The subject.
        subject: String,
        /// What it did.
        problem: String,
    },
    /// The figures cannot be exact.
    #[error("{load}: {why}; these figures are exact only in the guest of `c10k vm study` with --accel tcg")]
    Inexact {
        /// The load.
        load: String,
        /// What was seen.
        why: String,
    },
}
