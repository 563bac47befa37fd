//! All that a run found.

use c10k_record::LoadSummary;
use c10k_sys::rusage::Usage;

use crate::account::Account;
use crate::sessions::Tally;
use crate::traffic::Traffic;

/// The summary and what it was made of.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// What `--json` prints.
    pub summary: LoadSummary,
    /// The books of all threads: histograms and time series.
    pub account: Account,
    /// What went over the wire, from the start of the run.
    pub traffic: Traffic,
    /// The sessions, where the plan had them.
    pub sessions: Option<Tally>,
    /// CPU time and context switches of the sending threads over the measured time.
    pub usage: Usage,
}
