//! The counters of all workers of a server, threads or processes, and the summary made of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use c10k_event::{Counters, Mechanism};
use c10k_record::{SCHEMA, ServeSummary};
use c10k_sys::rusage::{self, Usage};
use c10k_sys::shared_counters;

use crate::model::Dispatch;
use crate::tally::Tally;
use crate::{Config, Model, ServeError, log};

const OPEN: usize = 0;
const OPEN_MAX: usize = 1;
const STOPPING: usize = 2;
const SHORTAGE_TOLD: usize = 3;
const WORKERS: usize = 4;

/// One for each server. Children that are forked share its counters, not its event counters.
#[derive(Debug)]
pub(crate) struct Ledger {
    model: Model,
    mechanism: Option<Mechanism>,
    cells: &'static [AtomicU64],
    /// What each worker's interest set counted, as of its last report.
    events: Vec<Mutex<Counters>>,
}

impl Ledger {
    pub(crate) fn open(config: &Config, workers: usize) -> Result<Ledger, ServeError> {
        let cells = shared_counters::map(WORKERS + workers * Tally::COUNT)
            .map_err(|cause| ServeError::System { call: "mmap", cause })?;
        let mechanism = match config.model.descriptor().dispatch {
            Dispatch::Mechanism => Some(config.mechanism),
            Dispatch::Own => None,
        };
        let events = (0..workers).map(|_| Mutex::default()).collect();
        Ok(Ledger {
            model: config.model,
            mechanism,
            cells,
            events,
        })
    }

    /// A connection was accepted; how many are open now, where there were never so many before.
    pub(crate) fn opened(&self) -> Option<usize> {
        let open = self.cells[OPEN].fetch_add(1, Ordering::Relaxed) + 1;
        let most = self.cells[OPEN_MAX].fetch_max(open, Ordering::Relaxed);
        usize::try_from(open).ok().filter(|_| open > most)
    }

    /// A connection was closed.
    pub(crate) fn closed(&self) {
        self.cells[OPEN].fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn open_connections(&self) -> usize {
        usize::try_from(self.cells[OPEN].load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Says that accepting waits, unless a worker, thread or process, has said so before.
    pub(crate) fn tell_shortage(&self, why: &str) {
        if self.cells[SHORTAGE_TOLD].swap(1, Ordering::Relaxed) == 0 {
            log::shortage(why);
        }
    }

    /// Tells the workers, children among them, that the server drains.
    pub(crate) fn stop(&self) {
        self.cells[STOPPING].store(1, Ordering::Release);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.cells[STOPPING].load(Ordering::Acquire) != 0
    }

    /// Adds what was counted since the last time, and starts again from 0. Any number of threads and processes may report
    /// as the same worker.
    pub(crate) fn absorb(&self, worker: usize, tally: &mut Tally) {
        for (cell, value) in self.worker(worker).iter().zip(std::mem::take(tally).values()) {
            if value > 0 {
                cell.fetch_add(value, Ordering::Relaxed);
            }
        }
    }

    /// Replaces a worker's event counters.
    pub(crate) fn note_events(&self, worker: usize, counters: &Counters) {
        let mut noted = self.events[worker].lock().unwrap_or_else(PoisonError::into_inner);
        noted.clone_from(counters);
    }

    fn worker(&self, worker: usize) -> &[AtomicU64] {
        &self.cells[WORKERS + worker * Tally::COUNT..][..Tally::COUNT]
    }

    fn tally_of(&self, worker: usize) -> Tally {
        let mut values = [0; Tally::COUNT];
        for (value, cell) in values.iter_mut().zip(self.worker(worker)) {
            *value = cell.load(Ordering::Relaxed);
        }
        Tally::of(values)
    }

    /// The totals, as far as they were reported.
    pub(crate) fn summary(&self) -> ServeSummary {
        let usage = process_usage();
        let mut summary = ServeSummary {
            schema: SCHEMA,
            model: self.model.name().to_owned(),
            open_connections: self.cells[OPEN].load(Ordering::Relaxed),
            open_connections_max: self.cells[OPEN_MAX].load(Ordering::Relaxed),
            cpu_user_ns: usage.user_ns,
            cpu_system_ns: usage.system_ns,
            context_switches_voluntary: usage.voluntary_switches,
            context_switches_involuntary: usage.involuntary_switches,
            ..ServeSummary::default()
        };
        let mut accept_turns = 0;
        for worker in 0..self.events.len() {
            let tally = self.tally_of(worker);
            accept_turns += tally.accept_turns;
            summary.accepted += tally.accepted;
            summary.accepted_by_worker.push(tally.accepted);
            summary.requests += tally.requests;
            summary.bad_requests += tally.refused;
            summary.replies += tally.replies;
            summary.timeouts += tally.timeouts;
            summary.evicted += tally.evicted;
            summary.waits += tally.waits;
            summary.events += tally.events;
            summary.overflows += tally.overflows;
            for (name, count) in tally.calls.by_name() {
                *summary.syscalls.entry(name.to_owned()).or_default() += count;
            }
        }
        if accept_turns > 0 {
            summary.accepts_per_wait = summary.accepted as f64 / accept_turns as f64;
        }
        if let Some(mechanism) = self.mechanism {
            summary.mechanism = Some(mechanism.name().to_owned());
            summary.emulated = mechanism.emulated();
            summary.wait_calls = mechanism.waits().iter().map(|&name| name.to_owned()).collect();
            for counters in &self.events {
                add_events(&mut summary, &counters.lock().unwrap_or_else(PoisonError::into_inner));
            }
        }
        summary
    }
}

fn add_events(summary: &mut ServeSummary, counters: &Counters) {
    summary.waits += counters.waits;
    summary.events += counters.events;
    summary.stale_events += counters.stale_events;
    summary.signals += counters.signals;
    summary.discarded_signals += counters.discarded_signals;
    summary.overflows += counters.overflows;
    summary.rescans += counters.rescans;
    for (name, count) in counters.syscalls() {
        *summary.syscalls.entry(name.to_owned()).or_default() += count;
    }
}

/// The process and its children; nothing where the kernel refuses, which it has no reason to.
fn process_usage() -> Usage {
    let own = rusage::of_process().unwrap_or_default();
    own.plus(rusage::of_children().unwrap_or_default())
}
