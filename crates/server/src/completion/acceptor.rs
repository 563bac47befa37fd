//! Accepting on a ring: accept requests in flight, as many as there is room for.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use c10k_sys::poll_ring::Shots;
use c10k_sys::stream_ring::StreamRing;
use rustix::io::ioctl_fionbio;

use crate::accept::{Accepted, accept_blocking};
use crate::config::AcceptPolicy;

/// The number of the accept requests, and of the poll of the listener.
pub(super) const LISTENER: u32 = 0;

/// With room for fewer connections than this, each accept request is for one connection: a multishot accept takes the whole
/// backlog (4,096) before it can be cancelled.
const AMPLE_ROOM: usize = 8192;

/// The most requests for one connection that are in flight.
const MAX_SINGLES: usize = 64;

/// The accept requests in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepts {
    /// That many, for one connection each.
    Singles(usize),
    /// One, for all connections to come.
    Multishot,
    /// The same, cancelled but not completed yet.
    Ending,
}

/// The listener of a ring, and what is in flight on it.
#[derive(Debug)]
pub(super) struct RingAcceptor {
    listener: Option<OwnedFd>,
    accepts: Accepts,
    policy: AcceptPolicy,
    /// Whether a poll is in flight, which completes when a connection waits in the backlog.
    watching: bool,
    closing: bool,
}

impl RingAcceptor {
    /// Takes a listener and makes it blocking: on a non-blocking one, an accept request completes at once.
    pub(super) fn open(listener: OwnedFd, policy: AcceptPolicy) -> rustix::io::Result<RingAcceptor> {
        ioctl_fionbio(&listener, false)?;
        Ok(RingAcceptor {
            listener: Some(listener),
            accepts: Accepts::Singles(0),
            policy,
            watching: false,
            closing: false,
        })
    }

    /// An accept request has completed; `more` says whether it stays in flight.
    pub(super) fn on_accept(&mut self, more: bool) {
        self.accepts = match self.accepts {
            same if more => same,
            Accepts::Singles(count) => Accepts::Singles(count.saturating_sub(1)),
            Accepts::Multishot | Accepts::Ending => Accepts::Singles(0),
        };
    }

    /// The poll has completed: a connection waits in the backlog.
    pub(super) fn on_backlog(&mut self) {
        self.watching = false;
    }

    /// Keeps as many accept requests in flight as there is room for.
    pub(super) fn maintain(&mut self, room: usize, ring: &mut StreamRing) {
        let Some(listener) = self.listener.as_ref().map(AsRawFd::as_raw_fd) else {
            return;
        };
        if self.closing {
            return;
        }
        let many = self.policy == AcceptPolicy::All && room >= AMPLE_ROOM;
        match self.accepts {
            Accepts::Singles(0) if many => {
                self.accepts = Accepts::Multishot;
                ring.accept(listener, Shots::Many, LISTENER);
            }
            Accepts::Multishot if !many => {
                self.accepts = Accepts::Ending;
                ring.cancel_accepts(LISTENER);
            }
            Accepts::Singles(count) if !many => self.arm_singles(listener, count, room, ring),
            _ => {}
        }
    }

    fn arm_singles(&mut self, listener: RawFd, count: usize, room: usize, ring: &mut StreamRing) {
        let most = usize::try_from(self.policy.most()).unwrap_or(MAX_SINGLES);
        let wanted = room.min(most).min(MAX_SINGLES);
        for _ in count..wanted {
            ring.accept(listener, Shots::One, LISTENER);
        }
        self.accepts = Accepts::Singles(count.max(wanted));
        if wanted == 0 {
            self.watch(ring);
        }
    }

    /// Polls the listener, so that [`on_backlog`](Self::on_backlog) is called when a connection waits.
    pub(super) fn watch(&mut self, ring: &mut StreamRing) {
        if let (Some(listener), false) = (&self.listener, self.watching || self.closing) {
            self.watching = true;
            ring.await_input(listener.as_raw_fd(), LISTENER);
        }
    }

    /// Starts to close the listener: cancels what is in flight.
    pub(super) fn start_close(&mut self, ring: &mut StreamRing) {
        if self.closing {
            return;
        }
        self.closing = true;
        ring.cancel_accepts(LISTENER);
        if self.watching {
            ring.cancel_poll(LISTENER);
        }
    }

    /// Whether [`finish_close`](Self::finish_close) is to be called.
    pub(super) fn is_closing(&self) -> bool {
        self.closing && self.listener.is_some()
    }

    /// When nothing is in flight any more, accepts what is left in the backlog and closes the listener.
    pub(super) fn finish_close(&mut self, mut take: impl FnMut(OwnedFd)) {
        if self.accepts != Accepts::Singles(0) || self.watching {
            return;
        }
        let Some(listener) = self.listener.take() else { return };
        // If it cannot be made non-blocking, the backlog is lost.
        if ioctl_fionbio(&listener, true).is_err() {
            return;
        }
        while let Accepted::Connection(connection) = accept_blocking(&listener) {
            take(connection);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.listener.is_none()
    }
}
