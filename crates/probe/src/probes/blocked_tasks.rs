//! One active task among thousands of blocked ones: what the blocked ones cost it, and how much memory they take.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Pid;

use crate::error::ProbeError;
use crate::option::{Kind, OptionRow, TIME, names};
use crate::row::{COST_US, Figure, Figures, Outcome, Probe};
use crate::task::reap;
use crate::timing::median;
use crate::values::Values;

pub(super) const ROW: Probe = Probe {
    name: "blocked-tasks",
    summary: "one exchange with an active task while others are blocked",
    options: &[
        TIME,
        OptionRow::by(BY, "What the blocked tasks are"),
        OptionRow {
            name: "blocked",
            summary: "Blocked tasks",
            kind: Kind::Count(0, 20_000),
            default: Some("0"),
            label: "blocked tasks",
            // About 6,000 processes or threads start and end per second.
            setup_us: 166,
        },
    ],
    figures: &[COST_US, WAKE_P50_US, TASK_KIB],
    run,
};

const WAKE_P50_US: Figure = Figure {
    key: "wake_p50_us",
    measure: "wake-us-p50",
    label: "wake-up time, median",
    unit: "µs",
};
const TASK_KIB: Figure = Figure {
    key: "task_kib",
    measure: "task-kib",
    label: "memory per blocked task",
    unit: "KiB",
};

/// What a blocked task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Process,
    Thread,
}

const TASKS: [(&str, Task); 2] = [("process", Task::Process), ("thread", Task::Thread)];
const BY: &[&str] = &names(&TASKS);

/// Stack of a thread, bytes: address space only, until it is used.
const STACK: usize = 64 * 1024;

/// The blocked tasks: all wait for the end of file on the same pipe.
enum BlockedTasks {
    Processes(Vec<Pid>),
    Threads(Vec<JoinHandle<()>>),
}

fn run(values: &Values) -> Outcome {
    let (task, blocked) = (values.choice("by", &TASKS), values.count("blocked"));
    let (pipe, release) = rustix::pipe::pipe().map_err(ProbeError::call("pipe"))?;
    // Closing it releases the blocked tasks.
    let mut release = Some(release);
    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(ProbeError::call("socketpair"))?;
    let mut near = Some(near);
    // The active task starts first, so that it inherits nothing of the blocked ones.
    let active = c10k_sys::process::fork(|| {
        // If a child kept the parent's ends open, the end of file would never come.
        release.take();
        near.take();
        echo(&far)
    })
    .map_err(ProbeError::io("fork"))?;
    drop(far);
    let before = available_bytes();
    let figures = start(task, blocked, pipe, &mut release).and_then(|tasks| {
        let taken_bytes = before.saturating_sub(available_bytes());
        let figures = match &near {
            Some(near) => exchange(values.time(), near, taken_bytes, blocked),
            None => Err(ProbeError::Impossible(
                "the active task's connection is closed".to_owned(),
            )),
        };
        release.take();
        wait_for(tasks).and(figures)
    });
    release.take();
    drop(near);
    reap(active)?;
    figures
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

/// Starts the blocked tasks; if one cannot start, ends those that did.
fn start(task: Task, blocked: u64, pipe: OwnedFd, release: &mut Option<OwnedFd>) -> Result<BlockedTasks, ProbeError> {
    match task {
        Task::Process => start_processes(blocked, &pipe, release),
        Task::Thread => start_threads(blocked, pipe, release),
    }
}

fn start_processes(blocked: u64, pipe: &OwnedFd, release: &mut Option<OwnedFd>) -> Result<BlockedTasks, ProbeError> {
    let mut children = Vec::new();
    for number in 0..blocked {
        let child = c10k_sys::process::fork(|| {
            release.take();
            block(pipe);
            0
        });
        match child {
            Ok(child) => children.push(child),
            Err(error) => {
                release.take();
                wait_for(BlockedTasks::Processes(children))?;
                return Err(refused("process", number, error));
            }
        }
    }
    Ok(BlockedTasks::Processes(children))
}

fn start_threads(blocked: u64, pipe: OwnedFd, release: &mut Option<OwnedFd>) -> Result<BlockedTasks, ProbeError> {
    too_many_threads(blocked)?;
    let pipe = Arc::new(pipe);
    let mut threads = Vec::new();
    for number in 0..blocked {
        let pipe = Arc::clone(&pipe);
        let thread = thread::Builder::new().stack_size(STACK).spawn(move || block(&pipe));
        match thread {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                release.take();
                wait_for(BlockedTasks::Threads(threads))?;
                return Err(refused("thread", number, error));
            }
        }
    }
    Ok(BlockedTasks::Threads(threads))
}

/// Refuses more threads than there is room for. Each has four mappings: its stack, its signal stack, and a guard below each.
/// If the kernel refuses one, Rust's runtime ends the process, so the room is checked in advance.
fn too_many_threads(blocked: u64) -> Result<(), ProbeError> {
    const MAPPINGS: u64 = 4;
    const OWN: u64 = 500;
    let text = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    match text.trim().parse::<u64>() {
        Ok(most) if blocked * MAPPINGS + OWN > most => Err(ProbeError::Impossible(format!(
            "{blocked} threads take {} memory mappings and vm.max_map_count is {most}: raise it, or ask for at most {} \
             threads",
            blocked * MAPPINGS,
            most.saturating_sub(OWN) / MAPPINGS
        ))),
        _ => Ok(()),
    }
}

/// Names the limits that may have refused a task.
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
fn block(pipe: &OwnedFd) {
    let mut byte = [0];
    while let Err(rustix::io::Errno::INTR) = rustix::io::read(pipe, &mut byte) {}
}

fn wait_for(tasks: BlockedTasks) -> Result<(), ProbeError> {
    match tasks {
        BlockedTasks::Processes(children) => children.into_iter().try_for_each(reap),
        BlockedTasks::Threads(threads) => {
            for thread in threads {
                // They only read, so none can have panicked.
                let _ = thread.join();
            }
            Ok(())
        }
    }
}

/// Exchanges bytes with the active task for `time`.
fn exchange(time: Duration, near: &OwnedFd, taken_bytes: u64, blocked: u64) -> Outcome {
    let mut round_trips_us = Vec::new();
    let started = Instant::now();
    while started.elapsed() < time || round_trips_us.is_empty() {
        let asked = Instant::now();
        let mut byte = [1];
        rustix::io::write(near, &byte).map_err(ProbeError::call("write to the active task"))?;
        rustix::io::read(near, &mut byte).map_err(ProbeError::call("read from the active task"))?;
        round_trips_us.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    let operations = round_trips_us.len() as u64;
    let mean = round_trips_us.iter().sum::<f64>() / operations as f64;
    let mut values = vec![(COST_US.key, mean), (WAKE_P50_US.key, median(&mut round_trips_us))];
    if blocked > 0 {
        values.push((TASK_KIB.key, taken_bytes as f64 / 1024.0 / blocked as f64));
    }
    Ok(Figures { operations, values })
}

/// Memory that could be used without swapping, bytes; 0 if the kernel does not report it.
fn available_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
