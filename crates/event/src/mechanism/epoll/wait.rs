//! The wait on an epoll descriptor.

use crate::{
    counters::{Call, Counters},
    mechanism::backend::Refused,
};
use c10k_sys::epoll::{Event as EpollEvent, pwait2, wait};
use rustix::io::Errno;
use std::{os::fd::BorrowedFd, time::Duration};

/// Chooses the call that waits: `epoll_wait`, the cheapest one, without a timeout, for no time or for whole milliseconds;
/// `epoll_pwait2` for all other times.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Wait {
    #[default]
    Nanoseconds,
    /// There is no `epoll_pwait2`, so times are rounded up to milliseconds.
    Milliseconds,
}

impl Wait {
    /// Waits once.
    // See `Kernel` for why this is inlined.
    #[inline(always)]
    pub(crate) fn wait(
        &mut self,
        epoll: BorrowedFd<'_>,
        buffer: &mut Vec<EpollEvent>,
        room: usize,
        timeout: Option<Duration>,
        counters: &mut Counters,
    ) -> Result<usize, Refused> {
        let milliseconds = match timeout {
            None => -1,
            Some(Duration::ZERO) => 0,
            Some(timeout) => return self.wait_for(epoll, buffer, room, timeout, counters),
        };
        counters.count(Call::EpollWait);
        wait(epoll, buffer, room, milliseconds).map_err(Refused::by(Call::EpollWait))
    }

    #[inline(never)]
    fn wait_for(
        &mut self,
        epoll: BorrowedFd<'_>,
        buffer: &mut Vec<EpollEvent>,
        room: usize,
        timeout: Duration,
        counters: &mut Counters,
    ) -> Result<usize, Refused> {
        let milliseconds = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        let whole = Duration::from_millis(u64::from(milliseconds.unsigned_abs())) == timeout;
        if matches!(self, Self::Nanoseconds) && !whole {
            counters.count(Call::EpollPwait2);
            match pwait2(epoll, buffer, room, Some(timeout)) {
                // The call itself never answers EPERM, but seccomp profiles that are older than it do.
                Err(Errno::NOSYS | Errno::PERM) => *self = Self::Milliseconds,
                outcome => return outcome.map_err(Refused::by(Call::EpollPwait2)),
            }
        }
        counters.count(Call::EpollWait);
        wait(epoll, buffer, room, milliseconds).map_err(Refused::by(Call::EpollWait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::epoll::{self, CreateFlags};
    use std::{os::fd::AsFd, time::Instant};

    #[test]
    fn without_epoll_pwait2_a_fraction_of_a_millisecond_is_rounded_up() {
        let epoll = epoll::create(CreateFlags::CLOEXEC).expect("a descriptor is left");
        let mut counters = Counters::default();
        for microseconds in [1, 999, 1_500] {
            let timeout = Duration::from_micros(microseconds);
            let started = Instant::now();
            let found = Wait::Milliseconds.wait(
                epoll.as_fd(),
                &mut Vec::with_capacity(1),
                1,
                Some(timeout),
                &mut counters,
            );
            assert_eq!(found, Ok(0));
            assert!(started.elapsed() >= timeout, "a wait of {timeout:?} was cut short");
        }
        assert_eq!(counters.syscalls().collect::<Vec<_>>(), [("epoll_wait", 3)]);
    }
}
