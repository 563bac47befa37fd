//! What a run counts and measures: requests, latencies, connections, and how reliable the figures are.
//!
//! Nothing here reads a clock or does I/O. Each thread fills its own values; they are added up when the run has ended.

pub(crate) mod confidence;
pub(crate) mod failure;
pub(crate) mod histogram;
pub(crate) mod idle_count;
pub(crate) mod occupancy;
pub(crate) mod request;
pub(crate) mod request_stats;
pub(crate) mod row_stats;
pub(crate) mod series;
pub(crate) mod session_stats;
pub(crate) mod traffic;
