//! The parts of epoll that `rustix::event::epoll` does not have: `epoll_wait`, `epoll_pwait2`, and control by number.

use crate::{poll::errno, timeout};
use rustix::io::{Errno, Result};
use std::{
    fmt,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

/// One `struct epoll_event`: conditions, and user data that identifies the source.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Event(libc::epoll_event);

impl fmt::Debug for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Event")
            .field("bits", &self.bits())
            .field("data", &self.data())
            .finish()
    }
}

impl Event {
    /// An event as the kernel fills it in.
    #[must_use]
    #[inline]
    pub const fn new(bits: u32, data: u64) -> Self {
        Self(libc::epoll_event {
            events: bits,
            u64: data,
        })
    }

    /// The conditions; those of `poll(2)` have the same values and are the low sixteen bits.
    #[must_use]
    #[inline]
    pub const fn bits(&self) -> u32 {
        self.0.events
    }

    /// The user data of the declaration.
    #[must_use]
    #[inline]
    pub const fn data(&self) -> u64 {
        self.0.u64
    }
}

/// The operation of `epoll_ctl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// `EPOLL_CTL_ADD`
    Add,
    /// `EPOLL_CTL_MOD`
    Modify,
    /// `EPOLL_CTL_DEL`
    Delete,
}

/// `epoll_ctl(epoll, control, number, {bits, data})` for a descriptor number, which may be closed. For callers whose
/// own interface uses numbers. With a [`BorrowedFd`], use `rustix::event::epoll`.
///
/// # Errors
/// `EBADF` when no file is open under the number; `EEXIST`, `ENOENT`, `EPERM`, `ENOMEM`, `ENOSPC`, `ELOOP`. See
/// `epoll_ctl(2)`.
pub fn control(epoll: BorrowedFd<'_>, control: Control, number: RawFd, bits: u32, data: u64) -> Result<()> {
    let operation = match control {
        Control::Add => libc::EPOLL_CTL_ADD,
        Control::Modify => libc::EPOLL_CTL_MOD,
        Control::Delete => libc::EPOLL_CTL_DEL,
    };
    let mut event = libc::epoll_event {
        events: bits,
        u64: data,
    };
    // SAFETY: the event is live; the kernel reads it and checks the number, which gives it no access to our memory.
    if unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, number, &raw mut event) } < 0 {
        return Err(errno());
    }
    Ok(())
}

/// Busy polling of a set: `struct epoll_params`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// How long a wait polls the network devices before it sleeps, in microseconds.
    pub microseconds: u32,
    /// The maximum number of packets that one poll takes.
    pub budget: u16,
    /// 1: keep device interrupts off while polling; 0: do not.
    pub prefer: u8,
    /// Must be 0.
    pub padding: u8,
}

/// `ioctl(epoll, EPIOCSPARAMS, parameters)`, Linux 6.9. See `ioctl_eventpoll(2)`.
///
/// # Errors
/// `ENOTTY` before Linux 6.9; `EINVAL`; `EPERM` for a budget beyond 64 without `CAP_NET_ADMIN`; `EOPNOTSUPP` if the
/// kernel was built without busy polling.
pub fn set_busy_poll(epoll: BorrowedFd<'_>, parameters: BusyPoll) -> Result<()> {
    const EPIOCSPARAMS: libc::Ioctl = 0x4008_8A01;
    // SAFETY: the call reads one epoll_params, which BusyPoll is laid out as and which is live.
    if unsafe { libc::ioctl(epoll.as_raw_fd(), EPIOCSPARAMS, &raw const parameters) } < 0 {
        return Err(errno());
    }
    Ok(())
}

/// `ioctl(epoll, EPIOCGPARAMS)`, Linux 6.9: the values that [`set_busy_poll`] set. See `ioctl_eventpoll(2)`.
///
/// # Errors
/// `ENOTTY` before Linux 6.9; `EOPNOTSUPP` if the kernel was built without busy polling.
pub fn busy_poll(epoll: BorrowedFd<'_>) -> Result<BusyPoll> {
    const EPIOCGPARAMS: libc::Ioctl = 0x8008_8A02_u32 as libc::Ioctl;
    let mut parameters = BusyPoll {
        microseconds: 0,
        budget: 0,
        prefer: 0,
        padding: 0,
    };
    // SAFETY: the call writes one epoll_params, which BusyPoll is laid out as, and for which there is room.
    if unsafe { libc::ioctl(epoll.as_raw_fd(), EPIOCGPARAMS, &raw mut parameters) } < 0 {
        return Err(errno());
    }
    Ok(parameters)
}

/// The most events that the kernel accepts in one call: `EP_MAX_EVENTS` of `fs/eventpoll.c`.
const MOST: usize = i32::MAX as usize / size_of::<Event>();

/// `epoll_wait(epoll, buffer, milliseconds)`: waits, and replaces the content of `buffer` with at most `max`
/// events, but not more than its capacity. -1 waits without a limit.
///
/// # Errors
/// `EINTR`; `EINVAL` if the buffer has no capacity. See `epoll_wait(2)`.
#[inline]
pub fn wait(epoll: BorrowedFd<'_>, buffer: &mut Vec<Event>, max: usize, milliseconds: i32) -> Result<usize> {
    buffer.clear();
    let room = max.min(buffer.capacity()).min(MOST) as i32;
    // SAFETY: the vector has room for so many events from its start, live and exclusively ours.
    let count = unsafe { epoll_wait(epoll, buffer.as_mut_ptr(), room, milliseconds) }?;
    // SAFETY: the kernel has initialised that many events, no more than the capacity that it was given.
    unsafe { buffer.set_len(count) };
    Ok(count)
}

/// The system call itself. rustix has only `epoll_pwait`, and the function of the C library is a thread cancellation
/// point, which adds some twenty instructions.
///
/// # Safety
/// There is room for `room` events at `events`.
#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn epoll_wait(epoll: BorrowedFd<'_>, events: *mut Event, room: i32, milliseconds: i32) -> Result<usize> {
    let outcome: isize;
    // SAFETY: the kernel writes at most `room` events, for which the caller answers, and Event is transparent over its
    // epoll_event; the instruction changes no other registers than these.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") libc::SYS_epoll_wait as isize => outcome,
            in("rdi") epoll.as_raw_fd(),
            in("rsi") events,
            in("edx") room,
            in("r10") milliseconds,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    usize::try_from(outcome).map_err(|_| Errno::from_raw_os_error(-(outcome as i32)))
}

/// The function of the C library: some other architectures have no system call `epoll_wait`.
///
/// # Safety
/// There is room for `room` events at `events`.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
unsafe fn epoll_wait(epoll: BorrowedFd<'_>, events: *mut Event, room: i32, milliseconds: i32) -> Result<usize> {
    // SAFETY: the kernel writes at most `room` events, for which the caller answers; Event is transparent over its
    // epoll_event.
    let count = unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.cast(), room, milliseconds) };
    usize::try_from(count).map_err(|_| errno())
}

/// `epoll_pwait2(epoll, buffer, timeout)`: as [`wait`], with nanosecond resolution. Without a timeout it waits without
/// a limit.
///
/// # Errors
/// `ENOSYS` before Linux 5.11; `EINTR`; `EINVAL` when `max` is 0. See `epoll_wait(2)`.
#[inline]
pub fn pwait2(epoll: BorrowedFd<'_>, buffer: &mut Vec<Event>, max: usize, timeout: Option<Duration>) -> Result<usize> {
    buffer.clear();
    buffer.reserve(max);
    let timeout = timeout.map(timeout::timespec);
    // SAFETY: the kernel writes at most `max` events to the vector's own spare room, reserved above, live and
    // exclusively ours; Event is transparent over its epoll_event. The timeout is null or a live timespec, and the mask
    // is null.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            buffer.as_mut_ptr(),
            max.min(MOST) as i32,
            timeout::pointer(timeout.as_ref()),
            std::ptr::null::<libc::c_void>(),
            0_usize,
        )
    };
    let count = usize::try_from(count).map_err(|_| errno())?;
    // SAFETY: the kernel has initialised that many events, no more than the capacity that it was given.
    unsafe { buffer.set_len(count) };
    Ok(count)
}
