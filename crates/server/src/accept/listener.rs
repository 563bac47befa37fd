//! Listening sockets, and `accept4` on them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use listenfd::ListenFd;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, getsockname, listen, socket_with,
    sockopt,
};

use super::address::{Address, Listen};
use crate::ServeError;

/// Connections that the kernel completes before they are accepted; net.core.somaxconn caps it.
const BACKLOG: i32 = 4096;

/// What a server accepts from.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) first: OwnedFd,
    /// Those of the other workers, if each has its own.
    pub(crate) others: Vec<OwnedFd>,
}

/// Opens so many non-blocking listeners, which share the address. If a service manager has handed one over, that is used
/// and the address is not. Accepted connections inherit TCP_NODELAY, which saves a call for each.
pub(crate) fn open(wanted: &Listen, count: usize) -> Result<(Listeners, Address), ServeError> {
    if let Some((first, address)) = inherited()? {
        let others = share_inherited(&first, &address, count)?;
        return Ok((Listeners { first, others }, address));
    }
    let addresses = match wanted {
        Listen::Internet(addresses) => addresses,
        Listen::Unix(path) => {
            if count > 1 {
                return Err(ServeError::OneListener {
                    listener: "a Unix socket",
                    count,
                });
            }
            let first = open_unix(path)?;
            let others = Vec::new();
            return Ok((Listeners { first, others }, Address::Unix(path.clone())));
        }
    };
    let (first, address) = open_first_of(addresses, count)?;
    let others = (1..count).map(|_| join(address)).collect::<Result<_, _>>()?;
    Ok((Listeners { first, others }, Address::Internet(address)))
}

fn listen_failed(address: SocketAddr) -> impl Fn(Errno) -> ServeError {
    move |errno| ServeError::Listen {
        address,
        cause: errno.into(),
    }
}

/// Listens on the first address that this machine has.
fn open_first_of(addresses: &[SocketAddr], count: usize) -> Result<(OwnedFd, SocketAddr), ServeError> {
    let mut failed = ServeError::Resolve {
        text: String::new(),
        reason: "no address is given".to_owned(),
    };
    for &address in addresses {
        match open_internet(address, count) {
            Ok(opened) => return Ok(opened),
            Err(errno) => failed = listen_failed(address)(errno),
        }
        let is_foreign = |cause: &io::Error| {
            let errno = Errno::from_io_error(cause);
            matches!(errno, Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
        };
        if !matches!(&failed, ServeError::Listen { cause, .. } if is_foreign(cause)) {
            break;
        }
    }
    Err(failed)
}

/// Opens a listener whose port others may share if `count` is more than 1.
///
/// The port is taken before sharing is allowed, so that this fails if anybody else listens there, even with
/// `SO_REUSEPORT`.
fn open_internet(address: SocketAddr, count: usize) -> Result<(OwnedFd, SocketAddr), Errno> {
    let listener = internet_socket(address)?;
    bind(&listener, &address)?;
    if count > 1 {
        sockopt::set_socket_reuseport(&listener, true)?;
    }
    listen(&listener, BACKLOG)?;
    let bound = SocketAddr::try_from(getsockname(&listener)?).unwrap_or(address);
    Ok((listener, bound))
}

/// Opens another listener on a port that is shared.
pub(crate) fn join(address: SocketAddr) -> Result<OwnedFd, ServeError> {
    try_join(address).map_err(listen_failed(address))
}

fn try_join(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let listener = internet_socket(address)?;
    sockopt::set_socket_reuseport(&listener, true)?;
    bind(&listener, &address)?;
    listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// Where a listener of a port that is shared listens.
pub(crate) fn address_of(listener: &OwnedFd) -> Result<SocketAddr, ServeError> {
    getsockname(listener)
        .and_then(SocketAddr::try_from)
        .map_err(|errno| ServeError::System {
            call: "getsockname",
            cause: errno.into(),
        })
}

fn internet_socket(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let listener = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    sockopt::set_tcp_nodelay(&listener, true)?;
    Ok(listener)
}

fn open_unix(path: &Path) -> Result<OwnedFd, ServeError> {
    let listen_on = || -> Result<OwnedFd, Errno> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        bind(&listener, &SocketAddrUnix::new(path)?)?;
        listen(&listener, BACKLOG)?;
        Ok(listener)
    };
    listen_on().map_err(|errno| ServeError::ListenUnix {
        path: path.to_owned(),
        cause: errno.into(),
    })
}

/// The listener that a service manager has opened (`LISTEN_FDS`, sd_listen_fds(3)), if there is one.
fn inherited() -> Result<Option<(OwnedFd, Address)>, ServeError> {
    let failed = |cause| ServeError::Inherited { cause };
    let mut handed_over = ListenFd::from_env();
    match handed_over.len() {
        0 => return Ok(None),
        1 => {}
        count => return Err(failed(io::Error::other(format!("there are {count} descriptors")))),
    }
    let (listener, address): (OwnedFd, Address) = match handed_over.take_tcp_listener(0) {
        Ok(Some(listener)) => {
            sockopt::set_tcp_nodelay(&listener, true).map_err(|errno| failed(errno.into()))?;
            let address = listener.local_addr().map_err(failed)?;
            (listener.into(), Address::Internet(address))
        }
        Ok(None) => return Ok(None),
        // If it is no Unix socket either, the first error says what was expected.
        Err(error) => match handed_over.take_unix_listener(0) {
            Ok(Some(listener)) => {
                let address = listener.local_addr().map_err(failed)?;
                let path = address.as_pathname().unwrap_or(Path::new(""));
                (listener.into(), Address::Unix(path.to_owned()))
            }
            Ok(None) | Err(_) => return Err(failed(error)),
        },
    };
    if !sockopt::socket_acceptconn(&listener).map_err(|errno| failed(errno.into()))? {
        return Err(failed(io::Error::other("the socket does not listen")));
    }
    ioctl_fionbio(&listener, true).map_err(|errno| failed(errno.into()))?;
    Ok(Some((listener, address)))
}

/// The listeners of the other workers, if the inherited one allows them.
fn share_inherited(first: &OwnedFd, address: &Address, count: usize) -> Result<Vec<OwnedFd>, ServeError> {
    if count == 1 {
        return Ok(Vec::new());
    }
    let Address::Internet(address) = *address else {
        return Err(ServeError::OneListener {
            listener: "an inherited Unix socket",
            count,
        });
    };
    if !sockopt::socket_reuseport(first).unwrap_or(false) {
        return Err(ServeError::OneListener {
            listener: "an inherited listener without SO_REUSEPORT",
            count,
        });
    }
    (1..count)
        .map(|_| {
            try_join(address).map_err(|errno| ServeError::Inherited {
                cause: io::Error::other(format!("another listener cannot share its port ({errno})")),
            })
        })
        .collect()
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
