//! Conversion of timeouts to the types of the kernel.

use std::time::Duration;

/// The longest timeout handed to kernel interfaces that add the current time to it without an overflow check.
pub(crate) const LONGEST: Duration = Duration::from_secs(1_000_000_000);

/// The kernel's `timespec` for a timeout; a timeout beyond the range of the kernel becomes the longest possible
/// timeout.
pub(crate) fn timespec(timeout: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    }
}

/// The address of a `timespec`, or null for "no timeout". The pointer is valid as long as `timeout` is borrowed.
pub(crate) fn pointer(timeout: Option<&libc::timespec>) -> *const libc::timespec {
    timeout.map_or(std::ptr::null(), std::ptr::from_ref)
}
