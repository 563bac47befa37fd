//! One non-blocking client socket: connect, write, read, close.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use c10k_sys::bind_no_port::set_bind_address_no_port;
use c10k_sys::local_port_range::set_local_port_range;
use rustix::io::{Errno, Result};
use rustix::net::sockopt::{set_socket_linger, set_tcp_nodelay, socket_error};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, recv, send,
    socket_with,
};

use crate::endpoint::Endpoint;
use crate::plan::Close;
use crate::sources::Source;
use crate::world::{Got, Link};

/// A socket in an interest set, with its place in the generator.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    pub(crate) role: Role,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Carries the requests of the lane with this index.
    Lane(u32),
    /// Is being opened for the idle pool.
    IdleOpening,
    /// Is a member of the idle pool.
    Idle,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Socket {
    /// Starts a connection to `destination` from `source`.
    pub(crate) fn connect(destination: &Endpoint, source: Source, role: Role, close: Close) -> Result<(Self, Link)> {
        let (fd, connected) = match destination {
            Endpoint::Internet(address) => internet(*address, source, role, close)?,
            Endpoint::Unix(path) => {
                let fd = stream_socket(AddressFamily::UNIX)?;
                let address = SocketAddrUnix::new(path)?;
                let connected = connect(&fd, &address);
                (fd, connected)
            }
        };
        let link = match connected {
            Ok(()) => Link::Up,
            Err(Errno::INPROGRESS) => Link::Connecting,
            // A Unix listener whose queue is full refuses at once, unix(7).
            Err(Errno::AGAIN) => return Err(Errno::CONNREFUSED),
            Err(errno) => return Err(errno),
        };
        Ok((Self { fd, role }, link))
    }

    /// Whether a connect that was under way has succeeded. Call it when the socket is writable.
    pub(crate) fn connected(&self) -> Result<()> {
        socket_error(&self.fd)?
    }

    /// Writes what the socket takes; 0 when it takes nothing now.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize> {
        loop {
            match send(&self.fd, bytes, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                result => return result,
            }
        }
    }

    /// Reads what there is.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<Got> {
        loop {
            match recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Got::Nothing),
                Ok((0, _)) => return Ok(Got::End),
                Ok((length, _)) => return Ok(Got::Bytes(length)),
                Err(errno) => return Err(errno),
            }
        }
    }
}

fn stream_socket(family: AddressFamily) -> Result<OwnedFd> {
    socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )
}

/// A TCP socket and how its connect began.
fn internet(destination: SocketAddr, source: Source, role: Role, close: Close) -> Result<(OwnedFd, Result<()>)> {
    let fd = stream_socket(if destination.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    })?;
    if let Some(ports) = source.ports {
        set_local_port_range(&fd, ports.first..=ports.last)?;
    }
    if let Some(address) = source.address {
        set_bind_address_no_port(&fd)?;
        bind(&fd, &SocketAddr::new(address, 0))?;
    }
    if close == Close::Reset {
        set_socket_linger(&fd, Some(Duration::ZERO))?;
    }
    if role != Role::IdleOpening {
        set_tcp_nodelay(&fd, true)?;
    }
    let connected = connect(&fd, &destination);
    Ok((fd, connected))
}
