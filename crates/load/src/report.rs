//! The results of a run.

use c10k_record::LoadSummary;
use c10k_sys::rusage::Usage;

use crate::accounting::request_stats::RequestStats;
use crate::accounting::session_stats::SessionStats;
use crate::accounting::traffic::Traffic;

/// The summary of a run and the measurements behind it, from which the output formats are made.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// The summary that `--json` prints.
    pub summary: LoadSummary,
    /// Counts, histograms and time series of the requests.
    pub(crate) stats: RequestStats,
    /// Connections and bytes, from the start of the run.
    pub(crate) traffic: Traffic,
    /// The sessions, if the load consisted of sessions.
    pub(crate) sessions: Option<SessionStats>,
    /// CPU time and context switches of the sending threads in the measured time.
    pub(crate) usage: Usage,
}
