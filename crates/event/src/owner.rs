//! Which process, and for some mechanisms which thread, may use a set.

use crate::WrongContext;
use c10k_sys::fork::Process;
use rustix::io::Errno;
use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

/// Which threads may use a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threading {
    /// Any thread, one at a time.
    Any,
    /// Any thread. The kernel lets several threads wait for the same set at once, which a [`SharedSet`](crate::SharedSet)
    /// offers; an [`InterestSet`](crate::InterestSet) is used by one thread at a time.
    Concurrent,
    /// Only the thread that opened the set, because the kernel ties the set to it.
    Opener,
}

impl Threading {
    /// The name in lower case, as in tables and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Concurrent => "concurrent",
            Self::Opener => "opener",
        }
    }
}

thread_local! {
    /// The number of this thread, or 0 if it has none yet.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// The process, and the thread where it matters, that opened a set. Checking it makes no system call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    process: Process,
    thread: Option<u64>,
}

impl Owner {
    /// The call that fails where [`current`](Self::current) does.
    pub(crate) const CALL: &'static str = "pthread_atfork";

    /// The calling process and thread.
    pub(crate) fn current(threading: Threading) -> Result<Self, Errno> {
        let thread = match threading {
            Threading::Any | Threading::Concurrent => None,
            Threading::Opener => Some(this_thread()),
        };
        Ok(Self {
            process: Process::this()?,
            thread,
        })
    }

    #[inline]
    pub(crate) fn check(self) -> Result<(), WrongContext> {
        if !self.process.is_this() {
            return Err(WrongContext::Process);
        }
        // A thread that has no number yet has opened no set.
        if self.thread.is_some_and(|thread| thread != NUMBER.with(Cell::get)) {
            return Err(WrongContext::Thread);
        }
        Ok(())
    }
}

/// A number that no other thread of the program has or will have.
pub(crate) fn this_thread() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
        }
        number.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_thread_may_not_use_a_set_that_is_bound_to_its_opener() {
        let bound = Owner::current(Threading::Opener).expect("fork can be observed");
        let free = Owner::current(Threading::Any).expect("fork can be observed");
        assert_eq!((bound.check(), free.check()), (Ok(()), Ok(())));
        let seen = std::thread::spawn(move || (bound.check(), free.check()))
            .join()
            .expect("the thread returns");
        assert_eq!(seen, (Err(WrongContext::Thread), Ok(())));
    }
}
