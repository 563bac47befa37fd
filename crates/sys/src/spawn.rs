//! Settings of a child process that are made between `fork(2)` and `execve(2)`.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use rustix::thread::CpuSet;

use crate::signal::{self, SignalSet};

/// Settings of a child before it executes the program.
#[derive(Debug, Clone)]
pub struct ChildSetup {
    /// CPUs that the child, its threads and its children may run on; empty keeps those of the parent.
    pub cpus: Vec<usize>,
    /// The signal that the kernel sends to the child when the thread that spawned it ends.
    pub on_parent_death: Signal,
}

/// `sched_setaffinity(2)` and `prctl(PR_SET_PDEATHSIG)` in the child. The child also becomes the leader of its own
/// process group.
///
/// The kernel sends the death signal when the spawning *thread* ends, so spawn from a thread that lives as long as the
/// child should (prctl(2)). The kernel clears it on the child's own forks.
///
/// # Errors
/// The child's failure is returned by [`Command::spawn`]: `EINVAL` for a CPU that does not exist or is not allowed,
/// `ESRCH` if the parent ended before the child could request the signal.
pub fn on_spawn(command: &mut Command, setup: &ChildSetup) {
    let mut set = CpuSet::new();
    for &cpu in setup.cpus.iter().filter(|&&cpu| cpu < CpuSet::MAX_CPU) {
        set.set(cpu);
    }
    let pinned = set.count() > 0;
    let signal = setup.on_parent_death;
    let parent = rustix::process::getpid();
    command.process_group(0);
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe calls are allowed. It
    // makes three plain system calls through rustix, which neither allocates nor locks in them, and captures only
    // `Copy` values.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal))?;
            if rustix::process::getppid() != Some(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            if pinned {
                rustix::thread::sched_setaffinity(None, &set)?;
            }
            Ok(())
        });
    }
}

/// `pthread_sigmask(SIG_UNBLOCK)` and, with a limit, `prlimit(RLIMIT_SIGPENDING)` in the child.
///
/// # Errors
/// The child's failure is returned by [`Command::spawn`]: `EINVAL` or `EPERM` for a limit above the hard one.
pub fn restore_signals(command: &mut Command, blocked: SignalSet, queue: Option<Rlimit>) {
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe calls are allowed. It
    // makes two plain system calls, which neither allocate nor lock, and captures only `Copy` values.
    unsafe {
        command.pre_exec(move || {
            signal::unblock(&blocked)?;
            if let Some(queue) = queue {
                setrlimit(Resource::Sigpending, queue)?;
            }
            Ok(())
        });
    }
}
