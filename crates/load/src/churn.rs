//! Churn of the idle pool: connections are replaced by new ones at a steady rate, the oldest first.
//!
//! The new connection is made before the old one is closed, so the pool is never smaller for it.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use c10k_event::Key;

use crate::clock::Moment;
use crate::plan::LoadPlan;
use crate::profile::Profile;
use crate::schedule::{Arrival, Schedule};
use crate::share::Share;
use crate::sockets::SocketEvent;
use crate::worker::Worker;
use crate::world::Link;

/// Connects of replacements that are unanswered at once, on one thread; what is due beyond counts as not replaced.
const WINDOW: u64 = 128;

/// One thread's part of the churn.
#[derive(Debug)]
pub(crate) struct Churn {
    start: Moment,
    schedule: Schedule,
    /// The pool from the oldest on; those that the server closed are still listed.
    by_age: VecDeque<Key>,
    connecting: u64,
}

impl Churn {
    /// The churn of `pool`, from the oldest on; `None` where the plan has none.
    pub(crate) fn new(plan: &LoadPlan, share: Share, pool: impl Iterator<Item = Key>, start: Moment) -> Option<Self> {
        if plan.idle_churn == 0.0 {
            return None;
        }
        let profile = Profile::constant(plan.idle_churn / share.threads as f64);
        Some(Self {
            start,
            schedule: Schedule::new(Arrival::Constant, profile, NonZeroU64::MIN, Duration::MAX, 0),
            by_age: pool.collect(),
            connecting: 0,
        })
    }

    fn due(&self) -> Option<Moment> {
        self.schedule.peek().map(|due| self.start.after_ns(due.offset_ns))
    }
}

impl Worker<'_> {
    /// When the next idle connection is to be replaced, before `end`.
    pub(crate) fn next_churn(&self, end: Moment) -> Option<Moment> {
        self.churn.as_ref()?.due().filter(|&due| due < end)
    }

    /// Begins to replace what is due at `now`.
    pub(crate) fn replace_idle(&mut self, now: Moment, end: Moment) {
        while self.next_churn(end).is_some_and(|due| due <= now) {
            let Some(churn) = &mut self.churn else { return };
            churn.schedule.next();
            if churn.connecting >= WINDOW {
                self.idle.not_replaced += 1;
                continue;
            }
            match self.engine.world.open_idle() {
                Ok((key, Link::Up)) => self.replaced_by(key),
                Ok((_, Link::Connecting)) => churn.connecting += 1,
                Err(_) => self.idle.not_replaced += 1,
            }
        }
    }

    /// The connect of a replacement has ended.
    pub(crate) fn replacement_event(&mut self, found: SocketEvent) {
        if !(found.event.readiness.is_writable() || found.event.readiness.is_error()) {
            return;
        }
        let Some(churn) = &mut self.churn else { return };
        churn.connecting -= 1;
        match self.engine.world.idle_connected(found.event.key) {
            Ok(()) => self.replaced_by(found.event.key),
            Err(_) => self.idle.not_replaced += 1,
        }
    }

    /// Replacements that are still unanswered when the run is over did not come.
    pub(crate) fn end_churn(&mut self) {
        if let Some(churn) = self.churn.take() {
            self.idle.not_replaced += churn.connecting;
        }
    }

    fn replaced_by(&mut self, new: Key) {
        let Some(churn) = &mut self.churn else { return };
        // Connections that the server closed are gone already. Where all are, the pool gets one back.
        let mut oldest = std::iter::from_fn(|| churn.by_age.pop_front());
        if !oldest.any(|key| self.engine.world.close_idle(key)) {
            self.idle.open += 1;
        }
        churn.by_age.push_back(new);
        self.idle.replaced += 1;
    }
}
