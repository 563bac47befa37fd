//! The listener of a ring: accepts in flight, as many as there is room for.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use c10k_sys::poll_ring::Shots;
use c10k_sys::stream_ring::StreamRing;
use rustix::io::ioctl_fionbio;

use crate::clock::Tick;
use crate::config::AcceptPolicy;
use crate::listener::{self, Accepted};

/// The number of accepts and of the listener's poll.
pub(crate) const LISTENER: u32 = 0;

/// Room for fewer connections than this is filled by accepts for one connection each: an accept for many takes whoever is
/// in the backlog (4,096), before anybody can say that it is enough.
const AMPLE: usize = 8192;

/// The most accepts for one connection in flight.
const SINGLES: usize = 64;

/// How long nothing is accepted after descriptors or memory were found used up, unless a connection ends before.
const BACK_OFF: Duration = Duration::from_millis(100);

/// What is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepts {
    /// So many, for one connection each.
    Singles(usize),
    /// One for all that come.
    Multishot,
    /// The same, cancelled and not yet over.
    Ending,
}

#[derive(Debug)]
pub(crate) struct Gate {
    listener: Option<OwnedFd>,
    accepts: Accepts,
    policy: AcceptPolicy,
    /// Whether a poll says when somebody waits for want of room.
    watching: bool,
    /// Nothing is accepted before.
    paused: Option<Tick>,
    closing: bool,
}

impl Gate {
    /// Over a listener, which is made to block: a ring does not wait for what does not.
    pub(crate) fn open(listener: OwnedFd, policy: AcceptPolicy) -> rustix::io::Result<Gate> {
        ioctl_fionbio(&listener, false)?;
        Ok(Gate {
            listener: Some(listener),
            accepts: Accepts::Singles(0),
            policy,
            watching: false,
            paused: None,
            closing: false,
        })
    }

    /// An accept has completed.
    pub(crate) fn accepted(&mut self, more: bool) {
        self.accepts = match self.accepts {
            same if more => same,
            Accepts::Singles(count) => Accepts::Singles(count.saturating_sub(1)),
            Accepts::Multishot | Accepts::Ending => Accepts::Singles(0),
        };
    }

    /// Nothing is to be accepted for a while.
    pub(crate) fn pause(&mut self, now: Tick) {
        self.paused = Some(now.after(BACK_OFF));
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// A connection has ended.
    pub(crate) fn unpause(&mut self) {
        self.paused = None;
    }

    /// The poll has completed.
    pub(crate) fn knocked(&mut self) {
        self.watching = false;
    }

    /// Has as many accepts in flight as there is room for.
    pub(crate) fn tend(&mut self, room: usize, now: Tick, ring: &mut StreamRing) {
        let Some(listener) = self.listener.as_ref().map(AsRawFd::as_raw_fd) else {
            return;
        };
        if self.closing {
            return;
        }
        if self.paused.is_some_and(|until| now < until) {
            return;
        }
        self.paused = None;
        let many = self.policy == AcceptPolicy::All && room >= AMPLE;
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
        let most = usize::try_from(self.policy.most()).unwrap_or(SINGLES);
        let wanted = room.min(most).min(SINGLES);
        for _ in count..wanted {
            ring.accept(listener, Shots::One, LISTENER);
        }
        self.accepts = Accepts::Singles(count.max(wanted));
        if wanted == 0 {
            self.watch(ring);
        }
    }

    /// Has a poll say when somebody waits.
    pub(crate) fn watch(&mut self, ring: &mut StreamRing) {
        if let (Some(listener), false) = (&self.listener, self.watching || self.closing) {
            self.watching = true;
            ring.await_input(listener.as_raw_fd(), LISTENER);
        }
    }

    /// Begins to close: ends what is in flight.
    pub(crate) fn start_close(&mut self, ring: &mut StreamRing) {
        if self.closing {
            return;
        }
        self.closing = true;
        ring.cancel_accepts(LISTENER);
        if self.watching {
            ring.cancel_poll(LISTENER);
        }
    }

    /// Whether the listener is closed, or can be: [`finish`](Self::finish).
    pub(crate) fn is_closing(&self) -> bool {
        self.closing && self.listener.is_some()
    }

    /// Takes what is left in the backlog and closes the listener, when nothing is in flight any more.
    pub(crate) fn finish(&mut self, mut admit: impl FnMut(OwnedFd)) {
        if self.accepts != Accepts::Singles(0) || self.watching {
            return;
        }
        let Some(listener) = self.listener.take() else { return };
        // Where it cannot be made not to block, the backlog ends with it.
        if ioctl_fionbio(&listener, true).is_err() {
            return;
        }
        while let Accepted::Connection(connection) = listener::accept_blocking(&listener) {
            admit(connection);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.listener.is_none()
    }
}
