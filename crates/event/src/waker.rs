//! Waking a waiting set from another thread.

use crate::{DeclareError, Interest, Trigger, WakerError, Watch, WrongContext};
use c10k_sys::fork::Process;
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
/// Wake-ups are merged: any number of calls before the set's next wait is one wake-up and costs one system call. What a
/// thread did before it called [`wake`](Self::wake) is visible to the thread whose wait reports
/// [`woken`](crate::Events::woken). A waker may outlive its set; it then has no effect. In a forked child the wakers of the
/// parent fail with [`WrongContext::Process`].
#[derive(Clone, Debug)]
pub struct Waker {
    channel: Arc<Files>,
}

#[derive(Debug)]
struct Files {
    /// The process of the set. In a forked child `pending` is a copy that nobody clears.
    process: Process,
    /// Set from a wake-up until the set has handled it.
    pending: AtomicBool,
    /// Read by the set alone. Kept open here, so that a write to the pipe never fails with `EPIPE`.
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Waker {
    /// Makes the set's current wait return, or its next one if it is not waiting.
    ///
    /// This may be called in a signal handler: it is an atomic exchange and at most one `write`, takes no lock, allocates
    /// nothing and does not change `errno`. (Cloning and dropping a waker may not.)
    ///
    /// # Errors
    /// [`WakerError::WrongContext`] in a forked child; [`WakerError::Wake`] if the kernel refuses the write, which is not
    /// expected. The next call then tries again.
    pub fn wake(&self) -> Result<(), WakerError> {
        if !self.channel.process.is_this() {
            return Err(WakerError::WrongContext(WrongContext::Process));
        }
        if self.channel.pending.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // An eventfd takes exactly eight bytes; a pipe takes them as well.
        loop {
            match rustix::io::write(&self.channel.writer, &1_u64.to_ne_bytes()) {
                // A full channel is readable, which is enough.
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    // So that the next call tries again.
                    self.channel.pending.store(false, Ordering::Release);
                    return Err(WakerError::Wake(errno));
                }
            }
        }
    }
}

/// How the channel is declared to mechanisms with the level trigger.
pub(crate) const WAKER_WATCH: Watch = Watch::new(Interest::READABLE, Trigger::Level);

/// The kind of file that carries wake-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelKind {
    Eventfd,
    /// For mechanisms that need a file that sends signals; an eventfd has no `fasync`.
    Pipe,
}

/// The receiving end, which the set holds.
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
        let process = Process::this().map_err(failed("pthread_atfork"))?;
        let channel = Arc::new(Files {
            process,
            pending: AtomicBool::new(false),
            reader,
            writer,
        });
        Ok(Self {
            waker: Waker { channel },
        })
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Empties the channel, so that the next wake-up is reported again. The order matters: if `pending` was cleared first,
    /// the read could consume the byte of a later wake-up, and `pending` would stay set for ever.
    pub(crate) fn drain(&self) -> Result<(), Errno> {
        let mut bytes = [0; 64];
        match rustix::io::retry_on_intr(|| rustix::io::read(self, &mut bytes)) {
            // An empty channel needs no reading.
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(errno) => return Err(errno),
        }
        self.waker.channel.pending.swap(false, Ordering::AcqRel);
        Ok(())
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.channel.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_ups_before_the_next_wait_cost_one_write() {
        for kind in [ChannelKind::Eventfd, ChannelKind::Pipe] {
            let channel = Channel::open(kind).expect("descriptors are left");
            for _ in 0..2 {
                for _ in 0..100 {
                    channel.waker().wake().expect("the wake-up");
                }
                // An eventfd adds up what is written to it, a pipe queues it.
                let mut bytes = [0; 64];
                let count = rustix::io::read(&channel, &mut bytes);
                assert_eq!((count, bytes[..8] == 1_u64.to_ne_bytes()), (Ok(8), true), "{kind:?}");
                channel.drain().expect("the channel can be read");
            }
        }
    }
}
