//! What the lab knows of mechanisms and probes: the rows of their tables, which the program registers.
//!
//! The lab does not link what it measures, so that it cannot read the tables itself.

use std::sync::OnceLock;

use c10k_record::ProbeRow;

/// Rows of the tables of this build.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The system calls that event mechanisms wait with, by the kernel's names.
    pub wait_calls: Vec<String>,
    /// Every probe, with its options and figures.
    pub probes: Vec<ProbeRow>,
}

static ROWS: OnceLock<Rows> = OnceLock::new();

/// Registers the rows of this build, once and before any other call of this crate. Without it no probe is known.
pub fn register(rows: Rows) {
    // A build has one set of rows: a second registration could only repeat the first.
    let _ = ROWS.set(rows);
}

/// The registered rows.
pub(crate) fn get() -> &'static Rows {
    #[cfg(test)]
    return ROWS.get_or_init(crate::testing::rows);
    #[cfg(not(test))]
    ROWS.get_or_init(Rows::default)
}

/// The probe of that name.
pub(crate) fn probe(name: &str) -> Option<&'static ProbeRow> {
    get().probes.iter().find(|probe| probe.name == name)
}

/// The names of all probes, for messages.
pub(crate) fn probe_names() -> String {
    let names: Vec<&str> = get().probes.iter().map(|probe| probe.name.as_str()).collect();
    names.join(", ")
}
