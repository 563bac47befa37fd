//! The resources that this process and its children have used: `getrusage`.

use std::io;
use std::mem::MaybeUninit;

/// Resources used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in user mode, nanoseconds, with the kernel's microsecond resolution.
    pub user_ns: u64,
    /// CPU time in kernel mode, nanoseconds.
    pub system_ns: u64,
    /// Voluntary context switches: a thread gave up its CPU to wait.
    pub voluntary_switches: u64,
    /// Involuntary context switches: a thread was taken off its CPU.
    pub involuntary_switches: u64,
}

impl Usage {
    /// The resources used since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Usage) -> Usage {
        Usage {
            user_ns: self.user_ns.saturating_sub(earlier.user_ns),
            system_ns: self.system_ns.saturating_sub(earlier.system_ns),
            voluntary_switches: self.voluntary_switches.saturating_sub(earlier.voluntary_switches),
            involuntary_switches: self.involuntary_switches.saturating_sub(earlier.involuntary_switches),
        }
    }

    /// The sum of two values.
    #[must_use]
    pub fn plus(self, other: Usage) -> Usage {
        Usage {
            user_ns: self.user_ns + other.user_ns,
            system_ns: self.system_ns + other.system_ns,
            voluntary_switches: self.voluntary_switches + other.voluntary_switches,
            involuntary_switches: self.involuntary_switches + other.involuntary_switches,
        }
    }
}

/// `getrusage(RUSAGE_SELF)`: all threads of this process, including those that have ended. See getrusage(2).
///
/// # Errors
/// None that the kernel documents for these arguments.
pub fn of_process() -> io::Result<Usage> {
    usage(libc::RUSAGE_SELF)
}

/// `getrusage(RUSAGE_CHILDREN)`: the children that have ended and were waited for, including their own such children.
/// See getrusage(2).
///
/// # Errors
/// None that the kernel documents for these arguments.
pub fn of_children() -> io::Result<Usage> {
    usage(libc::RUSAGE_CHILDREN)
}

/// `getrusage(RUSAGE_THREAD)`: the calling thread. See getrusage(2).
///
/// # Errors
/// None that the kernel documents for these arguments.
pub fn of_thread() -> io::Result<Usage> {
    usage(libc::RUSAGE_THREAD)
}

fn usage(who: libc::c_int) -> io::Result<Usage> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the pointer is valid for writes of one `rusage`, which is all that the call writes.
    if unsafe { libc::getrusage(who, usage.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded and has filled the structure.
    let usage = unsafe { usage.assume_init() };
    Ok(Usage {
        user_ns: nanoseconds(usage.ru_utime),
        system_ns: nanoseconds(usage.ru_stime),
        voluntary_switches: usage.ru_nvcsw.unsigned_abs(),
        involuntary_switches: usage.ru_nivcsw.unsigned_abs(),
    })
}

fn nanoseconds(time: libc::timeval) -> u64 {
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_usec.unsigned_abs() * 1_000
}
