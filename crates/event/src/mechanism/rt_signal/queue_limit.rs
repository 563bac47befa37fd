//! The process's limit of queued signals, which sets change and restore.

use c10k_sys::{fork::Process, limit::limit};
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, setrlimit},
};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What the sets of one process share. Atomic numbers, because a child that is forked while another thread holds a lock
/// would wait for it without end.
static HOLDERS: AtomicUsize = AtomicUsize::new(0);
/// The limit before the first of the sets, or [`NOT_CHANGED`].
static BEFORE: AtomicU64 = AtomicU64::new(NOT_CHANGED);
/// The limit that the last of the sets asked for.
static WANTED: AtomicU64 = AtomicU64::new(NOT_CHANGED);
/// The process to which these numbers belong; a forked child starts anew.
static PROCESS: AtomicU64 = AtomicU64::new(0);

const UNLIMITED: u64 = u64::MAX;
const NOT_CHANGED: u64 = u64::MAX - 1;

/// One set's limit. Dropping the last one of a process restores the limit that was there before the first one, unless the
/// program has changed it since.
#[derive(Debug)]
pub(super) struct QueueLimit {
    process: Process,
}

impl QueueLimit {
    /// Sets the soft limit.
    pub(super) fn set(wanted: u64) -> Result<Self, Errno> {
        let process = Process::this()?;
        if PROCESS.swap(process.number(), Ordering::Relaxed) != process.number() {
            HOLDERS.store(0, Ordering::Relaxed);
            BEFORE.store(NOT_CHANGED, Ordering::Relaxed);
        }
        let before = limit(Resource::Sigpending)?;
        HOLDERS.fetch_add(1, Ordering::Relaxed);
        // A failure drops this and so restores what was there.
        let held = Self { process };
        let number = before.current.unwrap_or(UNLIMITED);
        let _ = BEFORE.compare_exchange(NOT_CHANGED, number, Ordering::Relaxed, Ordering::Relaxed);
        let current = Some(wanted);
        setrlimit(Resource::Sigpending, Rlimit { current, ..before })?;
        WANTED.store(wanted, Ordering::Relaxed);
        Ok(held)
    }
}

impl Drop for QueueLimit {
    fn drop(&mut self) {
        if !self.process.is_this() || HOLDERS.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        let restored = former();
        BEFORE.store(NOT_CHANGED, Ordering::Relaxed);
        if let Some(restored) = restored {
            // Refused by a policy at most; then the limit stays.
            let _ = setrlimit(Resource::Sigpending, restored);
        }
    }
}

/// The limit before the sets of this process changed it; `None` if it is not as they left it.
pub(super) fn former() -> Option<Rlimit> {
    let before = BEFORE.load(Ordering::Relaxed);
    let now = limit(Resource::Sigpending).ok()?;
    let is_ours = before != NOT_CHANGED && now.current == Some(WANTED.load(Ordering::Relaxed));
    let current = (before != UNLIMITED).then_some(before);
    is_ours.then_some(Rlimit { current, ..now })
}
