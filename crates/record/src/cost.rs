//! Costs counted in the deterministic guest.

use serde::{Deserialize, Serialize};

/// One line of a workload in the guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum CostRecord {
    /// A cell was measured.
    Cell(CostCell),
    /// A subject cannot run in the guest.
    Unavailable {
        /// Its name.
        subject: String,
        /// Why.
        reason: String,
    },
}

/// What one subject costs at one load. Of several measured windows, this is the one with the median cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostCell {
    /// What was measured, such as the name of a mechanism.
    pub subject: String,
    /// The load, such as `idle=1000 active=10`.
    pub load: String,
    /// Units of work done, such as writes that were read or requests that were answered.
    pub work: u64,
    /// Instructions of kernel and user together, for all units of work.
    pub instructions: u64,
    /// Events that the mechanism reported.
    pub events: u64,
    /// Signals taken from the queue.
    pub signals: u64,
    /// Overflows of the queue.
    pub overflows: u64,
    /// What the waits looked at, where the mechanism counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<ScanCounts>,
    /// The point of a load curve, where that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub curve: Option<CurvePoint>,
}

/// A point of a load curve. Times are those of the server's clock, which stands still while the generator runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Requests that were due in the measured time.
    pub due: u64,
    /// Of these, requests that were answered within their time limit.
    pub answered: u64,
    /// The measured time, nanoseconds. The server's process ran for [`CostCell::instructions`] of it.
    pub elapsed_ns: u64,
    /// Calls of the server that waited for events, from the first request to the last reply, as the cell's other counts.
    pub waits: u64,
    /// Replies per second.
    pub replies_per_s: f64,
    /// Response time from the instant at which a request is due, mean, nanoseconds.
    pub response_ns_mean: f64,
    /// The median.
    pub response_ns_p50: u64,
    /// The 99th percentile.
    pub response_ns_p99: u64,
    /// How late the generator sent a request, 99th percentile, nanoseconds.
    pub send_lag_ns_p99: u64,
}

/// What scans of an interest set in the kernel looked at, for all units of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCounts {
    /// Entries of the set.
    pub visited: u64,
    /// Of these, files that were asked for their state.
    pub asked: u64,
}

impl CostCell {
    /// The subject and its levels, as filters match them: `epoll-edge idle=1000 active=10`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.subject, self.load)
    }

    /// A number among the levels: 1000 for `idle` in `idle=1000 active=10`.
    #[must_use]
    pub fn level(&self, key: &str) -> Option<f64> {
        let levels = self.load.split(' ').filter_map(|level| level.split_once('='));
        let mut values = levels.filter(|(name, _)| *name == key).map(|(_, value)| value);
        values.next()?.parse().ok()
    }

    /// Share of the measured time in which the server's process ran, of a point of a load curve.
    #[must_use]
    pub fn cpu_share(&self) -> Option<f64> {
        Some(self.instructions as f64 / self.curve?.elapsed_ns.max(1) as f64)
    }

    /// Instructions of kernel and user together, for one unit of work.
    #[must_use]
    pub fn instructions_per_work(&self) -> f64 {
        self.instructions as f64 / self.work.max(1) as f64
    }
}

/// The result of a study in the guest: the figures, and what is needed to reproduce them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostTable {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Name of the study.
    pub study: String,
    /// Version of `c10k`.
    pub version: String,
    /// Release of the guest's kernel.
    pub kernel: String,
    /// SHA-256 of the kernel file, hexadecimal.
    pub kernel_sha256: String,
    /// Version of the emulator.
    pub emulator: String,
    /// The cells, in the order in which they were measured.
    pub cells: Vec<CostCell>,
    /// Subjects that cannot run in the guest, with the reason.
    pub unavailable: Vec<(String, String)>,
}
