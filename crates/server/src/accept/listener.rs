//! Listening sockets, and `accept4` on them.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use listenfd::ListenFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, getsockname, listen, socket_with, sockopt,
};

use crate::ServeError;

/// Connections that the kernel completes before they are accepted; net.core.somaxconn caps it.
const BACKLOG: i32 = 4096;

/// Whether other listeners may share the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    Own,
    /// `SO_REUSEPORT`.
    Shared,
}

/// Opens a non-blocking listener. Accepted connections inherit TCP_NODELAY from it, which saves a call for each.
pub(crate) fn open(address: SocketAddr, port: Port) -> Result<(OwnedFd, SocketAddr), ServeError> {
    let listen_on = || -> Result<(OwnedFd, SocketAddr), Errno> {
        let family = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let listener = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&listener, true)?;
        sockopt::set_tcp_nodelay(&listener, true)?;
        if port == Port::Shared {
            sockopt::set_socket_reuseport(&listener, true)?;
        }
        bind(&listener, &address)?;
        listen(&listener, BACKLOG)?;
        let bound = SocketAddr::try_from(getsockname(&listener)?).unwrap_or(address);
        Ok((listener, bound))
    };
    listen_on().map_err(|errno| ServeError::Listen {
        address,
        cause: errno.into(),
    })
}

/// The listener that a service manager has opened (`LISTEN_FDS`, sd_listen_fds(3)), if there is one.
pub(crate) fn inherited() -> Result<Option<(OwnedFd, SocketAddr)>, ServeError> {
    let failed = |cause| ServeError::Inherited { cause };
    let Some(listener) = ListenFd::from_env().take_tcp_listener(0).map_err(failed)? else {
        return Ok(None);
    };
    listener.set_nonblocking(true).map_err(failed)?;
    sockopt::set_tcp_nodelay(&listener, true).map_err(|errno| failed(errno.into()))?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Some((listener.into(), address)))
}

/// The outcome of one accept.
#[derive(Debug)]
pub(crate) enum Accepted<C = OwnedFd> {
    /// A connection.
    Connection(C),
    /// Nobody waits.
    Nobody,
    /// The connection was already gone, or had a network error that accept(2) reports. The next accept may succeed.
    Gone,
    /// Descriptors or memory are used up.
    Shortage(Errno),
}

impl<C> From<Result<C, Errno>> for Accepted<C> {
    fn from(outcome: Result<C, Errno>) -> Accepted<C> {
        match outcome {
            Ok(connection) => Accepted::Connection(connection),
            Err(Errno::AGAIN) => Accepted::Nobody,
            Err(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => Accepted::Shortage(errno),
            // accept(2): "Linux accept() passes already-pending network errors on the new socket as an error code".
            Err(_) => Accepted::Gone,
        }
    }
}

/// Accepts a connection whose calls do not block.
pub(crate) fn accept_nonblocking(listener: impl AsFd) -> Accepted {
    accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC).into()
}

/// Accepts a connection whose calls block.
pub(crate) fn accept_blocking(listener: impl AsFd) -> Accepted {
    accept_with(listener, SocketFlags::CLOEXEC).into()
}
