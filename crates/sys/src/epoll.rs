//! `epoll_pwait2` with its fall-back `epoll_pwait`; the rest of epoll is `rustix::event::epoll`.

use crate::{poll::errno, timeout};
use rustix::io::Result;
use std::{
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};

/// One `struct epoll_event` that the kernel has filled.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Event(libc::epoll_event);

impl Event {
    /// The conditions; those of `poll(2)` have the same values and are the low sixteen bits.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.0.events
    }

    /// The user data of the declaration.
    #[must_use]
    pub fn data(&self) -> u64 {
        self.0.u64
    }
}

/// `epoll_pwait2(epoll, buffer, timeout)`: waits with nanosecond resolution and replaces `buffer`'s
/// content by at most `max` events. No timeout waits for ever.
///
/// # Errors
/// `ENOSYS` before Linux 5.11; `EINTR`; `EINVAL` when `max` is 0. See `epoll_wait(2)`.
pub fn pwait2(epoll: BorrowedFd<'_>, buffer: &mut Vec<Event>, max: usize, timeout: Option<Duration>) -> Result<usize> {
    buffer.clear();
    buffer.reserve(max);
    let timeout = timeout.map(timeout::timespec);
    // SAFETY: the kernel writes at most `max` events to the vector's own spare room, reserved above, live and exclusively
    // ours; Event is transparent over the kernel's epoll_event; the timeout is null or a live timespec.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            buffer.as_mut_ptr(),
            i32::try_from(max).unwrap_or(i32::MAX),
            timeout::pointer(timeout.as_ref()),
            std::ptr::null::<libc::c_void>(),
            0_usize,
        )
    };
    let count = usize::try_from(count).map_err(|_| errno())?;
    // SAFETY: the kernel has initialised the first `count` events and never more than `max`.
    unsafe { buffer.set_len(count) };
    Ok(count)
}

/// `epoll_pwait(epoll, buffer, timeout)`: as [`pwait2`], with the timeout rounded up to whole milliseconds.
///
/// # Errors
/// `EINTR`; `EINVAL` when `max` is 0. See `epoll_wait(2)`.
pub fn pwait(epoll: BorrowedFd<'_>, buffer: &mut Vec<Event>, max: usize, timeout: Option<Duration>) -> Result<usize> {
    buffer.clear();
    buffer.reserve(max);
    let milliseconds = timeout.map_or(-1, |timeout| {
        i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
    });
    // SAFETY: as in `pwait2`; no signal mask is passed.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait,
            epoll.as_raw_fd(),
            buffer.as_mut_ptr(),
            i32::try_from(max).unwrap_or(i32::MAX),
            milliseconds,
            std::ptr::null::<libc::c_void>(),
            0_usize,
        )
    };
    let count = usize::try_from(count).map_err(|_| errno())?;
    // SAFETY: the kernel has initialised the first `count` events and never more than `max`.
    unsafe { buffer.set_len(count) };
    Ok(count)
}
