//! The CPU time of another process or thread, as the scheduler counts it.

use std::io;
use std::time::Duration;

/// `clock_getcpuclockid(3)` and `clock_gettime(2)`: CPU time that the scheduler gave to all threads of process `pid`,
/// including threads that have ended, with nanosecond resolution and up to this instant.
///
/// Unlike `/proc/PID/stat` this is not sampled at timer ticks, and unlike `/proc/PID/schedstat` it includes the slice
/// that is running now and threads that have ended. Children are not included.
///
/// # Errors
/// `ESRCH` if there is no such process.
pub fn process_cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = clock_pid(pid)?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` is a valid place for one clock id for the length of the call.
    let code = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
    read(clock)
}

/// `clock_gettime(2)` on the CPU clock of thread `tid` of this process.
///
/// # Errors
/// `ESRCH` if this process has no such thread.
pub fn thread_cpu_time(tid: u32) -> io::Result<Duration> {
    /// `CPUCLOCK_SCHED | CPUCLOCK_PERTHREAD_MASK` of the kernel's `posix-timers.h`, as pthread_getcpuclockid(3) uses
    /// them: a thread's clock is `(~tid << 3) | 6`.
    const THREAD_SCHED: libc::clockid_t = 6;
    let tid = clock_pid(tid)?;
    read((!tid << 3) | THREAD_SCHED)
}

/// A clock id has 29 bits for the process, and the kernel never gives numbers beyond `PID_MAX_LIMIT`, 2^22. 0 would
/// name the caller.
fn clock_pid(pid: u32) -> io::Result<libc::pid_t> {
    match pid {
        1..=0x40_0000 => Ok(pid.cast_signed()),
        _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

fn read(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one timespec for the length of the call.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(match io::Error::last_os_error() {
            gone if gone.raw_os_error() == Some(libc::EINVAL) => io::Error::from_raw_os_error(libc::ESRCH),
            other => other,
        });
    }
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Ok(Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_cpu_time_grows_with_work() {
        let pid = std::process::id();
        let before = process_cpu_time(pid).expect("this process exists");
        let mut after = before;
        while after < before + Duration::from_millis(5) {
            after = process_cpu_time(pid).expect("this process exists");
        }
        assert!(after > before);
    }

    #[test]
    fn a_thread_has_at_most_the_time_of_its_process() {
        let tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let thread = thread_cpu_time(tid).expect("this thread exists");
        assert!(thread > Duration::ZERO);
        assert!(thread <= process_cpu_time(std::process::id()).expect("this process exists"));
    }

    #[test]
    fn the_time_of_a_missing_process_is_esrch() {
        for pid in [0, 0x40_0000, u32::MAX] {
            let error = process_cpu_time(pid).expect_err("pid_max is below");
            assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{pid}");
        }
    }
}
