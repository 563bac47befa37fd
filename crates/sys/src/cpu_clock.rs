//! The scheduler's run time of another process.

use std::io;
use std::time::Duration;

/// `clock_getcpuclockid(3)` and `clock_gettime(2)`: CPU time that the scheduler gave to all threads of process `pid`,
/// living and ended, to the nanosecond and up to this instant.
///
/// Unlike `/proc/PID/stat` this is not sampled at timer ticks, and unlike `/proc/PID/schedstat` it includes the slice
/// that is running now and threads that have ended. Children are not included.
///
/// # Errors
/// `ESRCH` when there is no such process (any more).
pub fn process_cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` is a valid place for one clock id for the length of the call.
    let code = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code));
    }
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
    fn a_process_that_is_not_there_is_no_such_process() {
        let error = process_cpu_time(u32::MAX >> 1).expect_err("pid_max is far below");
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    }
}
