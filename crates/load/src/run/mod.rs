//! A run: starts the threads, reports the phases, and combines the results.

mod observer;
mod summary;
mod validity;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use c10k_record::LoadPhase;

use crate::LoadError;
use crate::clock::Moment;
use crate::endpoint::Endpoint;
use crate::fingerprint::Fingerprint;
use crate::net::limits::Limits;
use crate::net::probe::{Answer, ask, first_that_accepts};
use crate::net::sources::Sources;
use crate::plan::{Bodies, LoadPlan, Pattern, Ports, Probe};
use crate::progress::{RunEvent, ThreadProgress};
use crate::report::LoadReport;
use crate::schedule::thread_share::ThreadShare;
use crate::schedule::timetable::{Timetable, Window};
use crate::stop::Stop;
use crate::worker::opening::OpeningFailures;
use crate::worker::{Worker, WorkerReport};
use observer::Observer;
use summary::{Observed, summarize};
use validity::SecondProbe;

/// Descriptors reserved for everything that is not a connection: standard streams, interest sets, the test request.
const OTHER_DESCRIPTORS: u64 = 64;
/// The time from the start signal to the start of the schedule, so that all threads are ready.
const HEAD_START: Duration = Duration::from_millis(2);
/// The minimum time limit of a test request.
const PROBE_TIMEOUT_MIN: Duration = Duration::from_secs(5);
/// What is added to it for each connection that was opened before: a server that accepts one connection per wait first has to
/// wait as many times, and a wait of `select` or `poll` takes longer the more there are.
const PROBE_TIMEOUT_PER_CONNECTION: Duration = Duration::from_millis(3);

/// Runs `plan`. `observe` is called in the calling thread at each change of phase and about ten times per second.
///
/// The process's soft limit of descriptors is raised to the hard limit.
///
/// # Errors
/// [`LoadError`] if the run cannot be started: contradictory options, no listener, no HTTP server. Later failures are
/// counted in the summary.
///
/// # Panics
/// If the counts do not reconcile, which is a bug of this crate and cannot be caused by the server.
pub fn run(plan: &LoadPlan, observe: impl FnMut(RunEvent)) -> Result<LoadReport, LoadError> {
    run_until(plan, &Stop::default(), observe)
}

/// Like [`run`], but ends early if `stop` is requested: no further request is due, requests in progress end normally, and
/// the run is invalid because it was interrupted.
///
/// # Errors
/// See [`run`].
///
/// # Panics
/// See [`run`].
pub fn run_until(plan: &LoadPlan, stop: &Stop, observe: impl FnMut(RunEvent)) -> Result<LoadReport, LoadError> {
    let (mut seed, mut report) = (Some(plan.seed), None);
    run_each(
        plan,
        stop,
        observe,
        Pauses::Silent,
        || seed.take(),
        |finished| report = Some(finished),
    )?;
    Ok(report.expect("one seed is one window"))
}

/// Opens the connections of `plan` once and measures a window over them for each seed that `next` returns. A window is a
/// warm-up and a measured time with a schedule of its own, and has a report of its own; the connections stay open from one
/// window to the next. While `next` is called, every thread sleeps; what the server does to the connections meanwhile counts
/// in the next window. `observe` gets the phase [`LoadPhase::Waiting`] before each call of `next`.
///
/// # Errors
/// See [`run`]; also if the plan has sessions or idle churn, which would go on between the windows.
///
/// # Panics
/// See [`run`].
pub fn run_windows(
    plan: &LoadPlan,
    stop: &Stop,
    observe: impl FnMut(RunEvent),
    next: impl FnMut() -> Option<u64>,
    finished: impl FnMut(LoadReport),
) -> Result<(), LoadError> {
    if matches!(plan.pattern, Pattern::Sessions(_)) || plan.idle_churn > 0.0 {
        return Err(LoadError::Plan(
            "windows pause between each other, and sessions and the replacement of idle connections do not: omit --wsess and \
             --idle-churn, or --windows",
        ));
    }
    run_each(plan, stop, observe, Pauses::Announced, next, finished)
}

/// Whether the time before a window is a phase of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pauses {
    Announced,
    Silent,
}

fn run_each(
    plan: &LoadPlan,
    stop: &Stop,
    observe: impl FnMut(RunEvent),
    pauses: Pauses,
    mut next: impl FnMut() -> Option<u64>,
    mut finished: impl FnMut(LoadReport),
) -> Result<(), LoadError> {
    plan.check()?;
    let mut plan = plan.clone();
    let limits = Limits::raise_and_read();
    check_descriptors(&plan, limits)?;
    let probe_timeout = plan.timeout.max(PROBE_TIMEOUT_MIN);
    choose_address(&mut plan, probe_timeout)?;
    if plan.probe == Probe::Ask {
        let answer = ask(&plan.target, probe_timeout, || stop.requested().is_some())?;
        if plan.bodies == Bodies::LikeTheFirst {
            let body = expected_body(answer)?;
            plan.target
                .rows
                .iter_mut()
                .for_each(|row| row.expected.body = Some(body));
        }
    }
    let plan = &plan;
    let sources = plan_sources(plan, limits)?;
    let progress: Vec<ThreadProgress> = (0..plan.threads).map(|_| ThreadProgress::default()).collect();
    let mut observer = Observer::new(stop.clone(), progress.clone(), observe);
    observer.enter(LoadPhase::Connecting);
    thread::scope(|scope| {
        let (sender, messages) = channel();
        let starts = start_threads(scope, plan, &sources, stop, progress, &sender)?;
        drop(sender);
        let opening_failures = receive_opened(&messages, plan.threads, &mut observer)?;
        let second_probe = ask_again(plan, stop, probe_timeout);
        loop {
            if pauses == Pauses::Announced {
                observer.enter(LoadPhase::Waiting);
            }
            let Some(seed) = next() else { break };
            let timetable = start_all(plan, &starts, seed);
            observer.report_phases(plan, timetable);
            let reports = receive_drained(&messages, plan.threads, &mut observer)?;
            let observed = Observed {
                seed,
                opening_failures: &opening_failures,
                second_probe,
                measured: reports.iter().map(|report| report.measured).max().unwrap_or_default(),
            };
            finished(summarize(plan, &reports, &observed));
        }
        observer.enter(LoadPhase::Closing);
        drop(starts);
        Ok(())
    })
}

/// Starts the sending threads. Each opens its connections at once, and then waits for its windows.
fn start_threads<'scope, 'env>(
    scope: &'scope thread::Scope<'scope, 'env>,
    plan: &'env LoadPlan,
    sources: &Sources,
    stop: &Stop,
    progress: Vec<ThreadProgress>,
    sender: &Sender<WorkerMessage>,
) -> Result<Vec<Sender<Window>>, LoadError> {
    let mut starts = Vec::new();
    for (thread, progress) in progress.into_iter().enumerate() {
        let share = ThreadShare {
            thread: thread as u64,
            threads: plan.threads as u64,
        };
        let (sources, giving_up) = (sources.clone().starting_at(thread), stop.clone());
        let (start, started) = channel();
        starts.push(start);
        let sender = sender.clone();
        let worker = move || Worker::new(plan, share, sources, giving_up, progress);
        let spawned = thread::Builder::new().spawn_scoped(scope, move || work(worker, &started, &sender));
        if let Err(source) = spawned {
            stop.request();
            return Err(LoadError::System {
                operation: "starting a sending thread (fewer --threads need fewer)",
                source,
            });
        }
    }
    Ok(starts)
}

/// The test request after the connections were opened, if there are any.
fn ask_again(plan: &LoadPlan, stop: &Stop, limit: Duration) -> SecondProbe {
    if plan.probe == Probe::Skip || plan.connections() == 0 || stop.requested().is_some() {
        return SecondProbe::Skipped;
    }
    let opened = u32::try_from(plan.connections()).unwrap_or(u32::MAX);
    let limit = limit.saturating_add(PROBE_TIMEOUT_PER_CONNECTION.saturating_mul(opened));
    match ask(&plan.target, limit, || stop.requested().is_some()) {
        Ok(Answer::Replied(..)) => SecondProbe::Answered,
        Ok(Answer::Nothing) | Err(_) => SecondProbe::Unanswered,
    }
}

/// What a thread reports.
enum WorkerMessage {
    Opened(OpeningFailures),
    Drained(Box<WorkerReport>),
    Failed(LoadError),
}

/// Sets the address that the load is sent to. A host with several addresses costs one more connection, over which nothing is
/// sent.
fn choose_address(plan: &mut LoadPlan, limit: Duration) -> Result<(), LoadError> {
    let mut addresses = plan.target.reachable_from(&plan.sources);
    plan.target.address = match addresses.len() {
        1 => addresses.remove(0),
        _ => first_that_accepts(&plan.target.url, &addresses, limit)?,
    };
    Ok(())
}

/// The body of the reply to the test request, with which all others are compared.
fn expected_body(answer: Answer) -> Result<Fingerprint, LoadError> {
    match answer {
        Answer::Replied(reply, body) if (200..300).contains(&reply.status) => Ok(body),
        Answer::Replied(..) => Err(LoadError::Plan(
            "the reply to the test request is not 2xx, so bodies cannot be compared with it: omit --verify-bodies, or \
             correct the URL",
        )),
        Answer::Nothing => Err(LoadError::Plan(
            "the test request got no reply, so bodies cannot be compared with it: omit --verify-bodies",
        )),
    }
}

/// Refuses a run whose connections do not fit into the descriptors of this process.
fn check_descriptors(plan: &LoadPlan, limits: Limits) -> Result<(), LoadError> {
    let (connections, allowed) = (plan.connections(), limits.descriptors);
    let needed = connections.saturating_add(OTHER_DESCRIPTORS);
    if needed <= allowed {
        return Ok(());
    }
    Err(LoadError::Descriptors {
        connections,
        needed,
        allowed,
    })
}

/// The local addresses to connect from. Refuses a run that opens more connections than they have ports.
fn plan_sources(plan: &LoadPlan, limits: Limits) -> Result<Sources, LoadError> {
    let per_address = plan.local_ports.map_or(limits.ports_per_address, Ports::count);
    let target = &plan.target.address;
    let sources = Sources::plan(target, plan.ports(), per_address, &plan.sources).with_ports(plan.local_ports);
    let (connections, addresses) = (plan.connections(), sources.len() as u64);
    if matches!(target, Endpoint::Internet(_)) && connections > addresses.saturating_mul(per_address) {
        return Err(LoadError::LocalPorts {
            connections,
            addresses,
            per_address,
        });
    }
    Ok(sources)
}

/// A sending thread, from opening its connections to closing them.
fn work<'p>(
    worker: impl FnOnce() -> Result<Worker<'p>, LoadError>,
    started: &Receiver<Window>,
    messages: &Sender<WorkerMessage>,
) {
    // Sending fails only if the run was given up, because of an error of another thread. Then nothing is left to do.
    let mut worker = match worker() {
        Ok(worker) => worker,
        Err(error) => return drop(messages.send(WorkerMessage::Failed(error))),
    };
    match worker.open_connections() {
        Ok(failures) => drop(messages.send(WorkerMessage::Opened(failures))),
        Err(error) => return drop(messages.send(WorkerMessage::Failed(error))),
    }
    // The sender is dropped when every thread has ended its last window. Then the connections, which the worker owns, are
    // closed.
    while let Ok(window) = started.recv() {
        drop(messages.send(match worker.run(window) {
            Ok(report) => WorkerMessage::Drained(Box::new(report)),
            Err(error) => WorkerMessage::Failed(error),
        }));
    }
}

fn receive_opened(
    messages: &Receiver<WorkerMessage>,
    threads: usize,
    observer: &mut Observer<impl FnMut(RunEvent)>,
) -> Result<OpeningFailures, LoadError> {
    let mut all = OpeningFailures::new();
    for _ in 0..threads {
        match observer.receive(messages) {
            WorkerMessage::Opened(failures) => {
                for (failure, count) in failures {
                    *all.entry(failure).or_insert(0) += count;
                }
            }
            WorkerMessage::Failed(error) => return Err(error),
            WorkerMessage::Drained(_) => unreachable!("threads drain after they were started"),
        }
    }
    Ok(all)
}

fn receive_drained(
    messages: &Receiver<WorkerMessage>,
    threads: usize,
    observer: &mut Observer<impl FnMut(RunEvent)>,
) -> Result<Vec<WorkerReport>, LoadError> {
    let messages = (0..threads).map(|_| observer.receive(messages));
    messages
        .map(|message| match message {
            WorkerMessage::Drained(report) => Ok(*report),
            WorkerMessage::Failed(error) => Err(error),
            WorkerMessage::Opened(_) => unreachable!("all threads have opened their connections before"),
        })
        .collect()
}

fn start_all(plan: &LoadPlan, starts: &[Sender<Window>], seed: u64) -> Timetable {
    let timetable = Timetable::new(plan, Moment::now().after(HEAD_START));
    for thread in starts {
        // This fails if the thread has ended. Its message with the reason is received next.
        let _ = thread.send(Window { timetable, seed });
    }
    timetable
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;
    use crate::plan::Target;

    #[test]
    fn the_load_goes_to_the_first_address_that_accepts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = Endpoint::Internet(listener.local_addr().unwrap());
        // Ports below 1024 are not assigned to programs that ask for any free port.
        let refusing = Endpoint::Internet(SocketAddr::from(([127, 0, 0, 1], 1)));
        let mut plan = LoadPlan::new(Target {
            address: refusing.clone(),
            addresses: vec![refusing, open.clone()],
            ..Target::parse("http://127.0.0.1/").unwrap()
        });
        choose_address(&mut plan, Duration::from_secs(60)).unwrap();
        assert_eq!(plan.target.address, open);
    }
}
