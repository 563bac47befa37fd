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

use super::sources::Source;
use crate::endpoint::Endpoint;
use crate::engine::world::{Link, ReadResult};
use crate::plan::Close;

/// A socket in an interest set, and its role in the generator.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    pub(crate) role: Role,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It carries the requests of the slot with this index.
    Slot(u32),
    /// It is being connected for the idle pool.
    IdleOpening,
    /// It belongs to the idle pool.
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
            Ok(()) => Link::Connected,
            Err(Errno::INPROGRESS) => Link::Connecting,
            // A Unix listener with a full queue refuses at once, unix(7).
            Err(Errno::AGAIN) => return Err(Errno::CONNREFUSED),
            Err(errno) => return Err(errno),
        };
        Ok((Self { fd, role }, link))
    }

    /// The result of a connect in progress. Must be called when the socket is writable.
    pub(crate) fn connected(&self) -> Result<()> {
        socket_error(&self.fd)?
    }

    /// Writes as many bytes as the socket accepts now, possibly 0.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize> {
        loop {
            match send(&self.fd, bytes, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                result => return result,
            }
        }
    }

    /// Reads the bytes that are available.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<ReadResult> {
        loop {
            match recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(ReadResult::WouldBlock),
                Ok((0, _)) => return Ok(ReadResult::Closed),
                Ok((length, _)) => return Ok(ReadResult::Bytes(length)),
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

/// A TCP socket, and the result of starting its connect.
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
