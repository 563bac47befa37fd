//! A network of its own for a thread and the processes that it starts.

use std::io;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// `unshare(CLONE_NEWNET)` for the calling thread (network_namespaces(7)), and [`bring_up`](crate::loopback::bring_up) of the
/// loopback interface there.
///
/// Sockets that the thread opens from then on, and those of threads and processes that it starts, are in the new namespace. It
/// has an empty port space and the kernel's defaults for `net.*` settings, and ends with the last process and socket in it. Other
/// threads stay where they are. The thread cannot return; let it end.
///
/// # Errors
/// `EPERM` without CAP_SYS_ADMIN, `ENOSPC` where `user.max_net_namespaces` is reached, `EINVAL` where the kernel has no network
/// namespaces.
pub fn enter_new() -> io::Result<()> {
    // SAFETY: of the flags, only those that unshare the table of descriptors could break what other code relies on, that a
    // descriptor is the same in all threads. This one leaves the table alone.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
    crate::loopback::bring_up()
}
