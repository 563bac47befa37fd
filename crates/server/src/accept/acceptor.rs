//! A thread or process that accepts connections for others, until the server is asked to stop.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use super::batch::{Accept, Shortage, accept_batch};
use super::listener::{self, Accepted};
use crate::context::ServerContext;
use crate::stats::WorkerStats;
use crate::{ServeError, Stop};

/// How often a sink that needs it is polled.
const POLLING: Duration = Duration::from_millis(100);

/// Where an acceptor's connections go.
pub(crate) trait AcceptSink {
    /// Takes a connection, whose calls block.
    ///
    /// # Errors
    /// What is used up, so that it cannot be served. It is closed.
    fn take(&mut self, connection: OwnedFd, stats: &mut WorkerStats) -> Result<(), Shortage>;

    /// Called after each batch, and ten times a second while [`needs_polling`](AcceptSink::needs_polling).
    fn maintain(&mut self) {}

    /// Whether [`maintain`](AcceptSink::maintain) must be called even when nobody connects.
    fn needs_polling(&self) -> bool {
        false
    }
}

/// Accepts for a sink. Its counters are those of the first worker.
pub(crate) struct Acceptor<'a, S> {
    pub(crate) listener: OwnedFd,
    pub(crate) server: &'a ServerContext,
    pub(crate) sink: S,
    /// How many connections may be open at once.
    pub(crate) max_connections: usize,
    /// What is reported when so many are.
    pub(crate) at_maximum: fn(usize) -> Shortage,
    pub(crate) stats: WorkerStats,
}

/// What an acceptor waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    Connection,
    /// The end of a connection.
    Room,
}

impl<S: AcceptSink> Acceptor<'_, S> {
    /// Accepts until the stop is requested; then accepts what is left in the backlog, and closes the listener. Returns the
    /// sink.
    pub(crate) fn run(mut self, stop: &Stop) -> Result<S, ServeError> {
        while !stop.is_requested() {
            let waits_for = match accept_batch(&mut self, u32::MAX) {
                Ok(_) => WaitsFor::Connection,
                Err(shortage) => {
                    self.server.stats.report_shortage(&shortage);
                    self.server.stats.await_end_of_connection();
                    // A connection may have ended before.
                    match accept_batch(&mut self, u32::MAX) {
                        Ok(_) => WaitsFor::Connection,
                        Err(_) => WaitsFor::Room,
                    }
                }
            };
            self.maintain();
            self.wait(stop, waits_for)?;
        }
        // Before the listener ends: a client that finds it closed gets replies that close their connections.
        self.server.stats.start_drain();
        // Connections for which there is no room now are reset by the end of the listener.
        let _ = accept_batch(&mut self, u32::MAX);
        // Children may hold copies of the listener. This ends it for all of them.
        let _ = shutdown(&self.listener, Shutdown::Both);
        self.maintain();
        Ok(self.sink)
    }

    fn maintain(&mut self) {
        self.sink.maintain();
        self.server.stats.add(0, &mut self.stats);
    }

    /// Waits for a connection, or for room, or for the stop. If there is no room, it waits no longer than the back-off: what
    /// is used up may belong to others.
    fn wait(&mut self, stop: &Stop, waits_for: WaitsFor) -> Result<(), ServeError> {
        let source = match waits_for {
            WaitsFor::Connection => self.listener.as_fd(),
            WaitsFor::Room => self.server.stats.connection_ended(),
        };
        let mut watched = [
            PollFd::from_borrowed_fd(stop.event()?, PollFlags::IN),
            PollFd::from_borrowed_fd(source, PollFlags::IN),
        ];
        let back_off = self.server.config.deadlines.back_off;
        let limit = match waits_for {
            WaitsFor::Connection if !self.sink.needs_polling() => None,
            WaitsFor::Connection => Some(POLLING),
            WaitsFor::Room if self.sink.needs_polling() => Some(back_off.min(POLLING)),
            WaitsFor::Room => Some(back_off),
        };
        let timeout = limit.and_then(|limit| Timespec::try_from(limit).ok());
        self.stats.calls.poll += 1;
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            // poll(2): the kernel has no memory, which may change.
            Err(Errno::NOMEM | Errno::AGAIN) => {
                std::thread::sleep(back_off);
                Ok(())
            }
            Err(errno) => Err(ServeError::System {
                call: "poll",
                cause: errno.into(),
            }),
        }
    }
}

impl<S: AcceptSink> Accept for Acceptor<'_, S> {
    type Connection = OwnedFd;

    fn room(&mut self) -> Result<(), Shortage> {
        if self.server.stats.open_connections() < self.max_connections {
            Ok(())
        } else {
            Err((self.at_maximum)(self.max_connections))
        }
    }

    fn accept(&mut self) -> Accepted {
        self.stats.calls.accept4 += 1;
        listener::accept_blocking(&self.listener)
    }

    fn take(&mut self, connection: OwnedFd) -> Result<(), Shortage> {
        self.sink.take(connection, &mut self.stats)
    }

    fn stats(&mut self) -> &mut WorkerStats {
        &mut self.stats
    }
}
