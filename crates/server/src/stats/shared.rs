//! The sums of all workers of a server, threads or processes, and the summary made of them.

use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use c10k_event::{Counters, Mechanism};
use c10k_record::{SCHEMA, ServeSummary};
use c10k_sys::rusage::{self, Usage};
use c10k_sys::shared_counters;
use rustix::event::{EventfdFlags, eventfd};

use super::worker::WorkerStats;
use crate::log;

const OPEN: usize = 0;
const OPEN_MAX: usize = 1;
const DRAINING: usize = 2;
const SHORTAGE_REPORTED: usize = 3;
/// Whether an acceptor waits for a connection to end.
const AWAITED: usize = 4;
/// Bytes of request bodies that are held.
const HELD_BODIES: usize = 5;
/// The most works that waited for a helper thread at once.
const WORK_QUEUE_MAX: usize = 6;
/// Workers that were replaced.
const RECYCLED: usize = 7;
/// The most threads that ran at once, where few may.
const RUNNING_MAX: usize = 8;
const WORKERS: usize = 9;

/// The statistics of a server. Forked children share its counters, but not its event counters.
#[derive(Debug)]
pub(crate) struct SharedStats {
    model: &'static str,
    mechanism: Option<Mechanism>,
    cells: &'static [AtomicU64],
    /// Becomes readable when a connection ends for which an acceptor waits.
    connection_ended: OwnedFd,
    /// The counters of each worker's interest set, as of its last report.
    events: Vec<Mutex<Counters>>,
}

impl SharedStats {
    /// The statistics of a server with so many workers. `mechanism` is `None` for models that are not driven by one.
    pub(crate) fn open(model: &'static str, mechanism: Option<Mechanism>, workers: usize) -> io::Result<SharedStats> {
        let connection_ended = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(SharedStats {
            model,
            mechanism,
            cells: shared_counters::map(WORKERS + workers * (WorkerStats::COUNT + 1))?,
            connection_ended,
            events: (0..workers).map(|_| Mutex::default()).collect(),
        })
    }

    /// Counts a connection that was accepted. Returns the number of open connections if it is a new maximum.
    pub(crate) fn opened(&self) -> Option<usize> {
        let open = self.cells[OPEN].fetch_add(1, Ordering::Relaxed) + 1;
        let most = self.cells[OPEN_MAX].fetch_max(open, Ordering::Relaxed);
        usize::try_from(open).ok().filter(|_| open > most)
    }

    /// Notes how many threads run at once, of a pool of which few may.
    pub(crate) fn running(&self, threads: usize) {
        let (cell, threads) = (&self.cells[RUNNING_MAX], threads as u64);
        if cell.load(Ordering::Relaxed) < threads {
            cell.fetch_max(threads, Ordering::Relaxed);
        }
    }

    /// Counts a connection that was closed, and wakes the acceptor that waits for this.
    pub(crate) fn closed(&self) {
        // Either this sees that the acceptor waits, or the acceptor sees, after it has said that it waits, that there is room.
        self.cells[OPEN].fetch_sub(1, Ordering::SeqCst);
        self.wake_acceptor();
    }

    /// Counts a connection that ended with its process. The process may have counted that itself just before it died.
    pub(crate) fn lost(&self) {
        let one_less = |open: u64| open.checked_sub(1);
        // This fails if none is open.
        let _ = self.cells[OPEN].fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        self.wake_acceptor();
    }

    fn wake_acceptor(&self) {
        if self.cells[AWAITED].load(Ordering::SeqCst) != 0 {
            self.cells[AWAITED].store(0, Ordering::Relaxed);
            // This fails only if the counter is at its maximum, and then it is readable.
            let _ = rustix::io::write(&self.connection_ended, &1_u64.to_ne_bytes());
        }
    }

    pub(crate) fn open_connections(&self) -> usize {
        usize::try_from(self.cells[OPEN].load(Ordering::SeqCst)).unwrap_or(usize::MAX)
    }

    /// Notes how many works wait for a helper thread.
    pub(crate) fn work_waits(&self, waiting: usize) {
        self.cells[WORK_QUEUE_MAX].fetch_max(waiting as u64, Ordering::Relaxed);
    }

    /// The bytes of request bodies that all workers hold, children included.
    pub(crate) fn held_bodies(&self) -> &'static AtomicU64 {
        &self.cells[HELD_BODIES]
    }

    /// Notes that no child is left, and so none that holds a body. A child that was killed has not given its share back.
    pub(crate) fn no_child_is_left(&self) {
        self.cells[HELD_BODIES].store(0, Ordering::Relaxed);
    }

    /// Makes the next connection that ends, in whichever process, be reported by
    /// [`connection_ended`](SharedStats::connection_ended). What is tried after this and fails for want of room can wait for
    /// that.
    pub(crate) fn await_end_of_connection(&self) {
        // This fails if it is not readable.
        let _ = rustix::io::read(&self.connection_ended, &mut [0; 8]);
        self.cells[AWAITED].store(1, Ordering::SeqCst);
    }

    /// A descriptor that becomes readable when a connection ends after
    /// [`await_end_of_connection`](SharedStats::await_end_of_connection).
    pub(crate) fn connection_ended(&self) -> BorrowedFd<'_> {
        self.connection_ended.as_fd()
    }

    /// Counts the connection that a worker process, which serves one at a time, now has. If the process dies, the
    /// connection ends with it ([`lost_worker`](SharedStats::lost_worker)).
    pub(crate) fn opened_by(&self, worker: usize) -> Option<usize> {
        self.occupied(worker).store(1, Ordering::Relaxed);
        self.opened()
    }

    /// Notes that the worker has no connection any more, which was counted as closed.
    pub(crate) fn closed_by(&self, worker: usize) {
        self.occupied(worker).store(0, Ordering::Relaxed);
    }

    /// Counts the connection of a worker process that has died, if it had one.
    pub(crate) fn lost_worker(&self, worker: usize) {
        if self.occupied(worker).swap(0, Ordering::Relaxed) != 0 {
            self.lost();
        }
    }

    fn occupied(&self, worker: usize) -> &AtomicU64 {
        &self.cells[WORKERS + self.events.len() * WorkerStats::COUNT + worker]
    }

    /// Prints why accepting pauses, unless any worker has done so before.
    pub(crate) fn report_shortage(&self, shortage: &impl Display) {
        if self.cells[SHORTAGE_REPORTED].swap(1, Ordering::Relaxed) == 0 {
            log::shortage(shortage);
        }
    }

    /// Makes [`is_draining`](SharedStats::is_draining) true for all workers, children included.
    pub(crate) fn start_drain(&self) {
        self.cells[DRAINING].store(1, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.cells[DRAINING].load(Ordering::Acquire) != 0
    }

    /// Counts a worker that was replaced.
    pub(crate) fn recycled(&self) {
        self.cells[RECYCLED].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds counters to those of a worker, and sets them to 0. Any number of threads and processes may report as the same
    /// worker.
    pub(crate) fn add(&self, worker: usize, stats: &mut WorkerStats) {
        for (cell, value) in self.worker(worker).iter().zip(std::mem::take(stats).values()) {
            if value > 0 {
                cell.fetch_add(value, Ordering::Relaxed);
            }
        }
    }

    /// Adds to the counters of a worker's interest set. Several may report as the same worker.
    pub(crate) fn add_event_counters(&self, worker: usize, counters: &Counters) {
        let mut events = self.events[worker].lock().unwrap_or_else(PoisonError::into_inner);
        *events = events.plus(counters);
    }

    /// Replaces the counters of a worker's interest set.
    pub(crate) fn set_event_counters(&self, worker: usize, counters: &Counters) {
        let mut events = self.events[worker].lock().unwrap_or_else(PoisonError::into_inner);
        events.clone_from(counters);
    }

    fn worker(&self, worker: usize) -> &[AtomicU64] {
        &self.cells[WORKERS + worker * WorkerStats::COUNT..][..WorkerStats::COUNT]
    }

    fn stats_of(&self, worker: usize) -> WorkerStats {
        let mut values = [0; WorkerStats::COUNT];
        for (value, cell) in values.iter_mut().zip(self.worker(worker)) {
            *value = cell.load(Ordering::Relaxed);
        }
        WorkerStats::of(values)
    }

    /// The sums of what the workers have reported.
    pub(crate) fn summary(&self) -> ServeSummary {
        let usage = process_usage();
        let mut summary = ServeSummary {
            schema: SCHEMA,
            model: self.model.to_owned(),
            open_connections: self.cells[OPEN].load(Ordering::Relaxed),
            open_connections_max: self.cells[OPEN_MAX].load(Ordering::Relaxed),
            work_queue_max: self.cells[WORK_QUEUE_MAX].load(Ordering::Relaxed),
            recycled: self.cells[RECYCLED].load(Ordering::Relaxed),
            running_max: self.cells[RUNNING_MAX].load(Ordering::Relaxed),
            cpu_user_ns: usage.user_ns,
            cpu_system_ns: usage.system_ns,
            context_switches_voluntary: usage.voluntary_switches,
            context_switches_involuntary: usage.involuntary_switches,
            ..ServeSummary::default()
        };
        let mut accept_turns = 0;
        for worker in 0..self.events.len() {
            let stats = self.stats_of(worker);
            accept_turns += stats.accept_turns;
            summary.accepted += stats.accepted;
            summary.accepted_by_worker.push(stats.accepted);
            summary.requests += stats.requests;
            summary.bad_requests += stats.refused;
            summary.replies += stats.replies;
            summary.timeouts += stats.timeouts;
            summary.evicted += stats.evicted;
            summary.spins_found += stats.spins_found;
            summary.spins_slept += stats.spins_slept;
            summary.work_handed_over += stats.work_handed_over;
            summary.work_refused += stats.work_refused;
            summary.waits += stats.waits;
            summary.events += stats.events;
            summary.overflows += stats.overflows;
            summary.send_notifications += stats.notifications;
            summary.sends_copied_after_all += stats.copied_sends;
            summary.places_given_up += stats.places_given_up;
            summary.places_noticed += stats.places_noticed;
            summary.place_waits += stats.place_waits;
            for (name, count) in stats.calls.by_name() {
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

/// The usage of the process and its children. getrusage(2) fails only for invalid arguments.
fn process_usage() -> Usage {
    let own = rusage::of_process().unwrap_or_default();
    own.plus(rusage::of_children().unwrap_or_default())
}
