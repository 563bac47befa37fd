//! Waking a waiting set from elsewhere.

use crate::{DeclareError, WakerError};
use rustix::{event::EventfdFlags, io::Errno, pipe::PipeFlags};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Wakes the [`InterestSet`](crate::InterestSet) that it came from, from any thread. Clones wake the same set.
///
/// Wakings coalesce: any number of them before the set looks is one, and costs one system call in all. What a thread
/// did before it called [`wake`](Self::wake) is visible to the thread whose wait says [`woken`](crate::Events::woken).
/// A waker may outlive its set; it then wakes nobody.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Set from a waking until the set has heard it.
    pending: AtomicBool,
    /// Read by the set alone. Here, so that the writer never writes to a pipe that nobody can read.
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Waker {
    /// Makes the set's current wait return, or its next one if it is not waiting.
    ///
    /// # Errors
    /// [`WakerError::Wake`] where the kernel refuses the write, which it has no reason to.
    pub fn wake(&self) -> Result<(), WakerError> {
        if self.shared.pending.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // Eight bytes are what an eventfd wants; a pipe takes them as well.
        loop {
            match rustix::io::write(&self.shared.writer, &1_u64.to_ne_bytes()) {
                // A full channel is readable, which is all that is wanted.
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(WakerError::Wake(errno)),
            }
        }
    }
}

/// Which kind of file carries the wakings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelKind {
    Eventfd,
    /// For mechanisms that need a file which sends signals; an eventfd has no `fasync`.
    Pipe,
}

/// The receiving end, as the set has it.
#[derive(Debug)]
pub(crate) struct Channel {
    waker: Waker,
}

impl Channel {
    pub(crate) fn open(kind: ChannelKind) -> Result<Self, WakerError> {
        let failed = |call| move |errno| WakerError::Open(DeclareError::System { call, errno });
        let (reader, writer) = match kind {
            ChannelKind::Eventfd => {
                let reader = rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
                    .map_err(failed("eventfd2"))?;
                let writer = rustix::io::fcntl_dupfd_cloexec(&reader, 0).map_err(failed("fcntl"))?;
                (reader, writer)
            }
            ChannelKind::Pipe => {
                rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).map_err(failed("pipe2"))?
            }
        };
        let shared = Arc::new(Shared {
            pending: AtomicBool::new(false),
            reader,
            writer,
        });
        Ok(Self {
            waker: Waker { shared },
        })
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Empties the channel, so that the next waking is heard again. The order matters: were the mark taken away first,
    /// the read could swallow the byte of a later waking whose mark then stays for ever.
    pub(crate) fn drain(&self) {
        let mut bytes = [0; 64];
        // An empty channel (EAGAIN) is drained too; an interrupted read leaves it readable for the next wait.
        let _ = rustix::io::retry_on_intr(|| rustix::io::read(self, &mut bytes));
        self.waker.shared.pending.swap(false, Ordering::AcqRel);
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.shared.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakings_before_the_set_looks_cost_one_write() {
        for kind in [ChannelKind::Eventfd, ChannelKind::Pipe] {
            let channel = Channel::open(kind).expect("descriptors are left");
            for _ in 0..2 {
                for _ in 0..100 {
                    channel.waker().wake().expect("waking");
                }
                // An eventfd adds up what is written to it, a pipe keeps it.
                let mut bytes = [0; 64];
                let count = rustix::io::read(&channel, &mut bytes);
                assert_eq!((count, bytes[..8] == 1_u64.to_ne_bytes()), (Ok(8), true), "{kind:?}");
                channel.drain();
            }
        }
    }
}
