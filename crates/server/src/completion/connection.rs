//! One connection on a ring: what it has in flight, and what follows when that has completed.

use std::os::fd::OwnedFd;

use c10k_http::{Ending, Step};
use c10k_sys::stream_ring::{Direct, SendId, Socket, StreamRing, Target};
use rustix::net::{Shutdown, shutdown};

use super::work::RingWork;
use crate::core::{ConnectionCore, Output, WorkerCore};

/// The most input that is held while output is in flight. Beyond it, receiving stops until the output is sent.
const MAX_HELD: usize = 64 * 1024;

/// A connection.
#[derive(Debug)]
pub(super) struct RingConnection {
    socket: Socket,
    pub(super) core: ConnectionCore,
    /// The file of which a part has not been sent.
    pub(super) file: Option<OwnedFd>,
    /// Work in flight.
    pub(super) work: Option<Box<RingWork>>,
    /// What is in flight besides the receive request, and what follows output.
    pub(super) flight: Flight,
    pub(super) next: Next,
    receive: Receive,
    /// Whether the end of the sending half is in flight.
    shutting_down: bool,
    closing: bool,
    /// Whether the client has closed its half.
    ended: bool,
    /// Input that came while output was in flight. Nearly always empty, and without memory.
    held: Vec<u8>,
}

/// Output or work in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flight {
    None,
    /// A piece of a file is being read.
    Reading,
    Sending(SendId),
    /// Work that the connection waits for.
    Working,
    /// The close of the socket. Nothing else is in flight.
    Closing,
}

/// What follows when the output is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Feed the machine with input.
    Input,
    /// Feed it with nothing: input is waiting inside.
    Feed,
    /// Start the work that the machine asks for.
    Work,
    Close(Ending),
}

/// The multishot receive request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receive {
    Off,
    Armed,
    /// Cancelled, but not completed yet.
    Ending,
}

impl RingConnection {
    pub(super) fn new(socket: Socket) -> RingConnection {
        RingConnection {
            socket,
            core: ConnectionCore::new(),
            file: None,
            work: None,
            flight: Flight::None,
            next: Next::Input,
            receive: Receive::Off,
            shutting_down: false,
            closing: false,
            ended: false,
            held: Vec::new(),
        }
    }

    pub(super) fn target(&self) -> Target {
        self.socket.target()
    }

    /// Its place in the ring's table, if it has one.
    pub(super) fn direct(&self) -> Option<Direct> {
        match self.socket {
            Socket::Direct(place) => Some(place),
            Socket::Open(_) => None,
        }
    }

    /// Whether output or work is in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.flight != Flight::None
    }

    /// Whether it is over, except for requests in flight.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether there is nothing to lose if it is closed.
    pub(super) fn is_evictable(&self) -> bool {
        !self.closing && !self.is_busy()
    }

    /// Takes input: feeds it, holds it while output is in flight, or drops it.
    pub(super) fn take(&mut self, bytes: &[u8], worker: &mut WorkerCore) -> Option<Step> {
        // What comes behind a request after which the connection ends is dropped.
        if self.closing || self.core.is_lingering() || (self.is_busy() && matches!(self.next, Next::Close(_))) {
            return None;
        }
        if self.is_busy() {
            self.held.extend_from_slice(bytes);
            return None;
        }
        Some(self.core.feed(bytes, worker))
    }

    /// Feeds the input that was held, if there is any.
    pub(super) fn take_held(&mut self, worker: &mut WorkerCore) -> Option<Step> {
        if self.held.is_empty() {
            return None;
        }
        let held = std::mem::take(&mut self.held);
        Some(self.core.feed(&held, worker))
    }

    /// Drops the input that was held, since no request is read any more.
    pub(super) fn drop_held(&mut self) {
        self.held = Vec::new();
    }

    /// The client has closed its half.
    pub(super) fn end_input(&mut self) {
        self.ended = true;
    }

    /// The receive request is not in flight any more.
    pub(super) fn receive_ended(&mut self) {
        self.receive = Receive::Off;
    }

    /// Whether the input is over and all of it was answered.
    pub(super) fn is_done(&self) -> bool {
        self.ended && !self.is_busy() && self.held.is_empty()
    }

    /// Keeps a receive request in flight, unless too much input is held.
    pub(super) fn maintain(&mut self, number: u32, ring: &mut StreamRing) {
        match self.receive {
            Receive::Off if !self.ended && self.held.is_empty() => {
                self.receive = Receive::Armed;
                ring.receive(self.target(), number);
            }
            Receive::Armed if self.held.len() >= MAX_HELD => {
                self.receive = Receive::Ending;
                ring.cancel_receive(number);
            }
            _ => {}
        }
    }

    /// Cancels what is in flight, and frees memory.
    pub(super) fn close(&mut self, number: u32, ring: &mut StreamRing) {
        self.closing = true;
        self.held = Vec::new();
        match &self.work {
            Some(_) => self.core.close_during_work(),
            None => self.core.close(),
        }
        if self.receive == Receive::Armed {
            self.receive = Receive::Ending;
            ring.cancel_receive(number);
        }
        if let Flight::Sending(send) = self.flight {
            ring.cancel_send(send);
        }
        if let Some(work) = &self.work {
            work.cancel(ring);
        }
    }

    /// Ends the sending half: by a call, or by a request if there is no descriptor.
    pub(super) fn shut_down(&mut self, number: u32, ring: &mut StreamRing) {
        match &self.socket {
            // This fails only if the connection is already gone, which the next completion reports too.
            Socket::Open(socket) => drop(shutdown(socket, Shutdown::Write)),
            Socket::Direct(place) => {
                self.shutting_down = true;
                ring.shutdown(*place, number);
            }
        }
    }

    /// The end of the sending half is not in flight any more.
    pub(super) fn shut_down_ended(&mut self) {
        self.shutting_down = false;
    }

    /// Whether the socket may be closed, since no request refers to it.
    pub(super) fn is_over(&self) -> bool {
        self.closing && !self.is_busy() && !self.shutting_down && self.receive == Receive::Off
    }

    /// Sets the deadline for what the connection waits for now.
    pub(super) fn renew_deadline(&mut self, worker: &WorkerCore) {
        let sends = matches!(self.flight, Flight::Reading | Flight::Sending(_));
        self.core.renew_deadline(Output::pending_if(sends), worker);
    }
}
