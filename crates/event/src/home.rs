//! Where a set belongs: its process, and with some mechanisms its thread.

use crate::Foreign;
use c10k_sys::fork::Process;
use rustix::io::Errno;
use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

/// Who may use a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threading {
    /// One thread at a time, any of them.
    Any,
    /// The thread that opened the set: the kernel ties it to that one.
    Opener,
}

thread_local! {
    /// The number of this thread, or 0.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// The process and, where it matters, the thread that opened a set. Checking costs no system call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    process: Process,
    thread: Option<u64>,
}

impl Home {
    pub(crate) fn here(threading: Threading) -> Result<Self, Errno> {
        let thread = match threading {
            Threading::Any => None,
            Threading::Opener => Some(this_thread()),
        };
        Ok(Self {
            process: Process::this()?,
            thread,
        })
    }

    #[inline]
    pub(crate) fn check(self) -> Result<(), Foreign> {
        if !self.process.is_this() {
            return Err(Foreign::Process);
        }
        // A thread that has no number yet has opened nothing.
        if self.thread.is_some_and(|thread| thread != NUMBER.with(Cell::get)) {
            return Err(Foreign::Thread);
        }
        Ok(())
    }
}

/// A number of this thread that no other thread of the program has or will have.
fn this_thread() -> u64 {
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
    fn another_thread_is_foreign_only_to_a_set_that_is_bound() {
        let bound = Home::here(Threading::Opener).expect("the page can be mapped");
        let free = Home::here(Threading::Any).expect("the page can be mapped");
        assert_eq!((bound.check(), free.check()), (Ok(()), Ok(())));
        let seen = std::thread::spawn(move || (bound.check(), free.check()))
            .join()
            .expect("the thread returns");
        assert_eq!(seen, (Err(Foreign::Thread), Ok(())));
    }
}
