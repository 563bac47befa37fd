//! The check of debug builds that a source does not block.

use crate::counters::{Call, Counters};
use rustix::fs::OFlags;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Panics if the calls on a source may block: it lacks `O_NONBLOCK`. An epoll descriptor is waited for, never read.
#[track_caller]
pub(crate) fn check(fd: BorrowedFd<'_>, counters: &mut Counters) {
    counters.count(Call::Fcntl);
    // What cannot be read at all is refused by the mechanism.
    let may_block = rustix::fs::fcntl_getfl(fd).is_ok_and(|flags| !flags.intersects(OFlags::NONBLOCK | OFlags::PATH));
    let number = fd.as_raw_fd();
    assert!(
        !may_block || has_no_calls_that_block(fd),
        "descriptor {number} is in blocking mode: an event is a hint, so a read or a write may block the whole loop. Set \
         O_NONBLOCK (set_nonblocking) before the source is declared. Debug builds check this"
    );
}

/// Whether the file is an epoll descriptor, or has no readiness, so that the mechanism refuses it.
#[cold]
fn has_no_calls_that_block(fd: BorrowedFd<'_>) -> bool {
    use rustix::{
        event::epoll::{self, CreateFlags, EventData, EventFlags},
        io::Errno,
    };
    let link = rustix::fs::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new());
    if link.is_ok_and(|name| name.as_bytes() == b"anon_inode:[eventpoll]") {
        return true;
    }
    epoll::create(CreateFlags::CLOEXEC)
        .is_ok_and(|scratch| epoll::add(&scratch, fd, EventData::new_u64(0), EventFlags::empty()) == Err(Errno::PERM))
}
