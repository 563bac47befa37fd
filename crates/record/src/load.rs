//! What `c10k load --json` prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One line of `c10k load --json`: the summary, preceded with `--phases` by a line at each change of phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum LoadRecord {
    /// The generator has entered a phase. Whoever meters the server reads its meters at `measuring` and `measured`.
    Phase {
        /// [`crate::SCHEMA`]; 0 from a generator that does not print it.
        #[serde(default)]
        schema: u32,
        /// The phase entered.
        phase: LoadPhase,
        /// `CLOCK_MONOTONIC` at that instant, nanoseconds.
        monotonic_ns: u64,
    },
    /// The run is over.
    Summary(Box<LoadSummary>),
}

/// The phases of a run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadPhase {
    /// Opening the idle pool and the persistent connections.
    Connecting,
    /// Sending at the full rate; nothing counts yet.
    WarmUp,
    /// What is scheduled from here on counts.
    Measuring,
    /// The last counted request was due; its replies are still awaited.
    Measured,
    /// Every counted request has ended; connections are closed from now on.
    Closing,
}

/// Percentiles of one duration, nanoseconds. All zero when nothing was recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// Smallest value.
    pub min: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest value.
    pub max: u64,
    /// Arithmetic mean.
    pub mean: f64,
}

/// 95% intervals of percentiles, `[low, high]`, nanoseconds; requests are taken as independent of each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PercentileIntervals {
    /// Of the median.
    pub p50: [u64; 2],
    /// Of the 90th percentile.
    pub p90: [u64; 2],
    /// Of the 99th percentile.
    pub p99: [u64; 2],
    /// Of the 99.9th percentile.
    pub p999: [u64; 2],
}

/// The idle pool over the measured time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdlePool {
    /// Connections asked for.
    pub target: u64,
    /// The smallest number that was open at any moment of the measured time.
    pub open_min: u64,
    /// Connections that the server closed.
    pub closed_by_server: u64,
    /// Connections that were replaced by new ones, as asked for.
    #[serde(default)]
    pub replaced: u64,
}

/// What became of the sessions of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionTotals {
    /// Sessions begun.
    pub started: u64,
    /// Sessions all of whose calls got a good reply.
    pub completed: u64,
    /// Sessions that ended with a call that got none.
    pub failed: u64,
    /// Sessions that were not over when the last call was due.
    pub cut_off: u64,
    /// From the first call to the last reply, of completed sessions.
    pub lifetime_ns: LatencySummary,
}

/// What the generator itself used over the measured time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientUse {
    /// CPU time of all its threads, nanoseconds.
    pub cpu_ns: u64,
    /// Number of threads that send.
    pub threads: u64,
    /// CPU time of the busiest thread as a share of the measured time, percent.
    pub busiest_thread_percent: f64,
    /// The same for each thread.
    #[serde(default)]
    pub thread_percents: Vec<f64>,
    /// Times that its threads waited for something.
    #[serde(default)]
    pub context_switches_voluntary: u64,
    /// Times that the scheduler took the CPU away from them.
    #[serde(default)]
    pub context_switches_involuntary: u64,
}

/// The result of one run of the generator.
///
/// Two sums hold in every run: `intended = sent + never_sent`, and
/// `sent = completed + timed_out + (the sum of errors) + in_flight`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadSummary {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// The URL asked for.
    pub url: String,
    /// `open` (a schedule), `closed` (`--rate max`) or `partly-open` (sessions: their arrival is open, what follows closed).
    pub loop_kind: String,
    /// The seed of the schedule.
    pub seed: u64,
    /// Measured time, seconds, without warm-up.
    pub duration_s: f64,
    /// Requests that the schedule held for the measured time.
    pub intended: u64,
    /// Of those, requests that were sent.
    pub sent: u64,
    /// Of those sent, requests sent later after their scheduled instant than the stated bound.
    pub late: u64,
    /// Requests that could not be sent before the run ended.
    pub never_sent: u64,
    /// Requests answered in full and verified.
    pub completed: u64,
    /// Requests not answered within the time limit.
    pub timed_out: u64,
    /// Requests that failed, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Requests still unanswered when the run ended.
    pub in_flight: u64,
    /// Intended requests per second.
    pub rate_offered: f64,
    /// Good replies per second that came within the measured time, whenever their requests were due.
    pub rate_achieved: f64,
    /// Good replies whose last byte came within the measured time.
    #[serde(default)]
    pub replies_measured: u64,
    /// Requests that were due in each quarter of the measured time.
    #[serde(default)]
    pub due_by_quarter: [u64; 4],
    /// Good replies whose last byte came in each quarter of it.
    #[serde(default)]
    pub replies_by_quarter: [u64; 4],
    /// Requests between their scheduled instant and their end, on average over the measured time: counted as they come and
    /// go.
    #[serde(default)]
    pub in_system_mean: f64,
    /// From the scheduled instant to the last byte of the reply.
    pub latency_ns: LatencySummary,
    /// How sure the percentiles of the latency are.
    #[serde(default)]
    pub latency_interval_ns: PercentileIntervals,
    /// From the actual send to the last byte of the reply.
    pub service_ns: LatencySummary,
    /// From the scheduled instant to the actual send.
    pub send_lag_ns: LatencySummary,
    /// Change of the reply rate from the first to the last second, percent, where a line fitted to it has a slope that is
    /// beyond chance and at least 5%; 0 where the rate was steady; absent when the run was too short to tell, or the load
    /// was meant to change (ramps, steps, traces, sessions).
    #[serde(default)]
    pub drift_percent: Option<f64>,
    /// The idle pool.
    pub idle: IdlePool,
    /// The sessions, where the load was made of them.
    #[serde(default)]
    pub sessions: Option<SessionTotals>,
    /// The generator's own use of the machine.
    pub client: ClientUse,
    /// Whether the figures describe the server (true) or the generator's own limits (false).
    pub valid: bool,
    /// Why they do not, one sentence each; empty when valid.
    pub invalid_because: Vec<String>,
}

/// What `c10k load --find-max --json` prints: the search for the highest rate that holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename = "search")]
pub struct LoadSearch {
    /// [`crate::SCHEMA`].
    #[serde(default)]
    pub schema: u32,
    /// What a rate had to hold, as asked for; besides, every request answered and 99% of the offered rate achieved.
    pub criterion: String,
    /// The highest rate that held, requests per second; absent when none did. A rate 5% above it failed.
    pub rate_max: Option<f64>,
    /// What the lowest failing rate failed in.
    pub limited_by: String,
    /// Whether that was the generator: the server may hold more.
    #[serde(default)]
    pub by_generator: bool,
    /// Whether the search was asked to stop before it had its answer.
    #[serde(default)]
    pub interrupted: bool,
    /// Every run in order.
    pub trials: Vec<LoadTrial>,
    /// The last run that held.
    pub best: Option<Box<LoadSummary>>,
}

/// One run of a search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadTrial {
    /// The rate tried, requests per second.
    pub rate: f64,
    /// Whether it held.
    pub held: bool,
    /// What it failed in; empty when it held.
    pub because: String,
    /// Whether its figures describe the generator's limits, not the server's.
    #[serde(default)]
    pub by_generator: bool,
}

impl LoadSummary {
    /// Whether both sums of the type's contract hold.
    #[must_use]
    pub fn reconciles(&self) -> bool {
        let failed: u64 = self.errors.values().sum();
        self.intended == self.sent + self.never_sent
            && self.sent == self.completed + self.timed_out + failed + self.in_flight
    }
}
