//! What a program starts ends with it, however it ends.
//!
//! [`guarded`] puts two processes between its caller and the work:
//!
//! ```text
//! caller ── waits; passes INT, TERM and HUP on
//!   └ guard ── reaps and, when the work or the caller has ended, kills everything below itself
//!       └ work ── starts servers and generators
//! ```
//!
//! The guard is a child subreaper (`PR_SET_CHILD_SUBREAPER`), so that a descendant whose own parents have ended, such as a
//! daemon, becomes its child and not that of init. If the caller is killed, even with SIGKILL, the kernel sends the guard the
//! SIGTERM that it asked for (`PR_SET_PDEATHSIG`). The work is a subreaper too: what is left of a server is its child, and
//! [`Strays`] ends it. Processes are killed through a pidfd that was opened before their parent was checked, so that no
//! process that has the number of another one is hit.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use c10k_sys::process::fork;
use c10k_sys::termination::{FamilySignals, Signalled};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process, pidfd_open, pidfd_send_signal,
    set_child_subreaper, set_parent_process_death_signal, wait, waitpid,
};

use crate::meter::{ProcessTree, command_name, is_running};
use crate::scratch;

/// Whether this process is the work of a guard, so that all its children are its own.
static IS_GUARDED: AtomicBool = AtomicBool::new(false);

/// How the work of a guard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkEnd {
    /// It returned this code.
    Returned(u8),
    /// A signal killed it.
    Killed(i32),
    /// The caller got this signal. It should end by it, see [`end_by`].
    Interrupted(i32),
}

/// Does `work` in a child process. When it has ended, or this process has, nothing is left of what it started: no child, no
/// child's child, no daemon, and no [scratch directory](crate::scratch).
///
/// Call it before the first thread is started: only the calling thread exists in the child. The child ends without running
/// destructors or exit handlers.
///
/// # Errors
/// Those of `fork(2)`, `sigwait(3)`, `prctl(2)` and `memfd_create(2)`.
pub fn guarded(work: impl FnOnce() -> u8) -> io::Result<WorkEnd> {
    scratch::begin_list()?;
    let signals = FamilySignals::block()?;
    let caller = getpid();
    let guard = fork(move || run_guard(caller, signals, work).unwrap_or(GUARD_FAILED))?;
    let mut interrupted = None;
    loop {
        match signals.wait()? {
            Signalled::Child => {}
            Signalled::End(signal) => {
                interrupted = Some(signal);
                // This fails only if it has just ended.
                let _ = kill_process(guard, Signal::TERM);
            }
        }
        if let Some((_, status)) = waitpid(Some(guard), WaitOptions::NOHANG)? {
            signals.restore()?;
            return match (interrupted, end_of(status)) {
                (Some(signal), _) => Ok(WorkEnd::Interrupted(signal)),
                (None, WorkEnd::Returned(GUARD_FAILED)) => Err(io::Error::other("the guard process failed")),
                (None, end) => Ok(end),
            };
        }
    }
}

/// Ends this process by a signal, as if it had never been blocked.
pub fn end_by(signal: i32) -> io::Result<()> {
    c10k_sys::termination::end_by(signal)
}

/// The exit code of a guard that could not do its work; the work has none of them.
const GUARD_FAILED: u8 = 125;
/// The exit code of a guard whose work was killed by signal N is this plus N.
const KILLED: u8 = 128;

fn end_of(status: WaitStatus) -> WorkEnd {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) if code > i32::from(KILLED) => WorkEnd::Killed(code - i32::from(KILLED)),
        (Some(code), _) => WorkEnd::Returned(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, signal) => WorkEnd::Killed(signal.unwrap_or(0)),
    }
}

/// The guard, between its caller and the work. Returns its exit code.
fn run_guard(caller: Pid, signals: FamilySignals, work: impl FnOnce() -> u8) -> io::Result<u8> {
    set_child_subreaper(Some(getpid()))?;
    set_parent_process_death_signal(Some(Signal::TERM))?;
    if getppid() != Some(caller) {
        // The caller ended before it could be watched.
        return Ok(0);
    }
    let guard = getpid();
    let work = fork(move || {
        let prepared = set_parent_process_death_signal(Some(Signal::KILL))
            .and_then(|()| set_child_subreaper(Some(getpid())))
            .map_err(io::Error::from)
            .and_then(|()| signals.restore());
        if prepared.is_err() || getppid() != Some(guard) {
            return GUARD_FAILED;
        }
        IS_GUARDED.store(true, Ordering::Relaxed);
        work()
    })?;
    let code = loop {
        if let Signalled::End(_) = signals.wait()? {
            break 0;
        }
        if let Some(code) = reap(work)? {
            break code;
        }
    };
    end_descendants(&BTreeSet::new());
    scratch::remove_listed();
    Ok(code)
}

/// Reaps all children that have ended. If the work is among them, returns the guard's exit code.
fn reap(work: Pid) -> io::Result<Option<u8>> {
    let mut code = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == work => {
                let killed = status.terminating_signal().map(|signal| i32::from(KILLED) + signal);
                let ended = status.exit_status().or(killed).unwrap_or_default();
                code = Some(u8::try_from(ended).unwrap_or(u8::MAX));
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(code),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The processes that something has left behind in a process that runs under a guard. Ends them when dropped.
#[derive(Debug)]
pub struct Strays {
    /// The children that were there before; `None` if nothing is watched, as without a guard, where the children may be
    /// anybody's.
    known: Option<BTreeSet<u32>>,
}

impl Strays {
    /// From now on, children that this process did not have before are strays once what started them has ended.
    #[must_use]
    pub fn watch() -> Self {
        Self {
            known: IS_GUARDED.load(Ordering::Relaxed).then(children),
        }
    }

    /// Nothing is a stray: for something that is started among others, whose children come and go meanwhile.
    #[must_use]
    pub fn unwatched() -> Self {
        Self { known: None }
    }

    /// The names of the strays that are running now.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        let Some(known) = &self.known else {
            return Vec::new();
        };
        let strays = children()
            .into_iter()
            .filter(|child| !known.contains(child) && is_running(*child));
        strays.filter_map(command_name).collect()
    }

    /// Ends the strays and returns their names.
    pub fn end(&mut self) -> Vec<String> {
        let names = self.running();
        if let Some(known) = self.known.take() {
            end_descendants(&known);
        }
        names
    }
}

impl Drop for Strays {
    fn drop(&mut self) {
        self.end();
    }
}

/// The children of this process.
fn children() -> BTreeSet<u32> {
    ProcessTree::new(own_pid())
        .children()
        .unwrap_or_default()
        .into_iter()
        .collect()
}

/// Kills all descendants of this process but the `spared` children and what is below them, and reaps those that are children,
/// until none is left. What a killed process leaves becomes a child of this one and is found in the next round.
fn end_descendants(spared: &BTreeSet<u32>) {
    /// A killed process takes about this long to end.
    const PAUSE: Duration = Duration::from_millis(1);
    loop {
        let own = ProcessTree::new(own_pid());
        let all = own.pids_without(spared).unwrap_or_default();
        let descendants = all.get(1..).unwrap_or_default();
        if descendants.is_empty() {
            return;
        }
        for &pid in descendants {
            kill_descendant(&own, pid);
            // Fails for one that is not a child.
            let _ = waitpid(as_pid(pid), WaitOptions::NOHANG);
        }
        std::thread::sleep(PAUSE);
    }
}

fn own_pid() -> u32 {
    getpid().as_raw_nonzero().get().unsigned_abs()
}

/// Kills `pid` if it is a descendant of this process. It may have ended meanwhile, and its number may have another owner.
fn kill_descendant(own: &ProcessTree, pid: u32) {
    let Some(raw) = as_pid(pid) else { return };
    let Ok(process) = pidfd_open(raw, PidfdFlags::empty()) else {
        return;
    };
    if own.has(pid) {
        // This fails only for a process that has just ended.
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}

fn as_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}
