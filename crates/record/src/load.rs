//! What `c10k load --json` prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One line of `c10k load --json`. The last line is the summary; with `--phases`, a line for each phase precedes it. With
/// `--windows` there is a summary for each window, after its phase `measured`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum LoadRecord {
    /// The generator has entered a phase. A program that measures the server takes its readings at `measuring` and
    /// `measured`.
    Phase {
        /// [`crate::SCHEMA`]; 0 from a generator that does not print it.
        #[serde(default)]
        schema: u32,
        /// The phase that begins.
        phase: LoadPhase,
        /// `CLOCK_MONOTONIC` at that instant, nanoseconds.
        monotonic_ns: u64,
    },
    /// The run is impossible on this machine: a limit is too low, or the kernel refuses a call. The process ends with exit
    /// code 2, as it does after a mistake in its options, for which nothing is printed here.
    Unavailable {
        /// [`crate::SCHEMA`].
        schema: u32,
        /// Why, in one line.
        reason: String,
    },
    /// The run or the window is over.
    Summary(Box<LoadSummary>),
}

/// The phases of a run, in order. With `--windows`, those from `waiting` to `measured` repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadPhase {
    /// Opening the idle pool and the persistent connections.
    Connecting,
    /// All connections are open, and the generator waits for its next window (`--windows`).
    Waiting,
    /// Sending at the full rate; these requests do not count.
    WarmUp,
    /// The measured time begins: requests scheduled from now on count.
    Measuring,
    /// The measured time is over: no further request is due. Some replies may still be awaited.
    Measured,
    /// Every counted request has ended; the generator closes its connections.
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

/// 95% confidence intervals of percentiles, `[low, high]`, nanoseconds. They assume that requests are independent of each
/// other. An interval is absent if there were too few requests for it: the largest of few values is no upper bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PercentileIntervals {
    /// Of the median.
    pub p50: Option<[u64; 2]>,
    /// Of the 90th percentile.
    pub p90: Option<[u64; 2]>,
    /// Of the 99th percentile.
    pub p99: Option<[u64; 2]>,
    /// Of the 99.9th percentile.
    pub p999: Option<[u64; 2]>,
}

/// The idle pool over the measured time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdlePool {
    /// The requested number of idle connections.
    pub target: u64,
    /// The smallest number of them open at any moment of the measured time.
    pub open_min: u64,
    /// Connections that the server closed.
    pub closed_by_server: u64,
    /// Connections that the generator replaced by new ones, as requested.
    #[serde(default)]
    pub replaced: u64,
}

/// How the sessions of a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionTotals {
    /// Sessions that were started.
    pub started: u64,
    /// Sessions in which every call got a good reply.
    pub completed: u64,
    /// Sessions that ended because a call got no good reply.
    pub failed: u64,
    /// Sessions still running when the last call was due.
    pub cut_off: u64,
    /// Time from the first call to the last reply of completed sessions.
    pub lifetime_ns: LatencySummary,
}

/// One row of a mix of requests (`--mix`). Its counts have the meanings of the same counts of [`LoadSummary`]; over all rows
/// they add up to those of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadRow {
    /// The request as it was written: `[METHOD ]PATH[ BODY-SIZE]`.
    pub request: String,
    /// Its weight. Its share of the requests is the weight divided by the sum of all weights.
    pub weight: f64,
    /// Requests scheduled within the measured time.
    pub intended: u64,
    /// Of those, requests that were sent.
    pub sent: u64,
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
    /// Replies that were received in full, by status code, whether or not they were good.
    pub statuses: BTreeMap<String, u64>,
    /// Good replies whose last byte arrived within the measured time.
    pub replies_measured: u64,
    /// From the scheduled instant to the last byte of the reply.
    pub latency_ns: LatencySummary,
    /// Confidence intervals of the latency percentiles.
    pub latency_interval_ns: PercentileIntervals,
    /// From the actual send to the last byte of the reply.
    pub service_ns: LatencySummary,
}

impl LoadRow {
    /// Whether both sums in the description of [`LoadSummary`] hold for the row.
    #[must_use]
    pub fn reconciles(&self) -> bool {
        let failed: u64 = self.errors.values().sum();
        self.intended == self.sent + self.never_sent
            && self.sent == self.completed + self.timed_out + failed + self.in_flight
    }
}

/// What the generator itself used over the measured time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientUse {
    /// CPU time of all its threads, nanoseconds.
    pub cpu_ns: u64,
    /// Number of threads that send requests.
    pub threads: u64,
    /// CPU time of the busiest thread as a share of the measured time, percent.
    pub busiest_thread_percent: f64,
    /// The same for each thread.
    #[serde(default)]
    pub thread_percents: Vec<f64>,
    /// Voluntary context switches: a thread waited for something.
    #[serde(default)]
    pub context_switches_voluntary: u64,
    /// Involuntary context switches: the scheduler took the CPU from a thread.
    #[serde(default)]
    pub context_switches_involuntary: u64,
}

/// Counts over time: the measured time in equal slices, of which the last may be narrower. Each list has a number for each slice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadSeries {
    /// Width of a slice, seconds.
    pub width_s: f64,
    /// Requests that were due in it.
    pub due: Vec<u64>,
    /// Good replies whose last byte arrived in it.
    pub replies: Vec<u64>,
    /// Requests that failed, timed out or were given up unsent in it.
    pub lost: Vec<u64>,
    /// Sum of the latencies of its good replies, nanoseconds.
    pub latency_sum_ns: Vec<u64>,
}

/// The result of one run of the generator.
///
/// Two sums hold in every run: `intended = sent + never_sent`, and
/// `sent = completed + timed_out + (the sum of errors) + in_flight`. With a mix they hold for each row too, and the rows add up
/// to the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadSummary {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// The requested URL.
    pub url: String,
    /// `open` (a schedule), `closed` (`--rate max`) or `partly-open` (sessions: they arrive by a schedule; within a session,
    /// each request waits for the reply before it).
    pub loop_kind: String,
    /// The seed of the schedule.
    pub seed: u64,
    /// Measured time without warm-up, seconds.
    pub duration_s: f64,
    /// Requests scheduled within the measured time.
    pub intended: u64,
    /// Of those, requests that were sent.
    pub sent: u64,
    /// Of those sent, requests whose delay after their scheduled instant exceeded the stated bound.
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
    /// Good replies per second that arrived within the measured time, no matter when their requests were due.
    pub rate_achieved: f64,
    /// Good replies whose last byte arrived within the measured time.
    #[serde(default)]
    pub replies_measured: u64,
    /// Requests that were due in each quarter of the measured time.
    #[serde(default)]
    pub due_by_quarter: [u64; 4],
    /// Good replies whose last byte arrived in each quarter of the measured time.
    #[serde(default)]
    pub replies_by_quarter: [u64; 4],
    /// Mean number of requests in the system over the measured time. A request is in the system from its scheduled instant
    /// to its end. The mean is computed from the arrivals and departures, not from samples.
    #[serde(default)]
    pub in_system_mean: f64,
    /// From the scheduled instant to the last byte of the reply.
    pub latency_ns: LatencySummary,
    /// Confidence intervals of the latency percentiles.
    #[serde(default)]
    pub latency_interval_ns: PercentileIntervals,
    /// From the actual send to the last byte of the reply.
    pub service_ns: LatencySummary,
    /// From the scheduled instant to the actual send.
    pub send_lag_ns: LatencySummary,
    /// Change of the reply rate from the first to the last second, percent, by a line fitted to it. It is 0 if the slope may
    /// be due to chance or the change is below 5%. It is absent if the run was too short for a fit, or if the load was meant
    /// to change (ramps, steps, traces, sessions).
    #[serde(default)]
    pub drift_percent: Option<f64>,
    /// Counts over time, if slices were asked for (`--slice`).
    #[serde(default)]
    pub series: Option<LoadSeries>,
    /// The idle pool.
    pub idle: IdlePool,
    /// The sessions, if the load consisted of sessions.
    #[serde(default)]
    pub sessions: Option<SessionTotals>,
    /// The rows of the mix (`--mix`), in their order; left out without a mix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<LoadRow>,
    /// What the generator itself used.
    pub client: ClientUse,
    /// Whether the figures describe the server (true) or the generator's own limits (false).
    pub valid: bool,
    /// Why the run is invalid, one sentence per reason; empty if it is valid.
    pub invalid_because: Vec<String>,
}

/// What `c10k load --find-max --json` prints: the search for the highest rate that meets the criterion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename = "search")]
pub struct LoadSearch {
    /// [`crate::SCHEMA`].
    #[serde(default)]
    pub schema: u32,
    /// The requested criterion. A rate must also have every request answered and achieve 99% of the offered rate.
    pub criterion: String,
    /// The highest rate that met the criterion, requests per second; absent if none did. A rate 5% above it failed.
    pub rate_max: Option<f64>,
    /// Why the lowest failing rate failed.
    pub limited_by: String,
    /// Whether the generator was the limit: the server may sustain a higher rate.
    #[serde(default)]
    pub by_generator: bool,
    /// Whether the search was stopped before it had a result.
    #[serde(default)]
    pub interrupted: bool,
    /// All runs, in order.
    pub trials: Vec<LoadTrial>,
    /// The last run that met the criterion.
    pub best: Option<Box<LoadSummary>>,
}

/// One run of a search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadTrial {
    /// The offered rate, requests per second.
    pub rate: f64,
    /// Whether the rate met the criterion.
    pub held: bool,
    /// Why it failed; empty if it met the criterion.
    pub because: String,
    /// Whether the figures describe the generator's limits rather than the server's.
    #[serde(default)]
    pub by_generator: bool,
}

impl LoadSummary {
    /// Whether the sums in the description of this type hold.
    #[must_use]
    pub fn reconciles(&self) -> bool {
        let failed: u64 = self.errors.values().sum();
        self.intended == self.sent + self.never_sent
            && self.sent == self.completed + self.timed_out + failed + self.in_flight
            && (self.rows.is_empty() || self.rows_reconcile())
    }

    fn rows_reconcile(&self) -> bool {
        let sum = |count: fn(&LoadRow) -> u64| self.rows.iter().map(count).sum::<u64>();
        self.rows.iter().all(LoadRow::reconciles)
            && sum(|row| row.intended) == self.intended
            && sum(|row| row.sent) == self.sent
            && sum(|row| row.completed) == self.completed
            && sum(|row| row.timed_out) == self.timed_out
            && sum(|row| row.in_flight) == self.in_flight
    }
}
