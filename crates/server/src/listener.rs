//! Listening and accepting.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use listenfd::ListenFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, getsockname, listen, socket_with, sockopt,
};

use crate::{AcceptSharing, Config, ServeError};

/// Connections that the kernel completes ahead of `accept`; net.core.somaxconn caps it.
const BACKLOG: i32 = 4096;

/// Whether several listeners share the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    Own,
    /// `SO_REUSEPORT`.
    Shared,
}

/// What the configured model wants.
pub(crate) fn port_of(config: &Config) -> Port {
    match config.model.name() {
        "loop-per-core" if config.accept_sharing == AcceptSharing::Reuseport => Port::Shared,
        "io-uring" => Port::Shared,
        _ => Port::Own,
    }
}

/// The listeners of the workers beside the first, on the same port. The kernel lets only one user share a port, so they are
/// opened before the server becomes another.
pub(crate) fn siblings(config: &Config, address: SocketAddr) -> Result<Vec<OwnedFd>, ServeError> {
    if port_of(config) == Port::Own {
        return Ok(Vec::new());
    }
    (1..config.worker_loops())
        .map(|_| open(address, Port::Shared).map(|(listener, _)| listener))
        .collect()
}

/// Opens a listener that does not block. TCP_NODELAY is inherited by the connections that it accepts, which saves a
/// call for each.
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

/// The listener that a service manager has opened for us (`LISTEN_FDS`, sd_listen_fds(3)), if there is one.
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

/// What one `accept4` brought.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// A connection.
    Connection(OwnedFd),
    /// Nobody is waiting.
    Nobody,
    /// A connection that had already gone, or an error of the network that accept(2) reports: try again.
    Gone,
    /// Descriptors or memory are used up: wait.
    Shortage(Errno),
}

/// For event-driven models: the connection's calls do not wait.
pub(crate) fn accept(listener: &OwnedFd) -> Accepted {
    accept_as(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}

/// For blocking models: the connection's calls wait.
pub(crate) fn accept_blocking(listener: &OwnedFd) -> Accepted {
    accept_as(listener, SocketFlags::CLOEXEC)
}

fn accept_as(listener: &OwnedFd, flags: SocketFlags) -> Accepted {
    match accept_with(listener, flags) {
        Ok(connection) => Accepted::Connection(connection),
        Err(Errno::AGAIN) => Accepted::Nobody,
        Err(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => Accepted::Shortage(errno),
        // accept(2): "the Linux accept() passes already-pending network errors on the new socket as an error code".
        Err(_) => Accepted::Gone,
    }
}

/// Whether an error of accepting means that descriptors or memory are used up.
pub(crate) fn is_shortage(error: &std::io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}
