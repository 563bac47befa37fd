//! Sending a reply on a socket: its bytes, then a piece of a file.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use c10k_http::{Machine, Piece};
use rustix::fs::sendfile;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};

use crate::stats::Calls;

/// What one call has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    /// All bytes.
    pub(crate) bytes: usize,
    /// Those of the head.
    pub(crate) of_head: usize,
    /// Whether the socket took all that the call offered.
    pub(crate) whole: bool,
}

/// Sends `head` and the machine's tail, or a piece of the file if there is neither, with one call. `None` if nothing is left
/// to be sent.
///
/// At most `most` bytes of a file are sent. A file that has become shorter is an error, since the reply cannot be what its
/// head says.
#[inline]
pub(crate) fn send_next(
    socket: impl AsFd,
    head: &[u8],
    machine: &mut Machine,
    file: Option<&OwnedFd>,
    most: usize,
    calls: &mut Calls,
) -> Option<Result<Sent, Errno>> {
    let tail = machine.tail();
    let piece = machine.piece();
    if head.is_empty() && tail.is_empty() {
        let piece = piece?;
        let Some(file) = file else {
            return Some(Err(Errno::IO));
        };
        return Some(send_file(socket, file, piece, machine, most, calls));
    }
    let outcome = if tail.is_empty() || head.is_empty() {
        calls.sendto += 1;
        let bytes = if head.is_empty() { tail } else { head };
        send(socket, bytes, flags(piece))
    } else {
        calls.sendmsg += 1;
        let both = [IoSlice::new(head), IoSlice::new(tail)];
        sendmsg(socket, &both, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)
    };
    Some(outcome.map(|bytes| {
        let of_head = bytes.min(head.len());
        machine.tail_sent(bytes - of_head);
        Sent {
            bytes,
            of_head,
            whole: bytes == head.len() + tail.len(),
        }
    }))
}

fn send_file(
    socket: impl AsFd,
    file: &OwnedFd,
    piece: Piece,
    machine: &mut Machine,
    most: usize,
    calls: &mut Calls,
) -> Result<Sent, Errno> {
    let mut offset = piece.offset;
    let length = usize::try_from(piece.length).unwrap_or(usize::MAX).min(most);
    calls.sendfile += 1;
    match sendfile(socket, file, Some(&mut offset), length)? {
        0 => Err(Errno::IO),
        bytes => {
            machine.piece_sent(bytes);
            Ok(Sent {
                bytes,
                of_head: 0,
                whole: machine.piece().is_none(),
            })
        }
    }
}

/// What is sent before a piece of a file shares a segment with it.
fn flags(piece: Option<Piece>) -> SendFlags {
    match piece {
        Some(_) => SendFlags::NOSIGNAL | SendFlags::MORE,
        None => SendFlags::NOSIGNAL,
    }
}
