//! Which files have readiness at all.

use crate::{DeclareError, Unsupported, counters::Call, counters::Counters};
use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    fs::FileType,
    io::Errno,
};
use std::os::fd::BorrowedFd;

/// Refuses a file without readiness, with the same result on every mechanism. epoll's rule (`file_can_poll`) decides:
/// `poll(2)` and `select(2)` report such files as ready at all times, io_uring completes at once, and signals never come.
pub(super) fn require_readiness(
    mechanism: &'static str,
    fd: BorrowedFd<'_>,
    counters: &mut Counters,
) -> Result<(), DeclareError> {
    let refused = DeclareError::Unsupported {
        mechanism,
        what: Unsupported::FileWithoutReadiness,
    };
    counters.count(Call::Fstat);
    let stat = rustix::fs::fstat(fd).map_err(|errno| DeclareError::System { call: "fstat", errno })?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket | FileType::Fifo => Ok(()),
        FileType::Directory | FileType::BlockDevice | FileType::Symlink => Err(refused),
        // Devices, anonymous files (eventfd, timerfd, another epoll set) and files that the kernel shows as regular
        // (/proc/self/mounts) may or may not have readiness: epoll knows.
        _ => is_accepted_by_epoll(fd, counters)?.then_some(()).ok_or(refused),
    }
}

fn is_accepted_by_epoll(fd: BorrowedFd<'_>, counters: &mut Counters) -> Result<bool, DeclareError> {
    let failed = |call| move |errno| DeclareError::System { call, errno };
    let scratch = epoll::create(CreateFlags::CLOEXEC).map_err(failed("epoll_create1"))?;
    counters.count(Call::EpollCtl);
    match epoll::add(&scratch, fd, EventData::new_u64(0), EventFlags::empty()) {
        Ok(()) => {
            counters.count(Call::EpollCtl);
            epoll::delete(&scratch, fd).map_err(failed("epoll_ctl"))?;
            Ok(true)
        }
        Err(Errno::PERM) => Ok(false),
        Err(errno) => Err(failed("epoll_ctl")(errno)),
    }
}
