//! Telling a forked child from its parent without a system call.

use crate::poll::errno;
use rustix::io::Result;
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// A process, as told apart from the processes that it was forked from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u64);

/// A number on a page of its own that the kernel clears in a forked child (`MADV_WIPEONFORK`, Linux 4.14). The page is
/// never unmapped.
static PAGE: OnceLock<&'static AtomicU64> = OnceLock::new();

/// The last identity given out in this line of processes; a child goes on counting where its parent was.
static LAST: AtomicU64 = AtomicU64::new(0);

impl Process {
    /// The calling process. The first call of a program maps a page; later ones read a number.
    ///
    /// # Errors
    /// `ENOMEM`; `EINVAL` on kernels without `MADV_WIPEONFORK`. See `madvise(2)`.
    pub fn this() -> Result<Self> {
        let page = match PAGE.get() {
            Some(page) => page,
            None => {
                let page = map()?;
                PAGE.get_or_init(|| page)
            }
        };
        Ok(Self(identity(page)))
    }
}

#[inline]
fn identity(page: &AtomicU64) -> u64 {
    match page.load(Ordering::Relaxed) {
        0 => name(page),
        identity => identity,
    }
}

#[cold]
fn name(page: &AtomicU64) -> u64 {
    let fresh = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    // Another thread may have been faster; its answer holds.
    page.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed)
        .map_or_else(|named| named, |_| fresh)
}

fn map() -> Result<&'static AtomicU64> {
    // The kernel rounds both up to a whole page.
    let size = size_of::<AtomicU64>();
    // SAFETY: a new private mapping at an address of the kernel's choice touches no memory of anyone.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(errno());
    }
    // SAFETY: the range is exactly the mapping just made, private and anonymous as the advice demands.
    if unsafe { libc::madvise(address, size, libc::MADV_WIPEONFORK) } < 0 {
        return Err(errno());
    }
    // SAFETY: the mapping is zeroed, aligned to a page, larger than the number, and never unmapped (a mapping whose
    // advice failed is not handed out); all access goes through the atomic.
    Ok(unsafe { &*address.cast::<AtomicU64>() })
}

/// `fork(2)`: runs `work` in a child process, which then ends at once with the number that it returned, and waits for it;
/// `None` when a signal ended the child. Nothing of the parent is unwound, flushed or dropped in the child.
///
/// In a program of several threads `work` must not need a lock that another thread may hold at this moment: the child
/// would wait for it for ever.
///
/// # Errors
/// `EAGAIN`, `ENOMEM`. See `fork(2)`.
pub fn in_child(work: impl FnOnce() -> u8) -> Result<Option<u8>> {
    // SAFETY: the child runs `work` on a copy of this process and leaves by _exit; the C library keeps its allocator usable
    // in a forked child. Locks of other threads are the caller's concern, as documented: they can block, not corrupt.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(errno());
    }
    if child == 0 {
        let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(101);
        // SAFETY: ends the process; nothing follows.
        unsafe { libc::_exit(i32::from(status)) }
    }
    let child = rustix::process::Pid::from_raw(child);
    loop {
        match rustix::process::waitpid(child, rustix::process::WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(status) => {
                let code = status.and_then(|(_, status)| status.exit_status());
                return Ok(code.and_then(|code| u8::try_from(code).ok()));
            }
        }
    }
}
