//! What the connections of one worker share.

use std::time::Duration;

use c10k_http::{Date, Host, Stage};

use super::bodies::BodyBudget;
use crate::Config;
use crate::config::Deadlines;
use crate::stats::WorkerStats;
use crate::timeout::{Deadlined, TICK, Tick, Ticks, TimeLimits, TimeoutKind, Wheel};

/// The state of a worker that does not depend on how it does I/O.
#[derive(Debug)]
pub(crate) struct WorkerCore {
    pub(crate) host: Host,
    pub(crate) output: c10k_http::Output,
    pub(crate) stats: WorkerStats,
    pub(crate) deadlines: Deadlines,
    pub(super) limits: TimeLimits,
    pub(super) bodies: BodyBudget,
    max_connections: usize,
    now: Tick,
    /// Nothing is accepted before this.
    accept_at: Tick,
    reported_at: Tick,
    pub(super) next_eviction: Tick,
    drain_ends: Tick,
}

impl WorkerCore {
    /// A worker that may have so many connections open at once.
    pub(crate) fn new(config: &Config, bodies: BodyBudget, max_connections: usize, date: Date) -> WorkerCore {
        WorkerCore {
            host: config.host(date),
            output: c10k_http::Output::default(),
            stats: WorkerStats::default(),
            deadlines: config.deadlines,
            limits: TimeLimits::new(&config.deadlines),
            bodies,
            max_connections,
            now: Tick(0),
            accept_at: Tick(0),
            reported_at: Tick(0),
            next_eviction: Tick(0),
            drain_ends: Tick(u32::MAX),
        }
    }

    /// Lets time pass. `date` is given if a new second has begun.
    pub(crate) fn advance(&mut self, now: Tick, date: Option<Date>) {
        self.now = now;
        if let Some(date) = date {
            self.host.date = date;
        }
    }

    pub(crate) fn now(&self) -> Tick {
        self.now
    }

    /// Whether the statistics have not been reported in this tick.
    pub(crate) fn report_is_due(&self) -> bool {
        self.now > self.reported_at
    }

    /// The statistics since the last call, to be added to the sums of the server and set to 0.
    pub(crate) fn stats_to_report(&mut self) -> &mut WorkerStats {
        self.reported_at = self.now;
        self.stats.requests += std::mem::take(&mut self.output.requests);
        self.stats.refused += std::mem::take(&mut self.output.refused);
        &mut self.stats
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.host.stage == Stage::Draining
    }

    /// Starts to drain. Returns whether the worker was not draining before.
    pub(crate) fn start_drain(&mut self) -> bool {
        if self.is_draining() {
            return false;
        }
        self.host.stage = Stage::Draining;
        self.drain_ends = self.now.after(Ticks::covering(self.deadlines.drain));
        true
    }

    /// Whether the drain is over, because its time is up or because there are no connections left and none will come.
    pub(crate) fn is_drained(&self, nothing_left: bool) -> bool {
        self.is_draining() && (nothing_left || self.now >= self.drain_ends)
    }

    /// How many more connections there is room for when `open` are open.
    pub(crate) fn room(&self, open: usize) -> usize {
        self.max_connections.saturating_sub(open)
    }

    /// Stops accepting after a shortage, until a connection is closed or the back-off has passed.
    pub(crate) fn pause_accepting(&mut self) {
        self.accept_at = self.now.after(Ticks::covering(self.deadlines.back_off));
    }

    pub(crate) fn accepting_is_paused(&self) -> bool {
        self.now < self.accept_at
    }

    /// How long a loop may wait. `is_idle`: the last turn had nothing to do. The ends of a pause and of the drain are no
    /// deadlines of connections.
    pub(crate) fn timeout<K: Copy>(
        &self,
        is_idle: bool,
        wheel: &mut Wheel<K>,
        connections: &mut impl Deadlined<K>,
    ) -> Duration {
        if self.accepting_is_paused() {
            wheel.timeout().min(self.time_until(self.accept_at))
        } else if is_idle && !self.is_draining() {
            wheel.idle_timeout(connections)
        } else {
            wheel.timeout()
        }
    }

    /// Whether another connection may be accepted when `open` are open.
    pub(crate) fn may_accept(&self, open: usize) -> bool {
        !self.accepting_is_paused() && self.room(open) > 0
    }

    /// Counts a connection that was closed, which makes room for another.
    pub(crate) fn closed(&mut self) {
        self.stats.calls.close += 1;
        self.closed_without_call();
    }

    /// The same, if that was no call of the driver.
    pub(crate) fn closed_without_call(&mut self) {
        self.accept_at = Tick(0);
    }

    /// How long a call that sends may block, so that the deadline of the reply has passed when it returns.
    pub(crate) fn send_limit(&self) -> Duration {
        self.time_until(self.now.after(self.limits.of(TimeoutKind::Send))) + TICK
    }

    /// The time from now until a deadline.
    pub(crate) fn time_until(&self, deadline: Tick) -> Duration {
        TICK * deadline.0.saturating_sub(self.now.0)
    }
}
