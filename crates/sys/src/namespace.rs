//! Network namespaces, and a user namespace in which they can be made without privileges.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{getegid, geteuid};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// Makes a network namespace. It has a loopback interface, which is down, and nothing else. It lasts as long as a descriptor,
/// a thread or a socket refers to it.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN` in the user namespace; `ENOSPC` at the limit of `user.max_net_namespaces`. See
/// `unshare(2)`.
pub fn new_network() -> io::Result<OwnedFd> {
    in_thread(|| {
        // SAFETY: only this thread, which ends with this closure, moves into the new namespace. It shares its descriptors
        // and its memory with the others as before.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET)? };
        network_of_this_thread()
    })
}

/// The network namespace of the calling thread.
///
/// # Errors
/// `ENOENT` if /proc is not mounted.
pub fn network_of_this_thread() -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(openat(CWD, "/proc/thread-self/ns/net", flags, Mode::empty())?)
}

/// Moves the calling thread into a network namespace: sockets that it makes from now on are there, and so are those of
/// threads that it starts. Sockets that there are stay where they are.
///
/// # Errors
/// `EINVAL` if the descriptor is no network namespace; `EPERM` without `CAP_SYS_ADMIN` in its user namespace. See `setns(2)`.
pub fn enter_network(namespace: impl AsFd) -> io::Result<()> {
    Ok(move_into_link_name_space(
        namespace.as_fd(),
        Some(LinkNameSpaceType::Network),
    )?)
}

/// Moves the calling thread into a network namespace of its own, whose loopback interface is up.
///
/// Sockets that the thread makes from then on, and those of threads and processes that it starts, are there. The namespace has an empty
/// port space and the kernel's defaults for `net.*` settings. It ends with the last process and socket in it. Other threads stay where
/// they are. The thread cannot return; let it end.
///
/// # Errors
/// Those of [`new_network`]; `EINVAL` where the kernel has no network namespaces.
pub fn enter_new_network() -> io::Result<()> {
    // SAFETY: of the flags, only those that unshare the table of descriptors could break what other code relies on, that a
    // descriptor is the same in all threads. This one leaves the table alone.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET)? };
    crate::loopback::bring_up()
}

/// Runs `work` in a thread inside of a network namespace, and waits for it.
///
/// # Errors
/// Those of [`enter_network`] and of the work.
///
/// # Panics
/// If the work panics.
pub fn inside_network<T: Send>(
    namespace: impl AsFd + Sync,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    in_thread(|| {
        enter_network(&namespace)?;
        work()
    })
}

/// Gives the calling thread a mount namespace of its own, whose mounts do not spread, and mounts there the /sys of the
/// thread's network namespace.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`. See `unshare(2)` and `mount(2)`.
pub fn mount_own_sys() -> io::Result<()> {
    // SAFETY: the thread gets its own root and working directory (`CLONE_NEWNS` implies `CLONE_FS`), which no code of this
    // program takes to be shared between threads. Memory and descriptors are shared as before.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS)? };
    let spread = rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
    rustix::mount::mount_change("/", spread)?;
    let flags =
        rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV | rustix::mount::MountFlags::NOEXEC;
    Ok(rustix::mount::mount("sysfs", "/sys", "sysfs", flags, None)?)
}

/// Moves the process into a user namespace of its own, in which it is the superuser. Then it can make network namespaces
/// without privileges of the host.
///
/// # Errors
/// `EINVAL` if the process has more than one thread; `EPERM` or `ENOSPC` where the host does not allow user namespaces
/// (`kernel.unprivileged_userns_clone`, `user.max_user_namespaces`, AppArmor's `userns`). See `user_namespaces(7)`.
pub fn enter_user_namespace() -> io::Result<()> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    // SAFETY: the kernel refuses this to a process with several threads, so there are none to differ from this one.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER)? };
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1\n"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1\n"))
}

fn in_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
