//! Where a thread runs, and the end of child processes.

use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::CpuSet;

use crate::error::ProbeError;

/// Moves the calling thread to `cpu`; without one, leaves it where it is.
pub(crate) fn pin(cpu: Option<usize>) -> Result<(), ProbeError> {
    let Some(cpu) = cpu.filter(|&cpu| cpu < CpuSet::MAX_CPU) else {
        return Ok(());
    };
    let mut set = CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).map_err(ProbeError::call(format!("moving to CPU {cpu}")))
}

/// Waits until a child process has ended.
pub(crate) fn reap(child: Pid) -> Result<(), ProbeError> {
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            outcome => return outcome.map(drop).map_err(ProbeError::call("waiting for a child")),
        }
    }
}
