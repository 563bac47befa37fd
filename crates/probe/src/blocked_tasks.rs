//! One active task beside thousands of blocked ones: what the blocked ones cost it, and what memory they take.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Pid;

use crate::process_cost::reap;
use crate::timing::median;
use crate::{Figures, Options, Outcome, ProbeError};

/// Stack of a thread, bytes: address space only, until it is used.
const STACK: usize = 64 * 1024;

/// The most blocked tasks that may be asked for.
const MOST: u64 = 20_000;

/// The blocked tasks: all wait for the same end of file.
enum Crowd {
    Processes(Vec<Pid>),
    Threads(Vec<JoinHandle<()>>),
}

pub(crate) fn run(options: &Options) -> Outcome {
    let processes = match options.by.as_str() {
        "process" => true,
        "thread" => false,
        other => {
            return Err(ProbeError::Way {
                option: "by",
                value: other.to_owned(),
                known: "process or thread",
            });
        }
    };
    if options.blocked > MOST {
        return Err(ProbeError::Impossible(format!(
            "--blocked {} is more than this probe starts: give at most {MOST}",
            options.blocked
        )));
    }
    let (waits, keeps) = rustix::pipe::pipe().map_err(ProbeError::call("pipe"))?;
    let mut keeps = Some(keeps);
    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(ProbeError::call("socketpair"))?;
    let mut near = Some(near);
    // The active one first, so that it has none of the crowd's.
    let active = c10k_sys::process::fork(|| {
        // The other ends are for the parent alone; an end of file would never come otherwise.
        keeps.take();
        near.take();
        echo(&far)
    })
    .map_err(ProbeError::io("fork"))?;
    drop(far);
    let before = available_bytes();
    let crowd = match too_many_threads(options.blocked).filter(|_| !processes) {
        Some(error) => Err(error),
        None => gather(options.blocked, processes, waits, &mut keeps),
    };
    let figures = crowd.and_then(|crowd| {
        let taken = before.saturating_sub(available_bytes());
        let figures = match &near {
            Some(near) => exchange(options, near, taken),
            None => Err(ProbeError::Impossible(
                "the active task's connection is closed".to_owned(),
            )),
        };
        keeps.take();
        disperse(crowd).and(figures)
    });
    keeps.take();
    drop(near);
    reap(active)?;
    figures
}

/// Each thread has four mappings: its stack, its signal stack, and a guard below each. The run time ends the process where
/// there is none left, so this is known before.
fn too_many_threads(blocked: u64) -> Option<ProbeError> {
    const MAPPINGS: u64 = 4;
    const OWN: u64 = 500;
    let path = "/proc/sys/vm/max_map_count";
    let most = fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()?;
    (blocked * MAPPINGS + OWN > most).then(|| {
        ProbeError::Impossible(format!(
            "{blocked} threads take {} memory mappings and vm.max_map_count is {most}: raise it, or ask for at most {} \
             threads",
            blocked * MAPPINGS,
            most.saturating_sub(OWN) / MAPPINGS
        ))
    })
}

/// Answers every byte until the other end is closed.
fn echo(connection: &OwnedFd) -> u8 {
    let mut byte = [0];
    while let Ok(1) = rustix::io::read(connection, &mut byte) {
        if rustix::io::write(connection, &byte).is_err() {
            return 1;
        }
    }
    0
}

fn gather(blocked: u64, processes: bool, waits: OwnedFd, keeps: &mut Option<OwnedFd>) -> Result<Crowd, ProbeError> {
    if !processes {
        let waits = Arc::new(waits);
        let mut threads = Vec::new();
        for number in 0..blocked {
            let waits = Arc::clone(&waits);
            let thread = thread::Builder::new().stack_size(STACK).spawn(move || sleep(&waits));
            match thread {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    keeps.take();
                    disperse(Crowd::Threads(threads))?;
                    return Err(refused("thread", number, error));
                }
            }
        }
        return Ok(Crowd::Threads(threads));
    }
    let mut children = Vec::new();
    for number in 0..blocked {
        let child = c10k_sys::process::fork(|| {
            keeps.take();
            sleep(&waits);
            0
        });
        match child {
            Ok(child) => children.push(child),
            Err(error) => {
                keeps.take();
                disperse(Crowd::Processes(children))?;
                return Err(refused("process", number, error));
            }
        }
    }
    Ok(Crowd::Processes(children))
}

/// Which limit it was, as far as the machine tells.
fn refused(task: &str, started: u64, error: std::io::Error) -> ProbeError {
    if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::OutOfMemory) {
        return ProbeError::io(format!("starting {task} {started}"))(error);
    }
    let limit =
        |path: &str| fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned());
    ProbeError::Impossible(format!(
        "this machine allows no more than {started} blocked tasks ({error}): kernel.pid_max is {}, kernel.threads-max is \
         {}, and ulimit -u and the control group's pids.max may be lower",
        limit("/proc/sys/kernel/pid_max"),
        limit("/proc/sys/kernel/threads-max")
    ))
}

/// Blocks until the end of file.
fn sleep(waits: &OwnedFd) {
    let mut byte = [0];
    while let Err(rustix::io::Errno::INTR) = rustix::io::read(waits, &mut byte) {}
}

fn disperse(crowd: Crowd) -> Result<(), ProbeError> {
    match crowd {
        Crowd::Processes(children) => children.into_iter().try_for_each(reap),
        Crowd::Threads(threads) => {
            for thread in threads {
                // They only read, so none can have panicked.
                let _ = thread.join();
            }
            Ok(())
        }
    }
}

/// Asks the active task again and again.
fn exchange(options: &Options, near: &OwnedFd, taken: u64) -> Outcome {
    let mut round_trips = Vec::new();
    let started = Instant::now();
    while started.elapsed() < options.time {
        let asked = Instant::now();
        let mut byte = [1];
        rustix::io::write(near, &byte).map_err(ProbeError::call("write to the active task"))?;
        rustix::io::read(near, &mut byte).map_err(ProbeError::call("read from the active task"))?;
        round_trips.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    let operations = round_trips.len() as u64;
    let mean = round_trips.iter().sum::<f64>() / operations.max(1) as f64;
    let mut values = vec![("cost_us", mean), ("wake_p50_us", median(&mut round_trips))];
    if options.blocked > 0 {
        values.push(("task_kib", taken as f64 / 1024.0 / options.blocked as f64));
    }
    Ok(Figures { operations, values })
}

/// Memory that could be used without swapping, bytes; 0 where the kernel does not tell.
fn available_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
