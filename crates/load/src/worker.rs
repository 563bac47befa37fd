//! One sending thread: an engine on sockets, its idle connections, its loop.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use c10k_sys::rusage::{Usage, of_thread};
use rustix::thread::set_current_timer_slack;

use crate::LoadError;
use crate::account::Account;
use crate::churn::Churn;
use crate::clock::{Moment, thread_cpu_ns};
use crate::engine::{Engine, Timetable};
use crate::idle::IdleCount;
use crate::pacing::Wait;
use crate::plan::LoadPlan;
use crate::sessions::Tally;
use crate::share::Share;
use crate::socket::Role;
use crate::sockets::{SocketEvent, Sockets};
use crate::sources::Sources;
use crate::traffic::Traffic;
use crate::watch::{Gauge, PULSE, Stop};

/// What one thread found.
#[derive(Debug)]
pub(crate) struct WorkerReport {
    pub(crate) account: Account,
    pub(crate) idle: IdleCount,
    pub(crate) traffic: Traffic,
    pub(crate) sessions: Option<Tally>,
    /// CPU time over the measured time, waiting by polling excluded, nanoseconds.
    pub(crate) cpu_ns: u64,
    /// What the kernel counted for the thread over the measured time.
    pub(crate) usage: Usage,
}

pub(crate) struct Worker<'p> {
    pub(crate) plan: &'p LoadPlan,
    pub(crate) share: Share,
    pub(crate) engine: Engine<'p, Sockets>,
    pub(crate) idle: IdleCount,
    pub(crate) churn: Option<Churn>,
    pub(crate) stop: Stop,
    gauge: Arc<Gauge>,
    /// When to look at `stop` and to tell `gauge` again.
    pulse: Moment,
    meter: CpuMeter,
}

/// CPU time of the thread over the measured time.
#[derive(Debug, Default)]
struct CpuMeter {
    at_measure: Option<u64>,
    at_end: Option<u64>,
    usage_at_measure: Usage,
    usage_at_end: Usage,
    /// Time spent polling for the next instant with nothing to do, within the measured time.
    polled_ns: u64,
}

impl<'p> Worker<'p> {
    /// A worker in the calling thread. `idle` is this thread's part of the idle pool.
    pub(crate) fn new(
        plan: &'p LoadPlan,
        share: Share,
        idle: u64,
        sources: Sources,
        (stop, gauge): (Stop, Arc<Gauge>),
    ) -> Result<Self, LoadError> {
        // The default slack of 50 µs would be added to every sleep; a refusal costs precision that send lag shows.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        let sockets = Sockets::open(plan.target.address.clone(), sources, plan.close)?;
        let engine = Engine::new(plan, share, sockets);
        Ok(Self {
            plan,
            share,
            engine,
            idle: IdleCount::new(idle),
            churn: None,
            stop,
            gauge,
            pulse: Moment(0),
            meter: CpuMeter::default(),
        })
    }

    /// Sends by the timetable until every request has ended.
    pub(crate) fn run(&mut self, mut timetable: Timetable) -> Result<WorkerReport, LoadError> {
        self.engine.start(timetable);
        self.churn = Churn::new(self.plan, self.share, self.engine.world.idle(), timetable.start);
        // Who asked while connections were opened is heard before the first request.
        self.pulse = Moment(0);
        loop {
            let now = Moment::now();
            if now >= self.pulse {
                self.tell_progress(now);
                if let Some(at) = self.stop.requested() {
                    timetable = timetable.cut(at);
                    self.engine.cut(timetable);
                }
            }
            self.cross_phases(timetable, now);
            self.replace_idle(now, timetable.end);
            self.engine.step();
            if self.engine.is_drained() && self.meter.at_end.is_some() {
                break;
            }
            self.wait(timetable)?;
            while let Some(found) = self.engine.world.take() {
                self.handle(found);
            }
        }
        self.end_churn();
        Ok(WorkerReport {
            account: self.engine.account().clone(),
            idle: self.idle,
            traffic: self.engine.traffic().clone(),
            sessions: self.engine.sessions().cloned(),
            cpu_ns: self.meter.busy_ns(),
            usage: self.meter.usage_at_end.since(self.meter.usage_at_measure),
        })
    }

    /// Handles one event of the run.
    pub(crate) fn handle(&mut self, found: SocketEvent) {
        let SocketEvent { event, role } = found;
        match role {
            Role::Lane(lane) => self.engine.event(lane, event.readiness),
            Role::Idle => {
                let mut scrap = [0; 512];
                if !self.engine.world.idle_is_open(event.key, &mut scrap) {
                    self.idle.closed_by_server();
                }
            }
            Role::IdleOpening => self.replacement_event(found),
        }
    }

    /// Tells how far this thread is, and sets when to do that again.
    pub(crate) fn tell_progress(&mut self, now: Moment) {
        self.pulse = now.after(PULSE);
        let account = self.engine.account();
        let lost = account.timed_out + account.never_sent + account.failed_in_all();
        let connections = self.idle.open + self.engine.traffic().open;
        for (gauge, value) in [
            (&self.gauge.connections, connections),
            (&self.gauge.intended, account.intended),
            (&self.gauge.completed, account.completed),
            (&self.gauge.lost, lost),
        ] {
            gauge.store(value, Ordering::Relaxed);
        }
    }

    fn cross_phases(&mut self, timetable: Timetable, now: Moment) {
        if self.meter.at_measure.is_none() && now >= timetable.measure {
            self.meter.at_measure = Some(thread_cpu_ns());
            self.meter.usage_at_measure = of_thread().unwrap_or_default();
            self.idle.measure();
        }
        if self.meter.at_end.is_none() && now >= timetable.end {
            self.meter.at_end = Some(thread_cpu_ns());
            self.meter.usage_at_end = of_thread().unwrap_or_default();
            self.idle.stop();
        }
    }

    fn wait(&mut self, timetable: Timetable) -> Result<(), LoadError> {
        let now = Moment::now();
        let edge = [timetable.measure, timetable.end]
            .into_iter()
            .filter(|&edge| edge > now)
            .min();
        let others = [
            edge,
            self.engine.next_deadline(),
            self.next_churn(timetable.end),
            Some(self.pulse),
        ];
        let other = others.into_iter().flatten().min();
        let busy = self.engine.is_busy();
        let wait = if busy {
            Wait::Poll
        } else {
            self.plan.pace.wait(now, self.engine.next_due(), other)
        };
        let timeout = match wait {
            Wait::Sleep(timeout) => timeout,
            Wait::Poll => Some(Duration::ZERO),
        };
        let found = self.engine.world.wait(timeout)?;
        if found == 0 && wait == Wait::Poll && !busy && self.meter.is_running() {
            self.meter.polled_ns += Moment::now().since_ns(now);
        }
        Ok(())
    }
}

impl CpuMeter {
    fn is_running(&self) -> bool {
        self.at_measure.is_some() && self.at_end.is_none()
    }

    fn busy_ns(&self) -> u64 {
        let used = self
            .at_end
            .zip(self.at_measure)
            .map_or(0, |(end, start)| end.saturating_sub(start));
        used.saturating_sub(self.polled_ns)
    }
}
