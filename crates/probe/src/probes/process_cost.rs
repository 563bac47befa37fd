//! What it costs to create a task and to see it end, and to hand work to a task that exists.

use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::error::ProbeError;
use crate::option::{Kind, OptionRow, TIME, names};
use crate::ring::{self, Link};
use crate::row::{COST_US, Figure, Figures, Outcome, Probe};
use crate::task::reap;
use crate::timing::{Timed, repeat};
use crate::values::Values;

pub(super) const ROW: Probe = Probe {
    name: "process-cost",
    summary: "creating a task and waiting for its end, or handing work to an existing one",
    options: &[
        TIME,
        OptionRow::by(
            BY,
            "What is created; or the thread of a pool, or one switch between processes",
        ),
        OptionRow {
            name: "parent-mib",
            summary: "Memory of the parent that is touched beforehand, MiB",
            kind: Kind::Count(0, 4096),
            default: Some("0"),
            label: "MiB of the parent's memory",
            setup_us: 0,
        },
    ],
    figures: &[COST_US, CPU_US],
    run,
};

const CPU_US: Figure = Figure {
    key: "cpu_us",
    measure: "cpu-us",
    label: "CPU of one operation",
    unit: "µs",
};

type Way = fn(&Values) -> Outcome;

const WAYS: [(&str, Way); 5] = [
    ("fork", |values| timed(fork(values.time()))),
    ("spawn", |values| timed(spawn(values.time()))),
    ("thread", |values| timed(thread(values.time()))),
    ("pool", |values| timed(pool(values.time()))),
    // The yardstick.
    ("switch", |values| {
        let cpu = values.cpus.first().copied();
        ring::run(Link::PipeProcesses, values.time(), &[cpu; 2])
    }),
];
const BY: &[&str] = &names(&WAYS);

/// The parent's memory is touched page by page.
const PAGE: usize = 4096;

fn run(values: &Values) -> Outcome {
    let mut memory = vec![0_u8; usize::try_from(values.count("parent-mib")).unwrap_or_default() << 20];
    for byte in memory.iter_mut().step_by(PAGE) {
        *byte = 1;
    }
    let figures = values.choice("by", &WAYS)(values);
    // Used here, so that the memory exists until the end.
    std::hint::black_box(&memory);
    figures
}

fn timed(timed: Result<Timed, ProbeError>) -> Outcome {
    let timed = timed?;
    Ok(Figures {
        operations: timed.operations,
        values: vec![(COST_US.key, timed.cost_us()), (CPU_US.key, timed.cpu_us())],
    })
}

fn fork(time: Duration) -> Result<Timed, ProbeError> {
    repeat(time, || {
        let child = c10k_sys::process::fork(|| 0).map_err(ProbeError::io("fork"))?;
        reap(child)
    })
}

/// The standard library uses posix_spawn, which lends the parent's memory to the child until the child has become the
/// program. /bin/true is about the smallest program.
fn spawn(time: Duration) -> Result<Timed, ProbeError> {
    repeat(time, || {
        let status = Command::new("/bin/true").stdin(Stdio::null()).status();
        status.map(drop).map_err(ProbeError::io("posix_spawn of /bin/true"))
    })
}

fn thread(time: Duration) -> Result<Timed, ProbeError> {
    repeat(time, || {
        let thread = std::thread::Builder::new().spawn(|| ());
        let thread = thread.map_err(ProbeError::io("starting a thread"))?;
        // It does nothing, so it cannot have panicked.
        let _ = thread.join();
        Ok(())
    })
}

/// Hands a piece of work to a thread that exists already, and waits until it is done.
fn pool(time: Duration) -> Result<Timed, ProbeError> {
    let ended = || ProbeError::Impossible("the pool's thread has ended".to_owned());
    let (send_work, receive_work) = sync_channel::<()>(1);
    let (send_done, receive_done) = sync_channel::<()>(1);
    let thread = std::thread::spawn(move || {
        while receive_work.recv().is_ok() {
            if send_done.send(()).is_err() {
                return;
            }
        }
    });
    let timed = repeat(time, || {
        send_work.send(()).map_err(|_| ended())?;
        receive_done.recv().map_err(|_| ended())
    });
    drop(send_work);
    // It only receives and sends, so it cannot have panicked.
    let _ = thread.join();
    timed
}
