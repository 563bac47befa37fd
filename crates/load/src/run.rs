//! A run: threads, phases, the sum of the books.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use c10k_record::{ClientUse, IdlePool, LoadPhase, LoadSummary, SCHEMA};
use c10k_sys::rusage::Usage;

use crate::LoadError;
use crate::account::Account;
use crate::clock::Moment;
use crate::engine::Timetable;
use crate::fingerprint::Fingerprint;
use crate::limits::Limits;
use crate::opening::OpeningFailures;
use crate::plan::{Bodies, LoadPlan, Probe};
use crate::probe::{Answer, ask};
use crate::report::LoadReport;
use crate::sessions::Tally;
use crate::share::Share;
use crate::sources::{Ports, Sources};
use crate::statistics::{Steadiness, intervals, steadiness};
use crate::traffic::Traffic;
use crate::verdict::{Descriptors, Facts, IdleTotals, Settled, judge};
use crate::watch::{Gauge, News, PULSE, Progress, Stop};
use crate::worker::{Worker, WorkerReport};

/// Descriptors kept for everything that is not a connection: standard streams, sets, the probe.
const OTHER_DESCRIPTORS: u64 = 64;
/// Descriptors kept for connections that come and go.
const PASSING_DESCRIPTORS: u64 = 512;
/// From the word to go to the first request, so that all threads are there.
const HEAD_START: Duration = Duration::from_millis(2);
/// How long the probes wait at least, whatever the time limit of a request.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// Runs `plan` to its end and judges it. `observe` is called from the calling thread, at each change of phase and about
/// ten times a second.
///
/// The process's soft limit of descriptors is raised to the hard one.
///
/// # Errors
/// [`LoadError`] when the run cannot be made: options that do not go together, nothing that listens, not an HTTP
/// server. Everything that goes wrong later is a count in the summary.
///
/// # Panics
/// If the books do not reconcile, which is a bug here and never the server's doing.
pub fn run(plan: &LoadPlan, observe: impl FnMut(News)) -> Result<LoadReport, LoadError> {
    run_until(plan, &Stop::default(), observe)
}

/// As [`run`], until `stop` asks it to end early: then no further request is due, those under way end as they would
/// have, and the run is invalid as it was interrupted.
///
/// # Errors
/// As [`run`].
///
/// # Panics
/// As [`run`].
pub fn run_until(plan: &LoadPlan, stop: &Stop, observe: impl FnMut(News)) -> Result<LoadReport, LoadError> {
    plan.check()?;
    let mut verified = plan.clone();
    let limits = Limits::raise_and_read();
    let probe_limit = plan.timeout.max(PROBE_LIMIT);
    if plan.probe == Probe::Ask {
        let answer = ask(&plan.target, probe_limit)?;
        if plan.bodies == Bodies::LikeTheFirst {
            verified.target.expected.body = Some(model_body(answer)?);
        }
    }
    let plan = &verified;
    let mut watcher = Watcher {
        stop: stop.clone(),
        gauges: (0..plan.threads).map(|_| Arc::default()).collect(),
        timetable: None,
        observe,
    };
    watcher.enter(LoadPhase::Connecting);
    thread::scope(|scope| {
        let (events, inbox) = channel();
        let (idle, descriptors) = idle_allowed(plan, limits);
        let ports = plan.local_ports.map_or(limits.ports_per_address, Ports::count);
        let sources = Sources::plan(&plan.target.address, plan.ports(), ports, &plan.sources);
        let sources = sources.with_ports(plan.local_ports);
        let mut starts = Vec::new();
        for thread in 0..plan.threads {
            let share = Share {
                thread: thread as u64,
                threads: plan.threads as u64,
            };
            let sources = sources.clone().starting_at(thread);
            let (start, started) = channel();
            starts.push(start);
            let events = events.clone();
            let watched = (stop.clone(), Arc::clone(&watcher.gauges[thread]));
            let worker = move || Worker::new(plan, share, share.of(idle), sources, watched);
            scope.spawn(move || work(worker, &started, &events));
        }
        drop(events);
        let opening_failures = opened(&inbox, plan.threads, &mut watcher)?;
        let settled = match plan.probe {
            Probe::Ask if plan.idle + plan.pattern.connections() > 0 && stop.requested().is_none() => {
                match ask(&plan.target, probe_limit) {
                    Ok(Answer::Replied(..)) => Settled::Answered,
                    Ok(Answer::Nothing) | Err(_) => Settled::Silent,
                }
            }
            _ => Settled::NotAsked,
        };
        let timetable = start_all(plan, &starts);
        watcher.tell_phases(plan, timetable);
        let reports = drained(&inbox, plan.threads, &mut watcher)?;
        watcher.enter(LoadPhase::Closing);
        drop(starts);
        let cut = stop.requested().map_or(timetable, |at| timetable.cut(at));
        let facts = Observed {
            descriptors,
            opening_failures,
            settled,
            measured: cut.measured(),
        };
        Ok(sum_up(plan, &reports, &facts))
    })
}

/// What a thread tells.
enum Told {
    Opened(OpeningFailures),
    Drained(Box<WorkerReport>),
    Failed(LoadError),
}

/// What was seen outside the threads.
struct Observed {
    descriptors: Descriptors,
    opening_failures: OpeningFailures,
    settled: Settled,
    /// The measured time that there was.
    measured: Duration,
}

/// The body that all others are to be like: that of a good reply.
fn model_body(answer: Answer) -> Result<Fingerprint, LoadError> {
    match answer {
        Answer::Replied(reply, body) if (200..300).contains(&reply.status) => Ok(body),
        Answer::Replied(..) => Err(LoadError::Plan(
            "the first reply is no success, whose body others could be compared with: leave --verify-bodies out, or mend the URL",
        )),
        Answer::Nothing => Err(LoadError::Plan(
            "the first request got no reply, whose body others could be compared with: leave --verify-bodies out",
        )),
    }
}

fn work<'p>(
    worker: impl FnOnce() -> Result<Worker<'p>, LoadError>,
    started: &Receiver<Timetable>,
    events: &Sender<Told>,
) {
    // A send fails only when the run was given up already; then there is nobody to tell.
    let mut worker = match worker() {
        Ok(worker) => worker,
        Err(error) => return drop(events.send(Told::Failed(error))),
    };
    match worker.open_connections() {
        Ok(failures) => drop(events.send(Told::Opened(failures))),
        Err(error) => return drop(events.send(Told::Failed(error))),
    }
    let Ok(timetable) = started.recv() else { return };
    drop(events.send(match worker.run(timetable) {
        Ok(report) => Told::Drained(Box::new(report)),
        Err(error) => Told::Failed(error),
    }));
    // Nothing more is sent: the other end is dropped when the connections, which the worker holds, may be closed.
    let _ = started.recv();
}

/// Idle connections that the descriptors allow beside everything else, and the reckoning.
fn idle_allowed(plan: &LoadPlan, limits: Limits) -> (u64, Descriptors) {
    let lanes = match plan.pattern.connections() {
        0 => PASSING_DESCRIPTORS,
        connections => connections,
    };
    let others = lanes + OTHER_DESCRIPTORS;
    let idle = plan.idle.min(limits.descriptors.saturating_sub(others));
    (
        idle,
        Descriptors {
            needed: plan.idle + others,
            allowed: limits.descriptors,
        },
    )
}

fn opened(
    inbox: &Receiver<Told>,
    threads: usize,
    watcher: &mut Watcher<impl FnMut(News)>,
) -> Result<OpeningFailures, LoadError> {
    let mut all = OpeningFailures::new();
    for _ in 0..threads {
        match watcher.receive(inbox) {
            Told::Opened(failures) => {
                for (failure, count) in failures {
                    *all.entry(failure).or_insert(0) += count;
                }
            }
            Told::Failed(error) => return Err(error),
            Told::Drained(_) => unreachable!("no thread has been started yet"),
        }
    }
    Ok(all)
}

fn drained(
    inbox: &Receiver<Told>,
    threads: usize,
    watcher: &mut Watcher<impl FnMut(News)>,
) -> Result<Vec<WorkerReport>, LoadError> {
    let told = (0..threads).map(|_| watcher.receive(inbox));
    told.map(|told| match told {
        Told::Drained(report) => Ok(*report),
        Told::Failed(error) => Err(error),
        Told::Opened(_) => unreachable!("every thread has told that already"),
    })
    .collect()
}

fn start_all(plan: &LoadPlan, starts: &[Sender<Timetable>]) -> Timetable {
    let timetable = Timetable::new(plan, Moment::now().after(HEAD_START));
    for thread in starts {
        // A thread that has gone has told why, which is read next.
        let _ = thread.send(timetable);
    }
    timetable
}

/// Tells whoever watches the run, from the thread that started it.
struct Watcher<F> {
    stop: Stop,
    gauges: Vec<Arc<Gauge>>,
    /// Once the run has begun.
    timetable: Option<Timetable>,
    observe: F,
}

impl<F: FnMut(News)> Watcher<F> {
    fn enter(&mut self, phase: LoadPhase) {
        (self.observe)(News::Phase(phase, Moment::now()));
    }

    fn tell_progress(&mut self) {
        let now = Moment::now();
        let mut progress = Progress::default();
        if let Some(timetable) = self.timetable {
            progress.done = now.from_now(timetable.start);
            progress.left = timetable.end.from_now(now);
        }
        self.gauges.iter().for_each(|gauge| gauge.add_to(&mut progress));
        (self.observe)(News::Progress(progress));
    }

    /// What the next thread has to tell.
    fn receive(&mut self, inbox: &Receiver<Told>) -> Told {
        loop {
            match inbox.recv_timeout(PULSE) {
                Ok(told) => return told,
                Err(RecvTimeoutError::Timeout) => self.tell_progress(),
                Err(RecvTimeoutError::Disconnected) => unreachable!("a thread that is awaited holds a sender"),
            }
        }
    }

    fn tell_phases(&mut self, plan: &LoadPlan, timetable: Timetable) {
        if !plan.warm_up.is_zero() {
            self.sleep_until(timetable, |timetable| timetable.start);
            self.enter(LoadPhase::WarmUp);
        }
        self.sleep_until(timetable, |timetable| timetable.measure);
        self.enter(LoadPhase::Measuring);
        self.sleep_until(timetable, |timetable| timetable.end);
        self.enter(LoadPhase::Measured);
    }

    /// Sleeps until an instant of the timetable, which an early stop brings forward.
    fn sleep_until(&mut self, timetable: Timetable, at: fn(Timetable) -> Moment) {
        loop {
            let cut = self.stop.requested().map_or(timetable, |at| timetable.cut(at));
            self.timetable = Some(cut);
            let rest = at(cut).from_now(Moment::now());
            if rest.is_zero() {
                return;
            }
            thread::sleep(rest.min(PULSE));
            self.tell_progress();
        }
    }
}

// long: one field of the summary after the other
fn sum_up(plan: &LoadPlan, reports: &[WorkerReport], observed: &Observed) -> LoadReport {
    let (first, others) = reports.split_first().expect("a plan has at least one thread");
    let mut account: Account = first.account.clone();
    others.iter().for_each(|report| account.add(&report.account));
    let mut idle = IdleTotals {
        target: plan.idle,
        ..IdleTotals::default()
    };
    reports.iter().for_each(|report| idle.add(&report.idle));
    account.series.cut(observed.measured);
    let seconds = observed.measured.as_secs_f64();
    let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    let thread_percents = reports.iter().map(|report| per_second(report.cpu_ns) / 1e9 * 100.0);
    let thread_percents: Vec<f64> = thread_percents.collect();
    let usage = reports
        .iter()
        .fold(Usage::default(), |sum, report| sum.plus(report.usage));
    let client = ClientUse {
        cpu_ns: reports.iter().map(|report| report.cpu_ns).sum(),
        threads: reports.len() as u64,
        busiest_thread_percent: thread_percents.iter().copied().fold(0.0, f64::max),
        thread_percents,
        context_switches_voluntary: usage.voluntary_switches,
        context_switches_involuntary: usage.involuntary_switches,
    };
    let invalid_because = judge(&Facts {
        plan,
        account: &account,
        idle,
        opening_failures: &observed.opening_failures,
        busiest_thread_percent: client.busiest_thread_percent,
        descriptors: observed.descriptors,
        settled: observed.settled,
        cut_to: Some(observed.measured).filter(|&measured| measured < plan.duration),
    });
    let sessions = reports.iter().filter_map(|report| report.sessions.clone());
    let sessions = sessions.reduce(|mut sum, one| {
        sum.add(&one);
        sum
    });
    let summary = LoadSummary {
        schema: SCHEMA,
        url: plan.target.url.clone(),
        loop_kind: plan.loop_kind().to_owned(),
        seed: plan.seed,
        duration_s: seconds,
        intended: account.intended,
        sent: account.sent,
        late: account.late,
        never_sent: account.never_sent,
        completed: account.completed,
        timed_out: account.timed_out,
        errors: account.errors(),
        in_flight: account.in_flight(),
        rate_offered: per_second(account.intended),
        rate_achieved: per_second(account.replies_in_window),
        replies_measured: account.replies_in_window,
        due_by_quarter: account.quarters.due,
        replies_by_quarter: account.quarters.replies,
        in_system_mean: account.occupancy.mean(),
        latency_ns: account.latency.summary(),
        latency_interval_ns: intervals(&account.latency),
        service_ns: account.service.summary(),
        send_lag_ns: account.send_lag.summary(),
        drift_percent: match steadiness(&account.series) {
            _ if !plan.is_level() => None,
            Steadiness::TooShort => None,
            Steadiness::Steady => Some(0.0),
            Steadiness::Drifting(percent) => Some(percent),
        },
        idle: IdlePool {
            target: idle.target,
            open_min: idle.open_min,
            closed_by_server: idle.closed_by_server,
            replaced: idle.replaced,
        },
        sessions: sessions.as_ref().map(Tally::totals),
        client,
        valid: invalid_because.is_empty(),
        invalid_because,
    };
    assert!(summary.reconciles(), "the books do not reconcile: {summary:?}");
    assert!(
        account.occupancy.reconciles(),
        "the requests in the system do not add up: {:?}",
        account.occupancy
    );
    assert_eq!(
        account.latency.count(),
        account.intended - account.in_flight(),
        "a request is missing in the latencies"
    );
    let mut traffic = Traffic::default();
    reports.iter().for_each(|report| traffic.add(&report.traffic));
    LoadReport {
        summary,
        account,
        traffic,
        sessions,
        usage,
    }
}
