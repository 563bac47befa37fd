//! What is compared: servers or probes, each with its options.

use std::collections::BTreeMap;

/// One subject.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) server: BTreeMap<String, String>,
    pub(crate) load: BTreeMap<String, String>,
    pub(crate) probe: BTreeMap<String, String>,
    /// A server that is not ours.
    pub(crate) external: Option<ExternalServer>,
    /// The variant that this one repeats, for the A/A control.
    pub(crate) control_of: Option<usize>,
}

/// A server that is not ours.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExternalServer {
    pub(crate) command: Vec<String>,
    pub(crate) url: String,
}
