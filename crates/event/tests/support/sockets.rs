//! Sockets, and how long a test waits for their events.

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::{
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

/// How long a test waits for an event that must come. Only a hang reaches this limit.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a test waits to see that nothing comes.
pub(crate) const SILENCE: Duration = Duration::from_millis(5);

/// Two non-blocking ends of a local stream.
pub(crate) fn stream_pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a socket pair")
}

pub(crate) fn write(fd: impl AsFd, bytes: &[u8]) {
    assert_eq!(rustix::io::write(fd, bytes), Ok(bytes.len()));
}
