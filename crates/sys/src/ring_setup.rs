//! Why an io_uring is refused, and the remedy.

use rustix::io::Errno;

/// The cause of an error of `io_uring_setup(2)` (the kernel, a sysctl, a seccomp profile or a limit) and the remedy.
#[must_use]
pub fn remedy(errno: Errno) -> &'static str {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    let disabled = disabled.as_deref().map_or("", str::trim);
    match (errno, disabled) {
        (Errno::NOSYS, _) => "the kernel was built without io_uring, or a seccomp profile hides it: allow it there",
        (Errno::PERM, "1" | "2") => "kernel.io_uring_disabled forbids it: set it to 0 as root",
        (Errno::PERM, _) => "a seccomp profile (a container's, often) forbids it: allow it there",
        (Errno::INVAL, _) => "the kernel is older than Linux 6.1, which this needs: choose another",
        (Errno::NOMEM, _) => "RLIMIT_MEMLOCK or the machine's memory is too small: raise it with 'ulimit -l'",
        (Errno::MFILE, _) => "RLIMIT_NOFILE descriptors are open: raise it with 'ulimit -n'",
        _ => "see io_uring_setup(2)",
    }
}
