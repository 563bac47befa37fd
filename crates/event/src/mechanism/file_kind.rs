//! Which files have readiness at all.

use crate::{DeclareError, Unsupported, counters::Call, counters::Counters};
use c10k_sys::poll::{POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM, PollEntry, poll};
use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    fs::{FileType, OFlags},
    io::{Errno, retry_on_intr},
    net::sockopt,
};
use std::{os::fd::BorrowedFd, time::Duration};

/// What a file with readiness is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Socket,
    /// A pipe, a device or an anonymous file.
    Other,
}

/// Refuses a file without readiness, with the same result on every mechanism. epoll's rule (`file_can_poll`) decides:
/// `poll(2)` and `select(2)` report such files as ready at all times, io_uring completes at once, and signals never come.
/// A socket costs one call.
pub(super) fn require_readiness(
    mechanism: &'static str,
    fd: BorrowedFd<'_>,
    counters: &mut Counters,
) -> Result<FileKind, DeclareError> {
    let refused = DeclareError::Unsupported {
        mechanism,
        what: Unsupported::FileWithoutReadiness,
    };
    counters.count(Call::Getsockopt);
    match sockopt::socket_type(fd) {
        Ok(_) => return Ok(FileKind::Socket),
        Err(Errno::NOTSOCK) => {}
        Err(errno) => return Err(explain(mechanism, fd, "getsockopt", errno, counters)),
    }
    counters.count(Call::Fstat);
    let stat = rustix::fs::fstat(fd).map_err(|errno| DeclareError::System { call: "fstat", errno })?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => Ok(FileKind::Other),
        FileType::Directory | FileType::BlockDevice | FileType::Symlink => Err(refused),
        // Devices, anonymous files (eventfd, timerfd, another epoll set) and files that the kernel shows as regular
        // (/proc/self/mounts) may or may not have readiness.
        _ => has_readiness(fd, counters)?.then_some(FileKind::Other).ok_or(refused),
    }
}

/// A call that the kernel refused for a descriptor. A descriptor that only names a file is `EBADF` for all calls of the
/// mechanisms, and typed here.
pub(super) fn explain(
    mechanism: &'static str,
    fd: BorrowedFd<'_>,
    call: &'static str,
    errno: Errno,
    counters: &mut Counters,
) -> DeclareError {
    if errno == Errno::BADF {
        counters.count(Call::Fcntl);
        if rustix::fs::fcntl_getfl(fd).is_ok_and(|flags| flags.contains(OFlags::PATH)) {
            return DeclareError::Unsupported {
                mechanism,
                what: Unsupported::PathOnly,
            };
        }
    }
    DeclareError::System { call, errno }
}

/// Polls the file first. That needs no descriptor, which the process may not have left, and works for an epoll descriptor
/// that is nested as deep as the kernel allows.
fn has_readiness(fd: BorrowedFd<'_>, counters: &mut Counters) -> Result<bool, DeclareError> {
    /// What the kernel finds for every file without a `poll` of its own (`DEFAULT_POLLMASK`).
    const WITHOUT_POLL: u16 = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    let mut entry = [PollEntry::new(fd, WITHOUT_POLL)];
    retry_on_intr(|| {
        counters.count(Call::Ppoll);
        poll(&mut entry, Some(Duration::ZERO))
    })
    .map_err(|errno| DeclareError::System { call: "ppoll", errno })?;
    Ok(entry[0].found() != WITHOUT_POLL || is_accepted_by_epoll(fd, counters)?)
}

/// Whether epoll accepts every file of this kind, as it does sockets and pipes. Then a refusal of `epoll_ctl` is not about
/// the file: a policy of the system forbids the call.
pub(super) fn is_always_accepted(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd)
        .is_ok_and(|stat| matches!(FileType::from_raw_mode(stat.st_mode), FileType::Socket | FileType::Fifo))
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
