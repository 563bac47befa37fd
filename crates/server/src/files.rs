//! Files on their way to a socket.

use std::os::fd::{AsFd, OwnedFd};

use c10k_http::{Host, Machine, Output, Piece, Step, Unsent};
use rustix::fs::sendfile;
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::Root;
use crate::tally::Tally;

/// Opens the file that a machine asks for ([`Step::Open`]), and has it answer: the step that follows, and the file where
/// bytes of it are to be sent.
pub(crate) fn answer(
    machine: &mut Machine,
    root: Option<&Root>,
    host: &Host,
    output: &mut Output,
    tally: &mut Tally,
) -> (Step, Option<OwnedFd>) {
    let found = match (root, machine.file_path()) {
        (Some(root), Some(path)) => {
            tally.calls.openat2 += 1;
            let found = root.find(&path);
            tally.calls.fstat += u64::from(found.is_ok());
            found
        }
        _ => Err(Unsent::Missing),
    };
    let (file, facts) = match found {
        Ok((file, facts)) => (Some(file), Ok(facts)),
        Err(unsent) => (None, Err(unsent)),
    };
    let step = machine.answer_file(facts, host, output);
    (step, file.filter(|_| machine.needs_file()))
}

/// `sendfile(2)`: at most `most` bytes of a piece. A file that has become shorter is an error, since the reply cannot be
/// what its head says.
pub(crate) fn send(socket: impl AsFd, file: &OwnedFd, piece: Piece, most: usize) -> Result<usize, Errno> {
    let mut offset = piece.offset;
    let length = usize::try_from(piece.length).unwrap_or(usize::MAX).min(most);
    match sendfile(socket, file, Some(&mut offset), length) {
        Ok(0) => Err(Errno::IO),
        outcome => outcome,
    }
}

/// How the bytes before a piece are sent: in one segment with its beginning.
pub(crate) fn flags(piece: Option<Piece>) -> SendFlags {
    match piece {
        Some(_) => SendFlags::NOSIGNAL | SendFlags::MORE,
        None => SendFlags::NOSIGNAL,
    }
}
