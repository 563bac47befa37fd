//! `/dev/poll` of the kernel module in `kernel/dev-poll`: an interest set in the kernel.
//!
//! The module's header, `dev_poll.h`, describes the calls.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};

use crate::poll::{PollEntry, errno};

/// Removes a descriptor if it is all that is written as its events.
pub const POLLREMOVE: u16 = 0x1000;

/// What a set has done since it was opened.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waits.
    pub polls: u64,
    /// Passes over the set; a wait may take two.
    pub scans: u64,
    /// Entries that these passes looked at.
    pub visited: u64,
    /// Of these, files that were asked for their state.
    pub asked: u64,
    /// Hints that files set.
    pub hints: u64,
}

/// `struct dvppoll`.
#[repr(C)]
struct Call {
    results: *mut PollEntry,
    room: i32,
    reserved: i32,
    timeout_ns: i64,
}

/// A request of `ioctl(2)`: the direction (1: to the device, 2: from it), the size of the argument, and a number.
const fn request(direction: u32, size: usize, number: u32) -> libc::Ioctl {
    const TYPE: u32 = 0xD0;
    (direction << 30 | (size as u32) << 16 | TYPE << 8 | number) as libc::Ioctl
}

const DP_PPOLL: libc::Ioctl = request(3, size_of::<Call>(), 3);
const DP_COUNTS: libc::Ioctl = request(2, size_of::<Counts>(), 4);
const DP_IGNOREHINTS: libc::Ioctl = request(0, 0, 5);

/// `open("/dev/poll")`: an empty set.
///
/// # Errors
/// `ENOENT` without the module; `EMFILE`, `ENFILE`, `ENOMEM`; `ENOTTY` if the device is not that of the module.
pub fn open() -> Result<OwnedFd> {
    let device = rustix::fs::open("/dev/poll", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    // Also makes this process the owner, so that a child cannot become it.
    counts(&device).map(|_| device)
}

/// `write(device, entries)`: adds each entry's events to those cached for its descriptor, or removes the descriptor if they are
/// exactly [`POLLREMOVE`]. Returns how many entries were taken.
///
/// # Errors
/// For the first entry: `EACCES` in a process that does not own the set, `EINVAL` for another set, `ENOMEM`.
pub fn write(device: &OwnedFd, entries: &[PollEntry]) -> Result<usize> {
    // SAFETY: a PollEntry is a `struct pollfd` without padding, so all its bytes are initialised; the slice is borrowed.
    let bytes = unsafe { std::slice::from_raw_parts(entries.as_ptr().cast::<u8>(), size_of_val(entries)) };
    Ok(rustix::io::write(device, bytes)? / size_of::<PollEntry>())
}

/// `DP_PPOLL`: waits until a descriptor is ready, and returns the results at the begin of `room`. Without a timeout it waits
/// without a limit. Without room it only sleeps.
///
/// # Errors
/// `EINTR`; `EACCES` in a process that does not own the set.
pub fn poll<'r>(
    device: &OwnedFd,
    room: &'r mut [MaybeUninit<PollEntry>],
    timeout: Option<Duration>,
) -> Result<&'r [PollEntry]> {
    let found = wait(device, room.as_mut_ptr().cast(), room.len(), timeout)?;
    // SAFETY: the module has written `found` results, at most as many as there is room for.
    Ok(unsafe { std::slice::from_raw_parts(room.as_ptr().cast(), found) })
}

fn wait(device: &OwnedFd, results: *mut PollEntry, room: usize, timeout: Option<Duration>) -> Result<usize> {
    let mut call = Call {
        results,
        room: i32::try_from(room).unwrap_or(i32::MAX),
        reserved: 0,
        timeout_ns: timeout.map_or(-1, |timeout| i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX)),
    };
    control(device, DP_PPOLL, (&raw mut call).cast())
}

/// The results of a set in memory that it shares with the kernel, which saves copying them.
#[derive(Debug)]
pub struct Area {
    address: NonNull<PollEntry>,
    room: usize,
}

// SAFETY: the mapping belongs to this value alone.
unsafe impl Send for Area {}

impl Area {
    /// `mmap(device)`: room for so many results. A set has one area at most.
    ///
    /// # Errors
    /// `EBUSY` if the set has one; `EINVAL` for more than `RLIMIT_NOFILE`, or none; `ENOMEM`.
    pub fn map(device: &OwnedFd, room: usize) -> Result<Self> {
        let size = room.checked_mul(size_of::<PollEntry>()).ok_or(Errno::INVAL)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice does not affect existing memory.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                protection,
                libc::MAP_SHARED,
                device.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(address.cast::<PollEntry>()) {
            Some(first) if address != libc::MAP_FAILED => Ok(Self { address: first, room }),
            _ => Err(errno()),
        }
    }

    /// As [`poll`], with the results in this area, which is that of the device.
    ///
    /// # Errors
    /// As [`poll`]; `EINVAL` if the area is not that of the device.
    pub fn poll(&mut self, device: &OwnedFd, timeout: Option<Duration>) -> Result<&[PollEntry]> {
        let found = wait(device, std::ptr::null_mut(), self.room, timeout)?;
        // SAFETY: the mapping is page-aligned, readable, zeroed when it was made (a valid PollEntry), and `room` entries long.
        // The module writes to it in calls only, and this exclusive borrow is the only way to make one.
        Ok(unsafe { std::slice::from_raw_parts(self.address.as_ptr(), found.min(self.room)) })
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this size, and no borrow of it outlives this value.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.room * size_of::<PollEntry>()) };
    }
}

/// `DP_COUNTS`: what the set has done.
///
/// # Errors
/// `EACCES` in a process that does not own the set; `ENOTTY` if the device is not that of the module.
pub fn counts(device: &OwnedFd) -> Result<Counts> {
    let mut counts = Counts::default();
    control(device, DP_COUNTS, (&raw mut counts).cast())?;
    Ok(counts)
}

/// `DP_IGNOREHINTS`: from now on, every scan asks every file.
///
/// # Errors
/// As [`counts`].
pub fn ignore_hints(device: &OwnedFd) -> Result<()> {
    control(device, DP_IGNOREHINTS, std::ptr::null_mut()).map(|_| ())
}

/// `ioctl(device, request, argument)`. The argument is that of the request.
fn control(device: &OwnedFd, request: libc::Ioctl, argument: *mut c_void) -> Result<usize> {
    // SAFETY: the callers pass a live structure of the type that the request reads and writes, or null for a request without
    // an argument. Pointers in it are null or valid for as many results as it says.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), request, argument) };
    usize::try_from(result).map_err(|_| errno())
}

/// The entry that removes a descriptor.
#[must_use]
pub fn removal(number: RawFd) -> PollEntry {
    PollEntry::of_number(number, POLLREMOVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_are_those_of_the_header() {
        // _IOWR(0xD0, 3, struct dvppoll), _IOR(0xD0, 4, struct dp_counts), _IO(0xD0, 5).
        assert_eq!(
            [DP_PPOLL, DP_COUNTS, DP_IGNOREHINTS],
            [0xC018_D003, 0x8028_D004, 0xD005]
        );
    }
}
