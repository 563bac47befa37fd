//! What a server counts, and the summary made of it.

use std::collections::BTreeMap;

use c10k_event::{Counters, Mechanism};
use c10k_record::{SCHEMA, ServeSummary};
use c10k_sys::rusage::{self, Usage};

use crate::Model;

/// Counters of one worker.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    /// Readinesses of the listener that were followed by `accept4`.
    pub(crate) accept_turns: u64,
    pub(crate) replies: u64,
    pub(crate) timeouts: u64,
    pub(crate) open: u64,
    pub(crate) open_max: u64,
    pub(crate) calls: Calls,
}

/// The worker's own system calls.
#[derive(Debug, Default, Clone)]
pub(crate) struct Calls {
    pub(crate) accept4: u64,
    pub(crate) recvfrom: u64,
    pub(crate) sendto: u64,
    pub(crate) sendmsg: u64,
    pub(crate) shutdown: u64,
    pub(crate) close: u64,
}

impl Tally {
    pub(crate) fn opened(&mut self) {
        self.accepted += 1;
        self.open += 1;
        self.open_max = self.open_max.max(self.open);
    }

    pub(crate) fn closed(&mut self) {
        self.open -= 1;
        self.calls.close += 1;
    }
}

/// Requests as the machine's output counted them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requests {
    pub(crate) well_formed: u64,
    pub(crate) refused: u64,
}

/// The totals of a server with one worker.
pub(crate) fn summary(
    model: Model,
    mechanism: Option<(Mechanism, &Counters)>,
    tally: &Tally,
    requests: Requests,
) -> ServeSummary {
    let usage = process_usage();
    let mut summary = ServeSummary {
        schema: SCHEMA,
        model: model.name().to_owned(),
        accepted: tally.accepted,
        accepted_by_worker: vec![tally.accepted],
        requests: requests.well_formed,
        replies: tally.replies,
        bad_requests: requests.refused,
        timeouts: tally.timeouts,
        open_connections: tally.open,
        open_connections_max: tally.open_max,
        accepts_per_wait: if tally.accept_turns == 0 {
            0.0
        } else {
            tally.accepted as f64 / tally.accept_turns as f64
        },
        syscalls: own_calls(&tally.calls),
        cpu_user_ns: usage.user_ns,
        cpu_system_ns: usage.system_ns,
        context_switches_voluntary: usage.voluntary_switches,
        context_switches_involuntary: usage.involuntary_switches,
        ..ServeSummary::default()
    };
    if let Some((mechanism, counters)) = mechanism {
        summary.mechanism = Some(mechanism.name().to_owned());
        summary.emulated = mechanism.emulated();
        summary.waits = counters.waits;
        summary.events = counters.events;
        summary.stale_events = counters.stale_events;
        summary.signals = counters.signals;
        summary.overflows = counters.overflows;
        summary.rescans = counters.rescans;
        for (name, count) in counters.syscalls() {
            *summary.syscalls.entry(name.to_owned()).or_default() += count;
        }
    }
    summary
}

fn own_calls(calls: &Calls) -> BTreeMap<String, u64> {
    [
        ("accept4", calls.accept4),
        ("recvfrom", calls.recvfrom),
        ("sendto", calls.sendto),
        ("sendmsg", calls.sendmsg),
        ("shutdown", calls.shutdown),
        ("close", calls.close),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(name, count)| (name.to_owned(), count))
    .collect()
}

/// The process and its children; nothing where the kernel refuses, which it has no reason to.
fn process_usage() -> Usage {
    let own = rusage::of_process().unwrap_or_default();
    own.plus(rusage::of_children().unwrap_or_default())
}
