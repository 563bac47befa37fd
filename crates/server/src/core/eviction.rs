//! Closing idle connections to make room for new ones.

use super::connection::Awaited;
use super::worker::WorkerCore;
use crate::timeout::{Tick, Ticks, TimeoutKind};

/// The most connections that are evicted at once.
const EVICTED_AT_ONCE: usize = 32;

/// Chooses the connections to close: those that have been idle longest, and for at least
/// [`Deadlines::spare`](crate::Deadlines::spare). After one choice none is made for the time of a back-off.
pub(crate) fn evict<K: Copy>(worker: &mut WorkerCore, connections: impl Iterator<Item = (K, Awaited)>) -> Vec<K> {
    evict_visited(worker, |visit| {
        connections.for_each(|(key, awaited)| visit(key, awaited));
    })
}

/// The same for connections that can only be visited one after the other. `visit_all` calls what it is given for each.
pub(crate) fn evict_visited<K: Copy>(
    worker: &mut WorkerCore,
    visit_all: impl FnOnce(&mut dyn FnMut(K, Awaited)),
) -> Vec<K> {
    let mut idle: Vec<(Tick, K)> = Vec::new();
    if worker.now() >= worker.next_eviction {
        worker.next_eviction = worker.now().after(Ticks::covering(worker.deadlines.back_off));
        visit_all(&mut |key, awaited| idle.extend(idle_deadline(awaited, worker).map(|deadline| (deadline, key))));
    }
    if idle.len() > EVICTED_AT_ONCE {
        idle.select_nth_unstable_by_key(EVICTED_AT_ONCE, |(deadline, _)| *deadline);
        idle.truncate(EVICTED_AT_ONCE);
    }
    worker.stats.evicted += idle.len() as u64;
    idle.into_iter().map(|(_, key)| key).collect()
}

/// The deadline of a connection that may be evicted: it is idle, and has been for
/// [`Deadlines::spare`](crate::Deadlines::spare). The earlier the deadline, the longer it has been idle.
fn idle_deadline(awaited: Awaited, worker: &WorkerCore) -> Option<Tick> {
    let deadlines = &worker.deadlines;
    let latest = worker
        .now()
        .after(Ticks::covering(deadlines.idle.saturating_sub(deadlines.spare)));
    (awaited.kind == TimeoutKind::Idle && awaited.until <= latest).then_some(awaited.until)
}
