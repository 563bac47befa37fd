//! What the process models have in common: children, reaped and seen off.

use std::io;
use std::time::{Duration, Instant};

use c10k_sys::process::fork;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, set_parent_process_death_signal, waitpid,
};

/// How often a nudge is repeated: the first may come just before the call that it is to interrupt.
const AGAIN: Duration = Duration::from_millis(20);

/// Forks a child that does not outlive its master, and does `work` in it.
pub(super) fn start(work: impl FnOnce()) -> io::Result<Pid> {
    let master = getpid();
    fork(move || {
        // Refused only for numbers that are no signals.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        // A master that died before is not told any more.
        if getppid() == Some(master) {
            work();
        }
        0
    })
}

/// Takes the children that have ended off the list; `lost` is called for each that did not end of its own will.
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
        // Whatever it is, the child is still there to be reaped.
        Err(_) => true,
    });
}

/// Interrupts all children until they have ended or `patience` is over; then ends those that are left.
pub(super) fn see_off(children: &mut Vec<Pid>, patience: Duration, mut lost: impl FnMut()) {
    let end = Instant::now() + patience;
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
            // One that has just ended needs no nudge.
            let _ = kill_process(*child, signal);
        }
        std::thread::sleep(AGAIN);
    }
}
