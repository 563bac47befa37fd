//! A token that goes round a ring of tasks. Each task sleeps until the token comes: one switch for each hop.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::process::Pid;

use crate::error::ProbeError;
use crate::row::{COST_US, Figures, Outcome};
use crate::task::{pin, reap};

/// How the token is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Between threads, over pipes.
    Pipe,
    /// Between processes, over pipes.
    PipeProcesses,
    /// Between threads, over eventfds.
    Eventfd,
    /// Between threads, by futex.
    Futex,
}

/// Rounds before anything is timed.
const WARM_UP: u64 = 50;

/// Sends the token round for `time`. `cpus` has an element for each task: the CPU that it runs on, or `None` for any.
pub(crate) fn run(link: Link, time: Duration, cpus: &[Option<usize>]) -> Outcome {
    let (rounds, wall) = match link {
        Link::Futex => by_futex(time, cpus)?,
        _ => by_descriptors(time, cpus, link)?,
    };
    let operations = rounds * cpus.len() as u64;
    Ok(Figures {
        operations,
        values: vec![(COST_US.key, wall.as_secs_f64() * 1e6 / operations.max(1) as f64)],
    })
}

/// The descriptors between two tasks: the one that is read and the one that is written. The ends of a pipe, or an eventfd
/// twice.
struct Channel {
    from: OwnedFd,
    to: OwnedFd,
}

impl Channel {
    fn open(link: Link) -> Result<Self, ProbeError> {
        if link == Link::Eventfd {
            let from = eventfd(0, EventfdFlags::empty()).map_err(ProbeError::call("eventfd"))?;
            let to = rustix::io::dup(&from).map_err(ProbeError::call("dup"))?;
            return Ok(Self { from, to });
        }
        let (from, to) = rustix::pipe::pipe().map_err(ProbeError::call("pipe"))?;
        Ok(Self { from, to })
    }

    /// Passes the token on: [`CONTINUE`] goes round, [`END`] ends the ring.
    fn pass(&self, token: u64) -> bool {
        rustix::io::write(&self.to, &token.to_ne_bytes()).is_ok()
    }

    /// Waits for the token; `None` if the other end is closed.
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

const CONTINUE: u64 = 1;
const END: u64 = 2;

/// Passes the token from one channel to the next until the ring ends.
fn relay(channels: &[Channel], task: usize) {
    while let Some(token) = channels[task].wait() {
        if !channels[(task + 1) % channels.len()].pass(token) || token == END {
            return;
        }
    }
}

fn by_descriptors(time: Duration, cpus: &[Option<usize>], link: Link) -> Result<(u64, Duration), ProbeError> {
    let channels: Vec<Channel> = cpus.iter().map(|_| Channel::open(link)).collect::<Result<_, _>>()?;
    let channels = Arc::new(channels);
    let mut children: Vec<Pid> = Vec::new();
    let mut threads = Vec::new();
    for (task, &cpu) in cpus.iter().enumerate().skip(1) {
        let channels = Arc::clone(&channels);
        if link == Link::PipeProcesses {
            let child = c10k_sys::process::fork(move || {
                // A task that cannot be moved still passes the token on; the hop is timed where the task runs.
                let _ = pin(cpu);
                relay(&channels, task);
                0
            });
            children.push(child.map_err(ProbeError::io("fork"))?);
        } else {
            threads.push(thread::spawn(move || {
                let moved = pin(cpu);
                relay(&channels, task);
                moved
            }));
        }
    }
    let round = || {
        if channels[1 % channels.len()].pass(CONTINUE) && channels[0].wait().is_some() {
            Ok(())
        } else {
            Err(ProbeError::Impossible("a task of the ring has ended".to_owned()))
        }
    };
    let outcome = repeat_rounds(time, round);
    channels[1 % channels.len()].pass(END);
    channels[0].wait();
    for child in children {
        reap(child)?;
    }
    for thread in threads {
        join(thread)?;
    }
    outcome
}

/// The result of a task's thread.
fn join(thread: JoinHandle<Result<(), ProbeError>>) -> Result<(), ProbeError> {
    let panicked = |_| Err(ProbeError::Impossible("a task of the ring has panicked".to_owned()));
    thread.join().unwrap_or_else(panicked)
}

fn repeat_rounds(
    time: Duration,
    mut round: impl FnMut() -> Result<(), ProbeError>,
) -> Result<(u64, Duration), ProbeError> {
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

/// The token is a number. Task `i` of `n` sleeps (`thread::park`) until the number modulo `n` is `i`, adds one, and wakes the
/// next task.
fn by_futex(time: Duration, cpus: &[Option<usize>]) -> Result<(u64, Duration), ProbeError> {
    let count = cpus.len() as u64;
    let token = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let main = thread::current();
    // The last task is started first, since each task needs the handle of the one that it wakes.
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
    let outcome = repeat_rounds(time, || {
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
        join(thread)?;
    }
    outcome
}
