//! What `c10k probe NAME --json` prints: one measurement that needs no server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The result of one run of a probe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbeSummary {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Name of the probe.
    pub probe: String,
    /// Operations that were timed.
    pub operations: u64,
    /// The figures, by name; the unit is the last word of the name.
    pub values: BTreeMap<String, f64>,
}
