//! A sending thread: an engine on sockets, an idle pool, and the loop that drives them.

mod churn;
mod cpu_meter;
pub(crate) mod opening;

use std::num::NonZeroU64;
use std::time::Duration;

use c10k_event::Key;
use c10k_sys::rusage::Usage;
use rustix::thread::set_current_timer_slack;

use crate::LoadError;
use crate::accounting::failure::Failure;
use crate::accounting::idle_count::IdleCount;
use crate::accounting::request_stats::RequestStats;
use crate::accounting::session_stats::SessionStats;
use crate::accounting::traffic::Traffic;
use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::world::Link;
use crate::net::socket::Role;
use crate::net::socket_set::{SocketEvent, SocketSet};
use crate::net::sources::Sources;
use crate::plan::{LoadPlan, Pace, Wait};
use crate::progress::{REPORT_INTERVAL, ThreadProgress};
use crate::schedule::thread_share::ThreadShare;
use crate::schedule::timetable::{Timetable, Window};
use crate::stop::Stop;
use churn::Churn;
use cpu_meter::CpuMeter;
use opening::{Opening, OpeningFailures, ToOpen};

/// The maximum number of idle connections that are replaced before the requests get their turn.
const REPLACEMENTS_PER_TURN: usize = 64;

/// The results of one thread in one window.
#[derive(Debug)]
pub(crate) struct WorkerReport {
    /// The thread's measured time, which an early stop shortens.
    pub(crate) measured: Duration,
    pub(crate) stats: RequestStats,
    /// Persistent connections that were never open and that no request used.
    pub(crate) unopened: u64,
    pub(crate) idle: IdleCount,
    pub(crate) traffic: Traffic,
    pub(crate) sessions: Option<SessionStats>,
    /// CPU time in the measured time, without polling for the next request, nanoseconds.
    pub(crate) cpu_ns: u64,
    /// What the kernel counted for the thread in the measured time.
    pub(crate) usage: Usage,
}

/// A sending thread.
pub(crate) struct Worker<'p> {
    plan: &'p LoadPlan,
    share: ThreadShare,
    engine: Engine<'p, SocketSet>,
    idle: IdleCount,
    churn: Option<Churn>,
    stop: Stop,
    progress: ThreadProgress,
    /// When to check `stop` and to report progress.
    next_report: Moment,
    meter: CpuMeter,
}

impl<'p> Worker<'p> {
    /// A worker for the calling thread.
    pub(crate) fn new(
        plan: &'p LoadPlan,
        share: ThreadShare,
        sources: Sources,
        stop: Stop,
        progress: ThreadProgress,
    ) -> Result<Self, LoadError> {
        // The default slack would delay every sleep by 50 µs. If this fails, the send lag shows the loss of precision.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        let sockets = SocketSet::open(plan.target.address.clone(), sources, plan.close)?;
        Ok(Self {
            plan,
            share,
            engine: Engine::new(plan, share, sockets),
            idle: IdleCount::new(share.of(plan.idle)),
            churn: None,
            stop,
            progress,
            next_report: Moment(0),
            meter: CpuMeter::default(),
        })
    }

    /// Opens the idle pool and the persistent connections of this thread, and returns what failed. A slot whose connect
    /// failed connects again when a request is due.
    pub(crate) fn open_connections(&mut self) -> Result<OpeningFailures, LoadError> {
        let rate = self.plan.connect_rate / self.share.threads as f64;
        let mut opening = Opening::new(self.idle.target, 0..self.engine.slot_count(), rate, Moment::now());
        loop {
            let now = Moment::now();
            while opening.next_due().is_some_and(|due| due <= now) {
                self.open_next(&mut opening, now);
            }
            let give_up = opening.give_up_at();
            if opening.is_complete() || now >= give_up || self.stop.requested().is_some() {
                break;
            }
            self.report_progress(now);
            let wake = give_up.min(now.after(REPORT_INTERVAL));
            let wait = Pace::Sleep.wait(now, opening.next_due(), Some(wake));
            self.engine.world_mut().wait(timeout(wait))?;
            while let Some(found) = self.engine.world_mut().take() {
                self.opening_event(found, &mut opening);
            }
        }
        self.give_up_unanswered(&mut opening);
        Ok(opening.into_failures())
    }

    /// Sends the requests of a window until all of them have ended. The connections stay open.
    pub(crate) fn run(&mut self, window: Window) -> Result<WorkerReport, LoadError> {
        let mut timetable = window.timetable;
        self.meter = CpuMeter::default();
        self.engine.start(window);
        self.churn = Churn::new(self.plan, self.share, self.engine.world().idle(), timetable.start);
        // The stop may have been requested while connections were opened: then no request is due, however late this is.
        if self.stop.requested().is_some() {
            timetable = timetable.cut(timetable.start);
            self.engine.cut(timetable);
        }
        self.next_report = Moment(0);
        loop {
            let now = Moment::now();
            if now >= self.next_report {
                self.report_progress(now);
                // The measured time ends now, not when the stop was requested: requests were due until now.
                if self.stop.requested().is_some() && now < timetable.end {
                    timetable = timetable.cut(now);
                    self.engine.cut(timetable);
                }
            }
            self.enter_phases(timetable, now);
            self.replace_idle(now, timetable.end);
            self.engine.step();
            if self.meter.has_ended() && self.engine.is_drained() && !self.awaits_replacements(timetable, now) {
                break;
            }
            self.wait(timetable)?;
            while let Some(found) = self.engine.world_mut().take() {
                self.handle(found);
            }
        }
        // Replacements whose connect is still in progress have failed.
        self.idle.not_replaced += self.churn.take().map_or(0, |churn| churn.unanswered());
        Ok(WorkerReport {
            measured: timetable.measured(),
            stats: self.engine.stats().clone(),
            unopened: self.engine.unopened(),
            idle: self.idle,
            traffic: self.engine.traffic().clone(),
            sessions: self.engine.sessions().cloned(),
            cpu_ns: self.meter.busy_ns(),
            usage: self.meter.usage(),
        })
    }

    fn open_next(&mut self, opening: &mut Opening, now: Moment) {
        let Some(next) = opening.take_next() else { return };
        let result = match next {
            ToOpen::Idle => self.engine.world_mut().open_idle().map(|(_, link)| link),
            ToOpen::Slot(slot) => self.engine.open_slot(slot),
        };
        match result {
            Ok(Link::Connected) => {
                opening.established(now);
                if matches!(next, ToOpen::Idle) {
                    self.idle.opened();
                }
            }
            Ok(Link::Connecting) => opening.connecting(),
            Err(failure) => opening.failed(failure, 1),
        }
    }

    fn opening_event(&mut self, found: SocketEvent, opening: &mut Opening) {
        match found.role {
            Role::IdleOpening if !has_connect_ended(found) => {}
            Role::IdleOpening => {
                opening.connect_ended();
                match self.engine.world_mut().idle_connected(found.event.key) {
                    Ok(()) => {
                        opening.established(Moment::now());
                        self.idle.opened();
                    }
                    Err(failure) => opening.failed(failure, 1),
                }
            }
            Role::Slot(slot) if self.engine.link(slot) == Some(Link::Connecting) => {
                self.handle(found);
                match self.engine.link(slot) {
                    Some(Link::Connecting) => {}
                    Some(Link::Connected) => {
                        opening.connect_ended();
                        opening.established(Moment::now());
                    }
                    None => {
                        opening.connect_ended();
                        opening.failed(Failure::ConnectionRefused, 1);
                    }
                }
            }
            Role::Slot(_) | Role::Idle => self.handle(found),
        }
    }

    fn give_up_unanswered(&mut self, opening: &mut Opening) {
        let idle = self.engine.world_mut().give_up_idle_opening() + opening.give_up_idle();
        opening.failed(Failure::SocketTimeout, idle);
        for slot in 0..self.engine.slot_count() {
            if self.engine.link(slot) == Some(Link::Connecting) {
                opening.failed(Failure::SocketTimeout, 1);
                self.engine.disconnect(slot);
            }
        }
    }

    /// Begins and ends the measured time.
    fn enter_phases(&mut self, timetable: Timetable, now: Moment) {
        if !self.meter.has_begun() && now >= timetable.measure {
            self.meter.begin();
            self.idle.begin_measured_time();
        }
        if !self.meter.has_ended() && now >= timetable.end {
            self.meter.end();
            self.idle.end_measured_time();
        }
    }

    fn wait(&mut self, timetable: Timetable) -> Result<(), LoadError> {
        let now = Moment::now();
        let phase = [timetable.measure, timetable.end]
            .into_iter()
            .filter(|&phase| phase > now)
            .min();
        let others = [
            phase,
            self.engine.next_deadline(),
            self.next_replacement(timetable.end),
            Some(self.next_report),
        ];
        let other = others.into_iter().flatten().min();
        let is_busy = self.engine.is_busy();
        let wait = if is_busy {
            Wait::Poll
        } else {
            self.plan.pace.wait(now, self.engine.next_due(), other)
        };
        let found = self.engine.world_mut().wait(timeout(wait))?;
        if found == 0 && wait == Wait::Poll && !is_busy {
            self.meter.add_polled(Moment::now().since_ns(now));
        }
        Ok(())
    }

    fn handle(&mut self, found: SocketEvent) {
        let SocketEvent { event, role } = found;
        match role {
            Role::Slot(slot) => self.engine.event(slot, event.readiness),
            Role::Idle => {
                let mut scrap = [0; 512];
                if !self.engine.world_mut().idle_is_open(event.key, &mut scrap) {
                    self.idle.closed_by_server();
                }
            }
            Role::IdleOpening if has_connect_ended(found) => self.replacement_connected(event.key),
            Role::IdleOpening => {}
        }
    }

    /// When the next idle connection is to be replaced, if that is before `end`.
    fn next_replacement(&self, end: Moment) -> Option<Moment> {
        self.churn.as_ref()?.next_due().filter(|&due| due < end)
    }

    /// Starts the replacements that are due.
    fn replace_idle(&mut self, now: Moment, end: Moment) {
        for _ in 0..REPLACEMENTS_PER_TURN {
            let due = self.next_replacement(end).filter(|&due| due <= now);
            let (Some(due), Some(churn)) = (due, &mut self.churn) else {
                return;
            };
            let may_connect = churn.take_due();
            // A generator that is behind by more than a request's time limit does not catch up.
            if !may_connect || due.after(self.plan.timeout) <= now {
                self.idle.not_replaced += 1;
                continue;
            }
            match self.engine.world_mut().open_idle() {
                Ok((key, Link::Connected)) => self.replace_oldest(key),
                Ok((_, Link::Connecting)) => churn.connecting(),
                Err(_) => self.idle.not_replaced += 1,
            }
        }
    }

    fn replacement_connected(&mut self, key: Key) {
        let Some(churn) = &mut self.churn else { return };
        churn.connect_ended();
        match self.engine.world_mut().idle_connected(key) {
            Ok(()) => self.replace_oldest(key),
            Err(_) => self.idle.not_replaced += 1,
        }
    }

    fn replace_oldest(&mut self, new: Key) {
        let Some(churn) = &mut self.churn else { return };
        let sockets = self.engine.world_mut();
        if !churn.replace_oldest(new, |key| sockets.close_idle(key)) {
            // The server has closed all others, so the pool grows by one.
            self.idle.open += 1;
        }
        self.idle.replaced += 1;
    }

    /// Whether replacements are due, or their connects are in progress and may still succeed within a request's time limit.
    fn awaits_replacements(&self, timetable: Timetable, now: Moment) -> bool {
        if self.next_replacement(timetable.end).is_some() {
            return true;
        }
        let unanswered = self.churn.as_ref().map_or(0, Churn::unanswered);
        unanswered > 0 && now < timetable.end.after(self.plan.timeout)
    }

    fn report_progress(&mut self, now: Moment) {
        self.next_report = now.after(REPORT_INTERVAL);
        let stats = self.engine.stats();
        self.progress.report(
            self.idle.open + self.engine.traffic().open,
            stats.intended,
            stats.completed,
            stats.timed_out + stats.never_sent + stats.failed_total(),
        );
    }
}

/// Whether the event reports that a connect has succeeded or failed.
fn has_connect_ended(found: SocketEvent) -> bool {
    found.event.readiness.is_writable() || found.event.readiness.is_error()
}

fn timeout(wait: Wait) -> Option<Duration> {
    match wait {
        Wait::Sleep(timeout) => timeout,
        Wait::Poll => Some(Duration::ZERO),
    }
}
