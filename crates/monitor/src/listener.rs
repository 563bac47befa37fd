//! The listening socket, and `accept4` on it.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, getsockname, listen, socket_with, sockopt,
};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::MonitorError;

/// Connections that the kernel completes before they are accepted; net.core.somaxconn caps it.
const BACKLOG: i32 = 4096;

/// What the kernel keeps for a subscriber that does not read; it doubles this for its own use (socket(7)). Without a limit it would
/// be megabytes for each.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// How long sent bytes may stay unacknowledged before the kernel ends the connection: the other host is down.
const UNACKNOWLEDGED_MS: u32 = 60_000;

/// Descriptors of the daemon that are no connections: standard streams, the listener, those that report events, files of `/proc`.
const RESERVE: u64 = 20;

/// A daemon with room for fewer connections is not started.
const LEAST_CONNECTIONS: u64 = 8;

/// A listening socket that does not block.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

/// What an accept found.
#[derive(Debug)]
pub(crate) enum Accepted {
    Connection(OwnedFd),
    Nobody,
    /// The client has left already.
    Gone,
    /// Descriptors or memory are used up.
    Shortage(Errno),
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    /// Listens. Returns the address with the port that the kernel chose, if it was to choose.
    pub(crate) fn open(address: SocketAddr) -> Result<(Listener, SocketAddr), MonitorError> {
        let open = || -> Result<(Listener, SocketAddr), Errno> {
            let family = match address {
                SocketAddr::V4(_) => AddressFamily::INET,
                SocketAddr::V6(_) => AddressFamily::INET6,
            };
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = socket_with(family, SocketType::STREAM, flags, None)?;
            sockopt::set_socket_reuseaddr(&socket, true)?;
            // Accepted connections inherit these, which saves calls for each.
            sockopt::set_tcp_nodelay(&socket, true)?;
            sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES)?;
            sockopt::set_tcp_user_timeout(&socket, UNACKNOWLEDGED_MS)?;
            bind(&socket, &address)?;
            listen(&socket, BACKLOG)?;
            let bound = SocketAddr::try_from(getsockname(&socket)?).unwrap_or(address);
            Ok((Listener(socket), bound))
        };
        open().map_err(|errno| MonitorError::Listen {
            address,
            cause: errno.into(),
        })
    }

    /// `accept4`. The connection does not block.
    pub(crate) fn accept(&self) -> Accepted {
        match accept_with(&self.0, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(connection) => Accepted::Connection(connection),
            Err(Errno::AGAIN) => Accepted::Nobody,
            // Errors of the new connection are reported here too (accept(2), "Error handling").
            Err(
                Errno::INTR
                | Errno::CONNABORTED
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
                | Errno::PERM,
            ) => Accepted::Gone,
            Err(errno) => Accepted::Shortage(errno),
        }
    }
}

/// Raises the soft limit on open descriptors to the hard one. Processes started afterwards inherit it.
pub fn raise_descriptor_limit() {
    if let Ok(limit) = c10k_sys::limit::limit(Resource::Nofile) {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        // This fails only if the hard limit was lowered meanwhile. Then the soft limit stays as it is.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

/// How many connections the limit on open descriptors has room for.
pub(crate) fn room() -> Result<usize, MonitorError> {
    let limit = c10k_sys::limit::limit(Resource::Nofile).map_err(MonitorError::of_call("prlimit64"))?;
    room_of(limit.current.unwrap_or(u64::MAX))
}

fn room_of(limit: u64) -> Result<usize, MonitorError> {
    let room = limit.saturating_sub(RESERVE);
    if room < LEAST_CONNECTIONS {
        let least = RESERVE + LEAST_CONNECTIONS;
        return Err(MonitorError::Descriptors { limit, least });
    }
    Ok(usize::try_from(room).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_without_room_for_a_few_connections_is_refused() {
        assert_eq!(room_of(1024).expect("room"), 1004);
        assert_eq!(room_of(28).expect("room"), 8);
        let line = room_of(27).expect_err("no room").to_string();
        assert!(line.contains("27") && line.contains("28"), "{line}");
    }

    #[test]
    fn a_connection_has_a_bounded_send_buffer() {
        let (listener, address) = Listener::open(([127, 0, 0, 1], 0).into()).expect("a free port");
        assert!(matches!(listener.accept(), Accepted::Nobody));
        let client = std::net::TcpStream::connect(address).expect("it listens");
        let Accepted::Connection(connection) = listener.accept() else {
            panic!("the connection is complete");
        };
        assert_eq!(
            sockopt::socket_send_buffer_size(&connection).expect("an option"),
            2 * SEND_BUFFER_BYTES
        );
        assert!(sockopt::tcp_nodelay(&connection).expect("an option"));
        assert_eq!(
            sockopt::tcp_user_timeout(&connection).expect("an option"),
            UNACKNOWLEDGED_MS
        );
        drop(client);
    }
}
