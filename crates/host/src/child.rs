//! Child processes that are pinned to CPUs and end with their parent.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use c10k_sys::spawn::{ChildSetup, on_spawn};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use rustix::thread::CpuSet;

/// The signal that a child gets when the thread that started it ends for any reason, `SIGKILL` included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnParentDeath {
    /// `SIGKILL`, for a process without children of its own.
    Kill,
    /// `SIGTERM`, for a master that ends its workers.
    Terminate,
}

/// Pins the calling thread, and everything that it starts afterwards, to `cpus`. An empty list changes nothing.
///
/// # Errors
/// When none of these CPUs exists and is allowed.
pub fn pin_this_thread(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus.iter().filter(|&&cpu| cpu < CpuSet::MAX_CPU) {
        set.set(cpu);
    }
    if set.count() > 0 {
        rustix::thread::sched_setaffinity(None, &set)?;
    }
    Ok(())
}

/// A running child that leads its own process group. Dropping it kills the whole group and reaps the child.
#[derive(Debug)]
pub struct PinnedChild {
    child: Child,
    group: Option<Pid>,
    status: Option<ExitStatus>,
}

impl PinnedChild {
    /// Starts `command` on `cpus` (anywhere, when the list is empty).
    ///
    /// Call it from a thread that lives as long as the child should: the kernel sends the death signal when that thread ends.
    ///
    /// # Errors
    /// Those of [`Command::spawn`], for instance for a CPU that is not allowed.
    pub fn spawn(command: &mut Command, cpus: &[usize], on_parent_death: OnParentDeath) -> io::Result<Self> {
        let setup = ChildSetup {
            cpus: cpus.to_vec(),
            on_parent_death: match on_parent_death {
                OnParentDeath::Kill => Signal::KILL,
                OnParentDeath::Terminate => Signal::TERM,
            },
        };
        on_spawn(command, &setup);
        let child = command.spawn()?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(Self {
            child,
            group,
            status: None,
        })
    }

    /// The child itself, for its pipes.
    pub fn inner(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end: `SIGTERM` to the process itself, not to its group. Does nothing if it has ended.
    ///
    /// # Errors
    /// Those of `kill(2)`.
    pub fn terminate(&mut self) -> io::Result<()> {
        if let (None, Some(pid)) = (self.status, self.group) {
            kill_process(pid, Signal::TERM)?;
        }
        Ok(())
    }

    /// Interrupts it as Ctrl-C would: `SIGINT` to the process itself. Does nothing if it has ended.
    ///
    /// # Errors
    /// Those of `kill(2)`.
    pub fn interrupt(&mut self) -> io::Result<()> {
        if let (None, Some(pid)) = (self.status, self.group) {
            kill_process(pid, Signal::INT)?;
        }
        Ok(())
    }

    /// Kills it and every process of its group, and reaps it. Does nothing if there is none left.
    pub fn kill(&mut self) {
        // The group outlives its leader while workers are left. An empty group is ESRCH, which does no harm.
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        if self.status.is_none() {
            // This fails only for a child that somebody else has reaped.
            self.status = self.child.wait().ok();
        }
    }

    /// Waits until it has ended, at most for `limit`. `None` if it is still running.
    ///
    /// # Errors
    /// Those of `waitpid(2)`.
    pub fn wait_for(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        /// Short compared with any drain, long compared with the cost of one check.
        const CHECK_EVERY: Duration = Duration::from_millis(2);
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.status {
                return Ok(Some(status));
            }
            self.status = self.child.try_wait()?;
            if self.status.is_none() {
                if Instant::now() >= deadline {
                    return Ok(None);
                }
                std::thread::sleep(CHECK_EVERY);
            }
        }
    }
}

impl Drop for PinnedChild {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::WaitOptions;
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn alive(pid: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn a_child_runs_on_the_cpu_it_was_given() {
        let cpu = rustix::thread::sched_getcpu();
        let mut child = PinnedChild::spawn(
            &mut shell("grep Cpus_allowed_list /proc/self/status"),
            &[cpu],
            OnParentDeath::Kill,
        )
        .expect("this very CPU is allowed");
        let mut line = String::new();
        let stdout = child.inner().stdout.take().expect("it was piped");
        BufReader::new(stdout).read_line(&mut line).expect("grep prints a line");
        assert_eq!(line.split_whitespace().last(), Some(cpu.to_string().as_str()));
        assert!(child.wait_for(Duration::from_secs(60)).expect("wait").is_some());
    }

    #[test]
    fn dropping_a_child_ends_its_own_children_too() {
        let mut child =
            PinnedChild::spawn(&mut shell("sleep 60 & echo $!; wait"), &[], OnParentDeath::Kill).expect("sh starts");
        let mut line = String::new();
        let stdout = child.inner().stdout.take().expect("it was piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the shell prints the sleeper");
        let sleeper: u32 = line.trim().parse().expect("a process id");
        assert!(alive(sleeper));
        drop(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        while alive(sleeper) && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(!alive(sleeper), "the sleeper outlived the child that started it");
    }

    #[test]
    fn the_kernel_ends_a_child_when_the_thread_that_started_it_ends() {
        let starter = std::thread::spawn(|| {
            let child = PinnedChild::spawn(&mut shell("exec sleep 60"), &[], OnParentDeath::Kill).expect("sh starts");
            let pid = child.id();
            // As if the parent had been killed: nothing is dropped.
            std::mem::forget(child);
            pid
        });
        let pid = starter.join().expect("the thread ends");
        let deadline = Instant::now() + Duration::from_secs(60);
        while alive(pid) && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(!alive(pid));
        let _ = rustix::process::waitpid(
            Pid::from_raw(i32::try_from(pid).expect("a process id")),
            WaitOptions::empty(),
        );
    }
}
