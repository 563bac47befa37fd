//! One connection of the completion model: what it has in flight, and what follows when that has completed.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use c10k_http::{Ending, Machine, Stage, Step};
use c10k_sys::stream_ring::{SendId, StreamRing};

use crate::clock::Tick;
use crate::connection::Shared;
use crate::deadlines::Deadline;
use crate::waiting::Waiting;

/// Input kept while output is in flight; beyond it receiving is stopped until the output has gone.
const HELD: usize = 64 * 1024;

/// A connection.
#[derive(Debug)]
pub(crate) struct Peer {
    socket: OwnedFd,
    pub(crate) machine: Machine,
    /// The file of which something is unsent.
    pub(crate) file: Option<OwnedFd>,
    /// What is in flight towards the client, and what follows it.
    pub(crate) flight: Flight,
    pub(crate) next: Next,
    receive: Receive,
    pub(crate) life: Life,
    /// Whether the client has ended its half.
    ended: bool,
    /// Whether a request was received since the deadline was set.
    pub(crate) renewed: bool,
    waiting: Waiting,
    /// Bytes sent since the deadline was set.
    pub(crate) sent: u32,
    pub(crate) deadline: Deadline,
    /// Replies of which something is unsent.
    pub(crate) owed: u64,
    /// Input that came while output was in flight; empty, and without memory, nearly always.
    held: Vec<u8>,
}

/// Output in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flight {
    None,
    /// A piece of a file is being read.
    Reading,
    Sending(SendId),
}

/// What follows a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// More input, held or yet to come.
    Input,
    /// What the machine holds.
    Feed,
    Close(Ending),
}

/// The multishot receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receive {
    Off,
    Armed,
    /// Cancelled, and not yet over.
    Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    /// Its sending half is closed; input is dropped.
    Lingering,
    /// Over, but for requests in flight.
    Closing,
}

impl Peer {
    pub(crate) fn new(socket: OwnedFd) -> Peer {
        Peer {
            socket,
            machine: Machine::new(),
            file: None,
            flight: Flight::None,
            next: Next::Input,
            receive: Receive::Off,
            life: Life::Open,
            ended: false,
            renewed: false,
            waiting: Waiting::New,
            sent: 0,
            deadline: Deadline::default(),
            owed: 0,
            held: Vec::new(),
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Whether output is in flight.
    pub(crate) fn is_busy(&self) -> bool {
        self.flight != Flight::None
    }

    /// Takes input: feeds it, keeps it while output is in flight, or drops it.
    pub(crate) fn take(&mut self, bytes: &[u8], shared: &mut Shared) -> Option<Step> {
        match self.life {
            Life::Open if self.is_busy() => {
                self.held.extend_from_slice(bytes);
                None
            }
            Life::Open => Some(self.machine.feed(bytes, &shared.host, &mut shared.output)),
            Life::Lingering | Life::Closing => None,
        }
    }

    /// Takes what was held; `None` where there is nothing.
    pub(crate) fn take_held(&mut self, shared: &mut Shared) -> Option<Step> {
        if self.held.is_empty() {
            return None;
        }
        let held = std::mem::take(&mut self.held);
        Some(self.machine.feed(&held, &shared.host, &mut shared.output))
    }

    /// The input is over.
    pub(crate) fn end_input(&mut self) {
        self.ended = true;
    }

    /// The receive has completed for the last time.
    pub(crate) fn receive_over(&mut self) {
        self.receive = Receive::Off;
    }

    /// Whether nothing more will come of it: the input is over, and all of it was answered.
    pub(crate) fn is_done(&self) -> bool {
        self.ended && !self.is_busy() && self.held.is_empty()
    }

    /// Sees to it that input is received, or is not while too much of it waits for output to go.
    pub(crate) fn tend(&mut self, number: u32, ring: &mut StreamRing) {
        match self.receive {
            Receive::Off if !self.ended && self.held.is_empty() => {
                self.receive = Receive::Armed;
                ring.receive(self.fd(), number);
            }
            Receive::Armed if self.held.len() >= HELD => {
                self.receive = Receive::Ending;
                ring.cancel_receive(number);
            }
            _ => {}
        }
    }

    /// Ends what is in flight, and gives memory back.
    pub(crate) fn close(&mut self, number: u32, ring: &mut StreamRing) {
        self.life = Life::Closing;
        self.held = Vec::new();
        self.machine = Machine::new();
        if self.receive == Receive::Armed {
            self.receive = Receive::Ending;
            ring.cancel_receive(number);
        }
        if let Flight::Sending(send) = self.flight {
            ring.cancel_send(send);
        }
    }

    /// Whether the socket may be closed: the kernel holds it no more.
    pub(crate) fn is_over(&self) -> bool {
        self.life == Life::Closing && !self.is_busy() && self.receive == Receive::Off
    }

    /// Sets the deadline that fits what the connection waits for now.
    pub(crate) fn settle(&mut self, shared: &Shared) {
        let waiting = self.waiting(shared.host.stage);
        if waiting != self.waiting || waiting == Waiting::Idle || std::mem::take(&mut self.renewed) {
            self.renewed = false;
            self.waiting = waiting;
            self.sent = 0;
            self.deadline.at = shared.clock.now().after(waiting.patience(&shared.deadlines));
        }
    }

    /// What it waited for when the deadline was set.
    pub(crate) fn waited_for(&self) -> Waiting {
        self.waiting
    }

    /// Begins the time for a reply anew.
    pub(crate) fn renew(&mut self, shared: &Shared) {
        self.renewed = true;
        self.settle(shared);
    }

    /// Since when, as its deadline tells it, the connection could be closed without harm to anything in progress; `None`
    /// where it could not, or has been idle for too short a time.
    pub(crate) fn spare_since(&self, shared: &Shared) -> Option<Tick> {
        let spare_before = shared
            .clock
            .now()
            .after(shared.deadlines.idle.saturating_sub(shared.deadlines.spare));
        let idle = self.waiting == Waiting::Idle && !self.is_busy() && self.life == Life::Open;
        (idle && self.deadline.at <= spare_before).then_some(self.deadline.at)
    }

    fn waiting(&self, stage: Stage) -> Waiting {
        match self.life {
            Life::Open if self.is_busy() => Waiting::Send,
            Life::Open => Waiting::of(self.machine.phase(), stage),
            Life::Lingering | Life::Closing => Waiting::Linger,
        }
    }
}
