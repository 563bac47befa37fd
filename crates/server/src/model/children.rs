//! Child processes of the models that fork: starting, reaping and interrupting them.

use std::io;
use std::time::{Duration, Instant};

use c10k_sys::process::fork;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, set_parent_process_death_signal, waitpid,
};

use crate::ServeError;

/// How often the interrupt is repeated, since the first may come just before the call that it should interrupt.
const REPEAT: Duration = Duration::from_millis(20);

/// Starts a process that does `work`. It ends when its parent does.
pub(super) fn start(work: impl FnOnce()) -> io::Result<Pid> {
    let parent = getpid();
    fork(move || {
        // This fails only for numbers that are not signals.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        // If the parent has already ended, no signal will come.
        if getppid() == Some(parent) {
            work();
        }
        0
    })
}

/// The error of a server that cannot start a process.
pub(super) fn cannot_fork(cause: io::Error) -> ServeError {
    ServeError::System { call: "fork", cause }
}

/// Removes the children that have ended from the list. Calls `lost` for each whose exit status is not 0.
pub(super) fn reap(children: &mut Vec<Pid>, mut lost: impl FnMut()) {
    children.retain(|child| match waitpid(Some(*child), WaitOptions::NOHANG) {
        Ok(None) => true,
        Ok(Some((_, status))) => {
            if status.exit_status() != Some(0) {
                lost();
            }
            false
        }
        Err(Errno::CHILD) => false,
        // The child is still there to be reaped.
        Err(_) => true,
    });
}

/// Interrupts all children until they have ended. Kills those that have not ended after `limit`.
pub(super) fn interrupt_all(children: &mut Vec<Pid>, limit: Duration, mut lost: impl FnMut()) {
    let end = Instant::now() + limit;
    loop {
        reap(children, &mut lost);
        if children.is_empty() {
            return;
        }
        let signal = if Instant::now() < end {
            Signal::USR1
        } else {
            Signal::KILL
        };
        for child in children.iter() {
            // This fails only for a child that has just ended.
            let _ = kill_process(*child, signal);
        }
        std::thread::sleep(REPEAT);
    }
}
