//! Which changes of a file the kernel signals.
//!
//! A driver sends the signals of a file (`kill_fasync`, for sockets `sk_wake_async`) in calls of their own, next to the
//! wake-ups that `poll(2)`, epoll and io_uring use, and many drivers leave some out. The crate's documentation has the table.

use crate::{
    DeclareError, Interest, Unsupported,
    counters::{Call, Counters},
    mechanism::file_kind::require_readiness,
};
use c10k_sys::poll::POLLOUT;
use rustix::{
    fs::FileType,
    io::Errno,
    net::{AddressFamily, Protocol, SocketType, getpeername, ipproto, sockopt},
};
use std::os::fd::BorrowedFd;

/// What the kernel signals about a file that it signals all other changes of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signalled {
    pub(super) room: Room,
    /// Whether the kind of the file is known to send signals. If not, `O_ASYNC` may have no effect.
    pub(super) is_certain: bool,
}

/// When free room is signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Always: a poll that finds no room asks for the signal, or the driver needs no asking.
    Always,
    /// After a send that found no room while the file was armed: a local stream socket.
    AfterFullSend,
    /// The file was armed without room, so it may be that no such send will come.
    Unasked,
    /// When the file's own datagrams are read, while others may fill the same queue: a local datagram socket.
    Partly,
}

impl Room {
    /// The bits of `poll(2)` to ask for besides those of the interest.
    pub(super) fn polled(self) -> u16 {
        match self {
            Self::Always | Self::Partly => 0,
            Self::AfterFullSend | Self::Unasked => POLLOUT,
        }
    }

    /// What is known after the file was armed, when a poll found this state.
    pub(super) fn armed_in(self, state: u16) -> Self {
        match self {
            // Also after a hang-up: room that the peer makes by reading is not signalled.
            Self::AfterFullSend if state & POLLOUT == 0 => Self::Unasked,
            _ => self.seen_in(state),
        }
    }

    /// What is known after a later poll found this state.
    pub(super) fn seen_in(self, state: u16) -> Self {
        match self {
            Self::Unasked if state & POLLOUT != 0 => Self::AfterFullSend,
            _ => self,
        }
    }

    /// Whether the kernel signals what this interest asks for.
    pub(super) fn suffices(self, interest: Interest, fd: BorrowedFd<'_>) -> bool {
        match self {
            Self::Always | Self::AfterFullSend => true,
            _ if !interest.contains(Interest::WRITABLE) => true,
            // A listener never has room, and so never gets any.
            Self::Unasked => sockopt::socket_acceptconn(fd) == Ok(true),
            Self::Partly => false,
        }
    }
}

impl Signalled {
    /// What the kernel signals about this file: one call for TCP and UDP.
    ///
    /// # Errors
    /// [`Unsupported::FileWithIncompleteSignals`], or [`Unsupported::FileWithoutReadiness`].
    pub(super) fn of(
        mechanism: &'static str,
        fd: BorrowedFd<'_>,
        counters: &mut Counters,
    ) -> Result<Self, DeclareError> {
        counters.count(Call::Getsockopt);
        let room = match sockopt::socket_protocol(fd) {
            Ok(Some(ipproto::TCP | ipproto::UDP)) => Some(Room::Always),
            Ok(protocol) => room_of_socket(fd, protocol, counters)?,
            Err(Errno::NOTSOCK) => return Self::of_file(mechanism, fd, counters),
            Err(errno) => return Err(failed("getsockopt")(errno)),
        };
        let is_certain = true;
        room.map(|room| Self { room, is_certain })
            .ok_or_else(|| incomplete(mechanism))
    }

    /// As [`of`](Self::of), for a file that is no socket.
    fn of_file(mechanism: &'static str, fd: BorrowedFd<'_>, counters: &mut Counters) -> Result<Self, DeclareError> {
        let room = Room::Always;
        counters.count(Call::Fstat);
        let stat = rustix::fs::fstat(fd).map_err(failed("fstat"))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Fifo {
            let is_certain = true;
            return Ok(Self { room, is_certain });
        }
        require_readiness(mechanism, fd, counters)?;
        // No driver of a character device was found that signals all changes. Left out are, for instance, the hang-up of a
        // terminal, the end of a network tunnel, the revocation of an input device, and all changes of a random device.
        if kind == FileType::CharacterDevice {
            return Err(incomplete(mechanism));
        }
        let is_certain = false;
        Ok(Self { room, is_certain })
    }
}

/// When room in a socket is signalled; `None` if other changes are not signalled.
fn room_of_socket(
    fd: BorrowedFd<'_>,
    protocol: Option<Protocol>,
    counters: &mut Counters,
) -> Result<Option<Room>, DeclareError> {
    counters.count(Call::Getsockopt);
    match sockopt::socket_domain(fd).map_err(failed("getsockopt"))? {
        AddressFamily::UNIX => room_of_local(fd, counters).map(Some),
        AddressFamily::NETLINK | AddressFamily::PACKET => Ok(Some(Room::Always)),
        AddressFamily::INET | AddressFamily::INET6 => {
            counters.count(Call::Getsockopt);
            let kind = sockopt::socket_type(fd).map_err(failed("getsockopt"))?;
            // MPTCP does not signal that a connection is established, SCTP not that an association ends.
            let is_complete = protocol.is_none() || [SocketType::DGRAM, SocketType::RAW].contains(&kind);
            Ok(is_complete.then_some(Room::Always))
        }
        // Among them vsock, which does not signal the end of a connection.
        _ => Ok(None),
    }
}

fn room_of_local(fd: BorrowedFd<'_>, counters: &mut Counters) -> Result<Room, DeclareError> {
    counters.count(Call::Getsockopt);
    match sockopt::socket_type(fd).map_err(failed("getsockopt"))? {
        SocketType::STREAM => Ok(Room::AfterFullSend),
        SocketType::DGRAM => {
            counters.count(Call::Getpeername);
            match getpeername(fd) {
                Ok(Some(peer)) if peer.addr_len() as usize > size_of::<u16>() => Ok(Room::Partly),
                // The peer in a socket pair has no name; no other socket sends to it.
                Ok(_) | Err(Errno::NOTCONN) => Ok(Room::Always),
                Err(errno) => Err(failed("getpeername")(errno)),
            }
        }
        _ => Ok(Room::Always),
    }
}

fn failed(call: &'static str) -> impl Fn(Errno) -> DeclareError {
    move |errno| DeclareError::System { call, errno }
}

fn incomplete(mechanism: &'static str) -> DeclareError {
    DeclareError::Unsupported {
        mechanism,
        what: Unsupported::FileWithIncompleteSignals,
    }
}
