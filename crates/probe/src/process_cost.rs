//! What it takes to create a task and to see it end, against handing work to one that exists.

use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;

use crate::switch_cost::{self, Way};
use crate::timing::{Timed, repeat};
use crate::{Figures, Options, Outcome, ProbeError};

/// One page: the parent's memory is touched page by page.
const PAGE: usize = 4096;

pub(crate) fn run(options: &Options) -> Outcome {
    let mut memory = vec![0_u8; usize::try_from(options.parent_mib).unwrap_or_default() << 20];
    for byte in memory.iter_mut().step_by(PAGE) {
        *byte = 1;
    }
    let timed = match options.by.as_str() {
        "fork" => repeat(options.time, || {
            let child = c10k_sys::process::fork(|| 0).map_err(ProbeError::io("fork"))?;
            reap(child)
        }),
        // The standard library uses posix_spawn, which lends the parent's memory to the child until it has become the
        // program; /bin/true is about the smallest one.
        "spawn" => repeat(options.time, || {
            let mut command = Command::new("/bin/true");
            let status = command.stdin(Stdio::null()).status();
            status.map(drop).map_err(ProbeError::io("posix_spawn of /bin/true"))
        }),
        "thread" => repeat(options.time, || {
            let thread = std::thread::Builder::new().spawn(|| ());
            let thread = thread.map_err(ProbeError::io("starting a thread"))?;
            // It does nothing, so it cannot have panicked.
            let _ = thread.join();
            Ok(())
        }),
        "pool" => pool(options),
        "switch" => return switch(options, &memory),
        other => {
            return Err(ProbeError::Way {
                option: "by",
                value: other.to_owned(),
                known: "fork, spawn, thread, pool or switch",
            });
        }
    }?;
    // Read, so that the memory is there until the end.
    std::hint::black_box(&memory);
    Ok(Figures {
        operations: timed.operations,
        values: vec![("cost_us", timed.cost_us()), ("cpu_us", timed.cpu_us())],
    })
}

/// Hands a piece of work to a thread that exists already, and waits until it is done.
fn pool(options: &Options) -> Result<Timed, ProbeError> {
    let gone = || ProbeError::Impossible("the pool's thread has ended".to_owned());
    let (work, todo) = sync_channel::<()>(1);
    let (done, ended) = sync_channel::<()>(1);
    let thread = std::thread::spawn(move || {
        while todo.recv().is_ok() {
            if done.send(()).is_err() {
                return;
            }
        }
    });
    let timed = repeat(options.time, || {
        work.send(()).map_err(|_| gone())?;
        ended.recv().map_err(|_| gone())
    });
    drop(work);
    // It only receives and sends, so it cannot have panicked.
    let _ = thread.join();
    timed
}

/// The yardstick: one switch from process to process.
fn switch(options: &Options, memory: &[u8]) -> Outcome {
    let figures = switch_cost::ring(options, Way::PipeProcesses);
    std::hint::black_box(memory);
    figures
}

/// Waits for a child.
pub(crate) fn reap(child: rustix::process::Pid) -> Result<(), ProbeError> {
    loop {
        match rustix::process::waitpid(Some(child), rustix::process::WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            outcome => return outcome.map(drop).map_err(ProbeError::call("waiting for a child")),
        }
    }
}
