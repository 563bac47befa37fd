//! What `c10k serve --json` prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One line of `c10k serve --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum ServeRecord {
    /// The listener accepts connections.
    Listening {
        /// [`crate::SCHEMA`]; 0 from a server that does not print it.
        #[serde(default)]
        schema: u32,
        /// The bound address, with the port that the kernel chose where 0 was asked for.
        address: String,
        /// Process id of the server (of the master where there are children).
        pid: u32,
    },
    /// The server has drained and is about to exit.
    Summary(Box<ServeSummary>),
}

impl ServeSummary {
    /// Whether the counts of real-time signals agree: every overflow was told by a signal that was read (`SIGIO`), and where
    /// signals are taken one a call, each took a call.
    #[must_use]
    pub fn reconciles(&self) -> bool {
        if !self
            .mechanism
            .as_deref()
            .is_some_and(|name| name.starts_with("rt-signal"))
        {
            return true;
        }
        let calls: u64 = ["rt_sigtimedwait", "read"]
            .iter()
            .filter_map(|name| self.syscalls.get(*name))
            .sum();
        let one_a_call = self.mechanism.as_deref() == Some("rt-signal");
        self.discarded_signals + self.overflows <= self.signals && (!one_a_call || self.signals <= calls)
    }
}

/// The totals of one server run, helper threads and children included.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServeSummary {
    /// [`crate::SCHEMA`].
    pub schema: u32,
    /// Name of the concurrency model.
    pub model: String,
    /// Name of the event mechanism; absent for models that have none.
    pub mechanism: Option<String>,
    /// Whether the mechanism is an emulation.
    pub emulated: bool,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections accepted by each worker, in worker order; one element where there is one worker.
    pub accepted_by_worker: Vec<u64>,
    /// Well-formed requests received.
    pub requests: u64,
    /// Replies whose last byte was handed to the kernel.
    pub replies: u64,
    /// Requests refused with a 4xx or 5xx status because they were malformed or unsupported.
    pub bad_requests: u64,
    /// Connections ended by a deadline.
    pub timeouts: u64,
    /// Connections closed while idle, to make room when descriptors ran out or the cap on connections was reached.
    #[serde(default)]
    pub evicted: u64,
    /// Connections open now: at the time of `/stats`, or when the summary was made (0 after a clean drain).
    pub open_connections: u64,
    /// The highest number of connections open at once.
    pub open_connections_max: u64,
    /// Calls that waited for events.
    pub waits: u64,
    /// The system calls that its event mechanism waits with, by the kernel's names; empty for models without a mechanism.
    #[serde(default)]
    pub wait_calls: Vec<String>,
    /// Events delivered to the server by the event library.
    pub events: u64,
    /// Events whose key was no longer current: dropped, never delivered.
    pub stale_events: u64,
    /// Real-time signals dequeued.
    pub signals: u64,
    /// Of those, signals thrown away unread since an overflow had made them old news.
    #[serde(default)]
    pub discarded_signals: u64,
    /// Overflows of the signal or completion queue.
    pub overflows: u64,
    /// Sweeps over the whole interest set that an overflow made necessary.
    pub rescans: u64,
    /// Mean number of connections accepted per readiness of the listener.
    pub accepts_per_wait: f64,
    /// System calls of the dispatch path, by name.
    pub syscalls: BTreeMap<String, u64>,
    /// CPU time in user mode, nanoseconds.
    pub cpu_user_ns: u64,
    /// CPU time in kernel mode, nanoseconds.
    pub cpu_system_ns: u64,
    /// Voluntary context switches.
    pub context_switches_voluntary: u64,
    /// Involuntary context switches.
    pub context_switches_involuntary: u64,
}
