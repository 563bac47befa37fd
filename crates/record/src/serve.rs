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
        /// The bound address. If port 0 was requested, it has the port that the kernel chose.
        address: String,
        /// Process id of the server; with child processes, that of their parent.
        pid: u32,
    },
    /// The server cannot run on this machine: the kernel refuses the mechanism or the model, or a limit is too low. The
    /// process ends with exit code 2, as it does after a mistake in its options, for which nothing is printed here.
    Unavailable {
        /// [`crate::SCHEMA`].
        schema: u32,
        /// Why, in one line.
        reason: String,
    },
    /// The server has drained and is about to exit.
    Summary(Box<ServeSummary>),
}

impl ServeSummary {
    /// Whether the counts of real-time signals agree, if the mechanism waits for such signals:
    ///
    /// - each overflow was reported by a signal that was read (`SIGIO`);
    /// - if each call takes one signal, there were at least as many calls as signals.
    #[must_use]
    pub fn reconciles(&self) -> bool {
        const TAKES_ONE: &str = "rt_sigtimedwait";
        if !self.wait_calls.iter().any(|call| call == TAKES_ONE) {
            return true;
        }
        let one_a_call = self.wait_calls == [TAKES_ONE];
        let calls: u64 = [TAKES_ONE, "read"]
            .iter()
            .filter_map(|name| self.syscalls.get(*name))
            .sum();
        self.discarded_signals + self.overflows <= self.signals && (!one_a_call || self.signals <= calls)
    }
}

/// The totals of one server run, including helper threads and child processes.
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
    /// Connections accepted by each worker, in the order of the workers.
    pub accepted_by_worker: Vec<u64>,
    /// Well-formed requests received.
    pub requests: u64,
    /// Replies whose last byte was handed to the kernel.
    pub replies: u64,
    /// Requests refused with a 4xx or 5xx status because they were malformed or unsupported.
    pub bad_requests: u64,
    /// Connections closed because a deadline passed.
    pub timeouts: u64,
    /// Idle connections closed to make room because descriptors ran out or the limit on connections was reached.
    #[serde(default)]
    pub evicted: u64,
    /// Connections open when this summary was made, such as on a request for `/stats`; 0 after a clean drain.
    pub open_connections: u64,
    /// The highest number of connections open at once.
    pub open_connections_max: u64,
    /// Times that a loop polled for events before it would sleep (`--spin`), and found some.
    #[serde(default)]
    pub spins_found: u64,
    /// Times that it found none, and slept. Polls that a deadline ended are neither.
    #[serde(default)]
    pub spins_slept: u64,
    /// Works that may block and were handed to helper threads (`--helpers`).
    #[serde(default)]
    pub work_handed_over: u64,
    /// The most of them that waited for a helper at once.
    #[serde(default)]
    pub work_queue_max: u64,
    /// Works that were refused (503) because the queue for helpers was full.
    #[serde(default)]
    pub work_refused: u64,
    /// Workers that were replaced while the server went on (`--recycle`).
    #[serde(default)]
    pub recycled: u64,
    /// Calls that waited for events, polls included.
    pub waits: u64,
    /// The system calls that its event mechanism waits with, by the kernel's names; empty for models without a mechanism.
    #[serde(default)]
    pub wait_calls: Vec<String>,
    /// Events delivered to the server by the event library.
    pub events: u64,
    /// Events whose key was no longer current; they were dropped, not delivered.
    pub stale_events: u64,
    /// Real-time signals dequeued.
    pub signals: u64,
    /// Of those, signals discarded because an overflow had made them outdated.
    #[serde(default)]
    pub discarded_signals: u64,
    /// Overflows of the signal or completion queue.
    pub overflows: u64,
    /// Rescans of the whole interest set after an overflow.
    pub rescans: u64,
    /// Notifications that the network has finished with the memory of a reply that was sent without a copy.
    #[serde(default)]
    pub send_notifications: u64,
    /// Of those, replies that the kernel has copied after all.
    #[serde(default)]
    pub sends_copied_after_all: u64,
    /// Times that a thread of `completion-port` gave its place to another before work that blocks.
    #[serde(default)]
    pub places_given_up: u64,
    /// Times that the monitor of `completion-port` gave the place of a thread that slept to another.
    #[serde(default)]
    pub places_noticed: u64,
    /// Times that a thread of `completion-port` had something to do and waited for a place.
    #[serde(default)]
    pub place_waits: u64,
    /// The most threads of `completion-port` that ran at once: those with a place, and one that found that it had lost its own; 0 for
    /// other models.
    #[serde(default)]
    pub running_max: u64,
    /// Mean number of connections accepted per readiness event of the listener.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(wait_calls: &[&str], calls: u64, signals: u64, overflows: u64) -> ServeSummary {
        ServeSummary {
            wait_calls: wait_calls.iter().map(|&call| call.to_owned()).collect(),
            syscalls: BTreeMap::from([("rt_sigtimedwait".to_owned(), calls)]),
            signals,
            overflows,
            ..ServeSummary::default()
        }
    }

    #[test]
    fn counts_of_signals_reconcile_by_the_calls_that_take_them() {
        let (one, many) = (&["rt_sigtimedwait"][..], &["read", "rt_sigtimedwait"][..]);
        assert!(summary(one, 5, 5, 5).reconciles());
        assert!(!summary(one, 5, 5, 6).reconciles(), "an overflow without a signal");
        assert!(!summary(one, 4, 5, 0).reconciles(), "a signal without a call");
        assert!(summary(many, 4, 5, 0).reconciles(), "a read takes several signals");
        assert!(!summary(many, 4, 5, 6).reconciles());
        assert!(summary(&["io_uring_enter"], 0, 0, 1).reconciles(), "no signals at all");
    }
}
