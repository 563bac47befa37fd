//! How an open file sends signals: to whom and which. A set changes both while it watches the file.

use crate::{Counters, counters::Call, fd::index};
use c10k_sys::signal::{self, Owner, Receiver, Signal};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What a file did before it was watched.
#[derive(Clone, Copy, Debug)]
struct Former {
    owner: Owner,
    signal: Option<Signal>,
}

/// What the watched files did before, by descriptor number.
#[derive(Debug, Default)]
pub(super) struct FileSignals {
    by_number: Vec<Option<Former>>,
}

impl FileSignals {
    /// The owner of a file, noted with its signal for [`restore`](Self::restore).
    pub(super) fn note(&mut self, fd: BorrowedFd<'_>, counters: &mut Counters) -> Result<Owner, Errno> {
        counters.count(Call::Fcntl);
        let owner = signal::owner_of(fd)?;
        counters.count(Call::Fcntl);
        let signal = signal::signal_of(fd)?;
        let at = index(fd.as_raw_fd());
        if at >= self.by_number.len() {
            self.by_number.resize(at + 1, None);
        }
        self.by_number[at] = Some(Former { owner, signal });
        Ok(owner)
    }

    /// Makes a file send this signal to this thread.
    pub(super) fn redirect(
        fd: BorrowedFd<'_>,
        receiver: Receiver,
        signal: Signal,
        counters: &mut Counters,
    ) -> Result<(), Errno> {
        counters.count(Call::Fcntl);
        signal::set_receiver(fd, receiver)?;
        counters.count(Call::Fcntl);
        signal::set_signal(fd, signal)
    }

    /// Makes a file send what it sent before it was noted, to whom it sent it.
    pub(super) fn restore(&mut self, fd: BorrowedFd<'_>, counters: &mut Counters) -> Result<(), Errno> {
        let former = self.by_number.get_mut(index(fd.as_raw_fd())).and_then(Option::take);
        let Some(Former { owner, signal }) = former else {
            return Ok(());
        };
        counters.count(Call::Fcntl);
        signal::set_signal(fd, signal)?;
        counters.count(Call::Fcntl);
        match signal::set_owner(fd, owner) {
            // The former owner has ended since.
            Err(Errno::SRCH) => {
                counters.count(Call::Fcntl);
                signal::set_owner(fd, Owner::NONE)
            }
            outcome => outcome,
        }
    }
}
