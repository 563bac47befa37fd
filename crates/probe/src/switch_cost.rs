//! A token that goes around a ring of tasks, each of which sleeps until it comes: one switch for each hop.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::process::Pid;

use crate::process_cost::reap;
use crate::{Figures, Options, Outcome, ProbeError, pin, second_cpu};

/// How the token is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Threads, over pipes.
    Pipe,
    /// Processes, over pipes.
    PipeProcesses,
    /// Threads, over eventfds.
    Eventfd,
    /// Threads, by futex.
    Futex,
}

/// Hops before anything is timed.
const WARM_UP: u64 = 50;

pub(crate) fn run(options: &Options) -> Outcome {
    let way = match options.by.as_str() {
        "pipe" => Way::Pipe,
        "pipe-processes" => Way::PipeProcesses,
        "eventfd" => Way::Eventfd,
        "futex" => Way::Futex,
        other => {
            return Err(ProbeError::Way {
                option: "by",
                value: other.to_owned(),
                known: "pipe, pipe-processes, eventfd or futex",
            });
        }
    };
    ring(options, way)
}

/// Sends the token around for the measured time.
pub(crate) fn ring(options: &Options, way: Way) -> Outcome {
    let other = match options.place.as_str() {
        "same" => None,
        "cross" => Some(second_cpu(options)?),
        value => {
            return Err(ProbeError::Way {
                option: "place",
                value: value.to_owned(),
                known: "same or cross",
            });
        }
    };
    let tasks = usize::try_from(options.tasks.max(2)).unwrap_or(2);
    let first = options.cpus.first().copied();
    let cpus: Vec<Option<usize>> = (0..tasks)
        .map(|task| if task % 2 == 1 { other.or(first) } else { first })
        .collect();
    let (rounds, wall) = match way {
        Way::Futex => by_futex(options.time, &cpus)?,
        _ => by_descriptors(options.time, &cpus, way)?,
    };
    let operations = rounds * tasks as u64;
    Ok(Figures {
        operations,
        values: vec![("cost_us", wall.as_secs_f64() * 1e6 / operations.max(1) as f64)],
    })
}

/// A descriptor to wait at and one to pass on by: the ends of a pipe, or an eventfd twice.
struct Link {
    from: OwnedFd,
    to: OwnedFd,
}

impl Link {
    fn open(way: Way) -> Result<Self, ProbeError> {
        if way == Way::Eventfd {
            let from = eventfd(0, EventfdFlags::empty()).map_err(ProbeError::call("eventfd"))?;
            let to = rustix::io::dup(&from).map_err(ProbeError::call("dup"))?;
            return Ok(Self { from, to });
        }
        let (from, to) = rustix::pipe::pipe().map_err(ProbeError::call("pipe"))?;
        Ok(Self { from, to })
    }

    /// Passes the token on: 1 goes round, 2 ends the ring.
    fn pass(&self, token: u64) -> bool {
        rustix::io::write(&self.to, &token.to_ne_bytes()).is_ok()
    }

    /// Waits for the token; `None` when nobody is left to pass it.
    fn wait(&self) -> Option<u64> {
        let mut token = [0; 8];
        loop {
            match rustix::io::read(&self.from, &mut token) {
                Ok(8) => return Some(u64::from_ne_bytes(token)),
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }
}

const GO_ON: u64 = 1;
const END: u64 = 2;

/// Passes the token from one link to the next until it says that it is over.
fn relay(links: &[Link], task: usize) {
    while let Some(token) = links[task].wait() {
        if !links[(task + 1) % links.len()].pass(token) || token == END {
            return;
        }
    }
}

fn by_descriptors(time: Duration, cpus: &[Option<usize>], way: Way) -> Result<(u64, Duration), ProbeError> {
    let links: Vec<Link> = cpus.iter().map(|_| Link::open(way)).collect::<Result<_, _>>()?;
    let links = Arc::new(links);
    let mut children: Vec<Pid> = Vec::new();
    let mut threads = Vec::new();
    for (task, &cpu) in cpus.iter().enumerate().skip(1) {
        if way == Way::PipeProcesses {
            let links = Arc::clone(&links);
            let child = c10k_sys::process::fork(move || {
                // A task that cannot be moved still passes the token on; the hop is timed where it is.
                let _ = pin(cpu);
                relay(&links, task);
                0
            });
            children.push(child.map_err(ProbeError::io("fork"))?);
        } else {
            let links = Arc::clone(&links);
            threads.push(thread::spawn(move || {
                let moved = pin(cpu);
                relay(&links, task);
                moved
            }));
        }
    }
    let round = || {
        if links[1 % links.len()].pass(GO_ON) && links[0].wait().is_some() {
            Ok(())
        } else {
            Err(ProbeError::Impossible("a task of the ring has ended".to_owned()))
        }
    };
    let outcome = go_round(time, round);
    links[1 % links.len()].pass(END);
    links[0].wait();
    for child in children {
        reap(child)?;
    }
    for thread in threads {
        thread
            .join()
            .unwrap_or_else(|_| Err(ProbeError::Impossible("a task of the ring has panicked".to_owned())))?;
    }
    outcome
}

fn go_round(time: Duration, mut round: impl FnMut() -> Result<(), ProbeError>) -> Result<(u64, Duration), ProbeError> {
    for _ in 0..WARM_UP {
        round()?;
    }
    let started = Instant::now();
    let mut rounds = 0;
    while started.elapsed() < time {
        round()?;
        rounds += 1;
    }
    Ok((rounds, started.elapsed()))
}

/// The token is a number: task `i` of `n` waits until it is `i` modulo `n`, asleep in between (`thread::park`).
fn by_futex(time: Duration, cpus: &[Option<usize>]) -> Result<(u64, Duration), ProbeError> {
    let count = cpus.len() as u64;
    let token = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let main = thread::current();
    // The last task first, since each has to know whom it wakes.
    let mut next: Thread = main;
    let mut threads = Vec::new();
    for (task, &cpu) in cpus.iter().enumerate().skip(1).rev() {
        let (token, over, wakes) = (Arc::clone(&token), Arc::clone(&over), next.clone());
        let thread = thread::spawn(move || {
            let moved = pin(cpu);
            loop {
                while token.load(Ordering::Acquire) % count != task as u64 {
                    if over.load(Ordering::Acquire) {
                        return moved;
                    }
                    thread::park();
                }
                token.fetch_add(1, Ordering::AcqRel);
                wakes.unpark();
            }
        });
        next = thread.thread().clone();
        threads.push(thread);
    }
    let outcome = go_round(time, || {
        token.fetch_add(1, Ordering::AcqRel);
        next.unpark();
        while !token.load(Ordering::Acquire).is_multiple_of(count) {
            thread::park();
        }
        Ok(())
    });
    over.store(true, Ordering::Release);
    for thread in threads {
        thread.thread().unpark();
        thread
            .join()
            .unwrap_or_else(|_| Err(ProbeError::Impossible("a task of the ring has panicked".to_owned())))?;
    }
    outcome
}
