//! Sockets for tests, and the times that tests wait for their events.

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::{
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

/// How long a test waits for an event that must occur. Only a hang reaches this limit.
pub(crate) const HANG_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a test waits to check that no event occurs.
#[allow(dead_code, reason = "not every test program checks that nothing happens")]
pub(crate) const QUIET_PERIOD: Duration = Duration::from_millis(5);

/// The two ends of a non-blocking UNIX stream socket pair.
pub(crate) fn stream_pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a socket pair")
}

/// The two ends of a non-blocking TCP connection.
#[allow(dead_code, reason = "not every test program needs TCP")]
pub(crate) fn tcp_pair() -> (OwnedFd, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    let (server, _) = listener.accept().expect("the other end");
    for stream in [&client, &server] {
        stream.set_nonblocking(true).expect("O_NONBLOCK");
    }
    (client.into(), server.into())
}

pub(crate) fn write(fd: impl AsFd, bytes: &[u8]) {
    assert_eq!(rustix::io::write(fd, bytes), Ok(bytes.len()));
}
