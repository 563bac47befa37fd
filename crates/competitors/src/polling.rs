//! The crate `polling`.

use std::{io, num::NonZeroUsize, os::fd::BorrowedFd, time::Duration};

/// `polling` in its edge mode.
pub struct Polling<'fd> {
    poller: polling::Poller,
    events: polling::Events,
    watched: Vec<BorrowedFd<'fd>>,
}

impl<'fd> Polling<'fd> {
    /// Opens a poller with these sources. A wait returns at most `batch` events.
    ///
    /// # Errors
    /// Those of `epoll_create1(2)` and `epoll_ctl(2)`.
    pub fn open(watched: impl IntoIterator<Item = BorrowedFd<'fd>>, batch: NonZeroUsize) -> io::Result<Self> {
        let mut opened = Self {
            poller: polling::Poller::new()?,
            events: polling::Events::with_capacity(batch),
            watched: Vec::new(),
        };
        for (index, fd) in watched.into_iter().enumerate() {
            let event = polling::Event::readable(index);
            // SAFETY: the source is open for 'fd, which outlives this value, and `drop` removes it from the poller. A value
            // that is leaked is never polled again.
            unsafe { opened.poller.add_with_mode(&fd, event, polling::PollMode::Edge) }?;
            opened.watched.push(fd);
        }
        Ok(opened)
    }

    /// Waits once, without a limit if `timeout` is `None`, and calls `handle` with the position of each ready source.
    ///
    /// # Errors
    /// Those of `epoll_wait(2)`.
    pub fn turn(&mut self, timeout: Option<Duration>, mut handle: impl FnMut(usize)) -> io::Result<()> {
        self.events.clear();
        self.poller.wait(&mut self.events, timeout)?;
        self.events.iter().for_each(|event| handle(event.key));
        Ok(())
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        for fd in &self.watched {
            // This fails only if the source is not in the poller.
            let _ = self.poller.delete(fd);
        }
    }
}
