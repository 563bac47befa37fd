//! The loop of the completion model, one in each of its workers: a ring, its connections, and what each has in flight.
//!
//! A connection has one multishot receive and at most one send in flight. Received bytes are fed to the machine from the
//! buffer that the kernel has put them into, which then goes back; while a send is in flight they are kept, and beyond a
//! limit receiving is cancelled until it has gone. A connection that is over has its requests cancelled, and its socket is
//! closed when the last of them has completed: the kernel holds the socket until then, and would end it late.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use c10k_http::{Ending, Stage, Step};
use c10k_sys::stream_ring::{self, Completion, Received, Shape, StreamRing};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use crate::clock::{Tick, spin};
use crate::connection::Shared;
use crate::deadlines::{Due, Wheel};
use crate::gate::{Gate, LISTENER};
use crate::ledger::Ledger;
use crate::peer::{Flight, Life, Next, Peer};
use crate::peers::{Key, Peers};
use crate::waiting::{self, Waiting};
use crate::{Config, ServeError, Stop, Submission, limits};

/// The number of the poll of the stop request.
const STOP: u32 = 1;

/// Completions taken between two looks at the clock.
const BATCH: usize = 1024;

/// Connections closed at once to make room, and how long until the next are.
const EVICTED: usize = 32;
const EVICTION_PAUSE: Duration = Duration::from_millis(100);

/// Output buffers kept for later replies, and the largest that is.
const SPARE: usize = 256;
const SPARE_BYTES: usize = 16 * 1024;

/// Bytes of a file that are read, and then sent, at a time.
const READ: usize = 64 * 1024;

/// How long the kernel's thread looks for requests before it sleeps.
const SQPOLL_IDLE_MS: u32 = 2;

/// The ring that a worker opens.
pub(crate) fn shape(submission: Submission) -> Shape {
    Shape {
        submissions: 512,
        completions: 4096,
        buffers: 512,
        buffer_size: 4096,
        submission: match submission {
            Submission::Enter => stream_ring::Submission::Enter,
            Submission::Sqpoll => stream_ring::Submission::KernelThread {
                idle_ms: SQPOLL_IDLE_MS,
            },
        },
    }
}

/// Runs a ring until `stop` is requested and everything in flight was answered, or the drain deadline has passed.
pub(crate) fn run(
    config: &Config,
    listener: OwnedFd,
    ledger: Arc<Ledger>,
    worker: usize,
    stop: &Stop,
) -> Result<(), ServeError> {
    let mut proactor = Proactor::open(config, listener, ledger, worker)?;
    proactor.ring.await_input(stop.event()?.as_raw_fd(), STOP);
    loop {
        proactor.turn(stop)?;
        if proactor.is_over() {
            proactor.report();
            return Ok(());
        }
    }
}

struct Proactor {
    /// Dropped first: its requests end before the sockets do.
    ring: StreamRing,
    peers: Peers,
    gate: Gate,
    shared: Shared,
    wheel: Wheel<Key>,
    ledger: Arc<Ledger>,
    worker: usize,
    max_connections: usize,
    /// Connections whose send was queued in this turn; most have sent by the next.
    sending: Vec<u32>,
    /// Output buffers for later.
    spare: Vec<Vec<u8>>,
    due: Vec<(Tick, Key)>,
    reported: Tick,
    /// No connection is closed to make room before.
    evicting: Tick,
    drained_at: Tick,
}

impl Proactor {
    fn open(config: &Config, listener: OwnedFd, ledger: Arc<Ledger>, worker: usize) -> Result<Proactor, ServeError> {
        let failed = |call| {
            move |errno: Errno| ServeError::System {
                call,
                cause: errno.into(),
            }
        };
        let ring = StreamRing::open(shape(config.submission)).map_err(failed("io_uring_setup"))?;
        Ok(Proactor {
            ring,
            peers: Peers::default(),
            gate: Gate::open(listener, config.accept).map_err(failed("ioctl"))?,
            shared: Shared::new(config),
            wheel: Wheel::new(),
            ledger,
            worker,
            max_connections: config.max_connections.unwrap_or_else(limits::room_for_connections),
            sending: Vec::new(),
            spare: Vec::new(),
            due: Vec::new(),
            reported: Tick(0),
            evicting: Tick(0),
            drained_at: Tick(u32::MAX),
        })
    }

    /// One wait and everything that follows from it.
    fn turn(&mut self, stop: &Stop) -> Result<(), ServeError> {
        let room = self.max_connections.saturating_sub(self.peers.len());
        self.gate.tend(room, self.shared.clock.now(), &mut self.ring);
        self.wait()?;
        self.shared.refresh();
        // Before the completions: once any worker has closed its listener, every reply of every worker says so.
        if stop.is_requested() {
            self.drain();
        }
        if self.shared.clock.now() > self.reported {
            self.report();
        }
        let sending = std::mem::take(&mut self.sending);
        let accepted = self.shared.tally.accepted;
        for _ in 0..BATCH {
            let Some(completion) = self.ring.pop() else { break };
            self.shared.tally.events += 1;
            self.complete(completion);
        }
        self.shared.tally.accept_turns += u64::from(self.shared.tally.accepted > accepted);
        for number in sending {
            if self.peers.get(number).is_some_and(|peer| peer.is_busy()) {
                self.settle(number);
            }
        }
        self.expire();
        if self.gate.is_closing() {
            self.finish_gate();
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let draining = self.shared.host.stage == Stage::Draining;
        let nobody = self.peers.len() == 0 && self.gate.is_closed();
        draining && (nobody || self.shared.clock.now() >= self.drained_at)
    }

    fn wait(&mut self) -> Result<(), ServeError> {
        self.shared.tally.overflows += u64::from(self.ring.overflowed());
        match self.ring.enter(Some(self.wheel.timeout())) {
            Ok(false) => Ok(()),
            Ok(true) | Err(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN) => {
                self.shared.tally.waits += 1;
                self.shared.tally.calls.io_uring_enter += 1;
                Ok(())
            }
            Err(errno) => Err(ServeError::System {
                call: "io_uring_enter",
                cause: errno.into(),
            }),
        }
    }

    fn complete(&mut self, completion: Completion) {
        match completion {
            Completion::Accepted { connection, more } => {
                self.gate.accepted(more);
                self.accepted(connection);
            }
            Completion::Received { data, outcome, more } => self.received(data, outcome, more),
            Completion::Sent {
                data,
                outcome,
                head,
                from,
            } => self.sent(data, outcome, head, from),
            Completion::Read { data, outcome, bytes } => self.read(data, outcome, bytes),
            Completion::Polled { data: LISTENER } => self.knocked(),
            // Every turn looks at the stop request.
            Completion::Polled { .. } => {}
        }
    }

    fn accepted(&mut self, connection: Result<OwnedFd, Errno>) {
        match connection {
            Ok(socket) => {
                self.ledger.opened();
                self.admit(socket);
            }
            // An accept takes a descriptor before it looks whether anybody is there.
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                self.gate.pause(self.shared.clock.now());
                self.gate.watch(&mut self.ring);
            }
            // The connection had gone, or the accept was cancelled.
            Err(_) => {}
        }
    }

    /// Somebody waits for want of room.
    fn knocked(&mut self) {
        self.gate.knocked();
        let room = self.max_connections.saturating_sub(self.peers.len());
        if self.shared.host.stage == Stage::Draining || (room > 0 && !self.gate.is_paused()) {
            return;
        }
        self.ledger.tell_shortage(if room == 0 {
            "the cap on connections is reached"
        } else {
            "accepting failed for want of descriptors or memory"
        });
        self.gate.pause(self.shared.clock.now());
        self.make_room();
    }

    fn admit(&mut self, socket: OwnedFd) {
        self.shared.tally.accepted += 1;
        let number = self.peers.insert(Peer::new(socket));
        self.tend(number);
        self.settle(number);
    }

    fn received(&mut self, number: u32, outcome: Result<Option<Received>, Errno>, more: bool) {
        let Some(peer) = self.peers.get(number) else {
            if let Ok(Some(received)) = outcome {
                self.ring.give_back(received);
            }
            return;
        };
        if !more {
            peer.receive_over();
        }
        match outcome {
            Ok(Some(received)) => {
                let before = self.shared.output.requests;
                let step = peer.take(self.ring.bytes(&received), &mut self.shared);
                peer.renewed |= self.shared.output.requests > before;
                self.ring.give_back(received);
                if let Some(step) = step {
                    self.go(number, step);
                }
            }
            Ok(None) => {
                peer.end_input();
                if peer.is_done() || peer.life == Life::Lingering {
                    self.close(number);
                }
            }
            // It ended for want of a buffer, or because it was cancelled; it is armed again where it is wanted.
            Err(Errno::NOBUFS | Errno::INTR | Errno::AGAIN | Errno::CANCELED) => {}
            Err(_) => self.close(number),
        }
        self.tend(number);
    }

    /// Does a step and what follows, until output is in flight or there is nothing to do.
    fn go(&mut self, number: u32, mut step: Step) {
        loop {
            match step {
                Step::Work(time) => spin(time),
                Step::Stats => self.report(),
                Step::Read | Step::Write | Step::Close(_) | Step::Open => {}
            }
            let Some(peer) = self.peers.get(number) else { return };
            let before = self.shared.output.requests;
            if step == Step::Open {
                (step, peer.file) = self.shared.open_file(&mut peer.machine);
                peer.renewed |= self.shared.output.requests > before;
                continue;
            }
            let Shared { host, output, .. } = &mut self.shared;
            step = match step {
                Step::Work(_) => peer.machine.feed(&[], host, output),
                Step::Stats => {
                    let body = serde_json::to_vec(&self.ledger.summary()).unwrap_or_default();
                    peer.machine.answer_stats(&body, host, output);
                    peer.machine.feed(&[], host, output)
                }
                Step::Read | Step::Write | Step::Close(_) | Step::Open => {
                    peer.next = match step {
                        Step::Close(ending) => Next::Close(ending),
                        Step::Write => Next::Feed,
                        _ => Next::Input,
                    };
                    peer.owed += std::mem::take(&mut output.replies);
                    if !output.bytes.is_empty() || peer.machine.owes() {
                        let empty = self.spare.pop().unwrap_or_default();
                        let head = std::mem::replace(&mut output.bytes, empty);
                        self.sending.push(number);
                        self.send(number, head, 0);
                        return;
                    }
                    match self.follow(number) {
                        Some(step) => step,
                        None => return self.settle(number),
                    }
                }
            };
            if let Some(peer) = self.peers.get(number) {
                peer.renewed |= self.shared.output.requests > before;
            }
        }
    }

    /// What follows when all output has gone; `None` where it is a wait.
    fn follow(&mut self, number: u32) -> Option<Step> {
        let peer = self.peers.get(number)?;
        match peer.next {
            Next::Feed => Some(peer.machine.feed(&[], &self.shared.host, &mut self.shared.output)),
            Next::Input => {
                let step = peer.take_held(&mut self.shared);
                if step.is_none() && peer.is_done() {
                    self.close(number);
                }
                step
            }
            Next::Close(Ending::Agreed) => {
                self.close(number);
                None
            }
            Next::Close(Ending::Lingering) => {
                self.start_linger(number);
                None
            }
        }
    }

    /// Queues a send of `head` from a byte on, and of the tail; or first a read of the piece of the file, which goes with
    /// what is in front of it.
    fn send(&mut self, number: u32, head: Vec<u8>, from: usize) {
        let Some(peer) = self.peers.get(number) else { return };
        let tail = peer.machine.tail();
        if let (Some(piece), Some(file), 0, []) = (peer.machine.piece(), &peer.file, from, tail) {
            let length = usize::try_from(piece.length).unwrap_or(READ).min(READ);
            peer.flight = Flight::Reading;
            return self.ring.read(file.as_raw_fd(), piece.offset, head, length, number);
        }
        peer.flight = Flight::Sending(self.ring.send(peer.fd(), head, from, tail, number));
    }

    /// A piece of a file was read: it is sent.
    fn read(&mut self, number: u32, outcome: Result<usize, Errno>, bytes: Vec<u8>) {
        let Some(peer) = self.peers.get(number) else { return };
        peer.flight = Flight::None;
        match outcome {
            _ if peer.life == Life::Closing => self.release(number),
            Ok(read @ 1..) => {
                peer.machine.piece_sent(read);
                peer.flight = Flight::Sending(self.ring.send(peer.fd(), bytes, 0, &[], number));
            }
            Err(Errno::INTR | Errno::AGAIN) => self.send(number, bytes, 0),
            // A file that has become shorter: the reply cannot be what its head says.
            Ok(0) | Err(_) => self.close(number),
        }
    }

    fn sent(&mut self, number: u32, outcome: Result<usize, Errno>, head: Vec<u8>, from: usize) {
        let Some(peer) = self.peers.get(number) else { return };
        peer.flight = Flight::None;
        if peer.life == Life::Closing {
            self.recycle(head);
            return self.release(number);
        }
        let taken = match outcome {
            Ok(taken) => taken,
            Err(Errno::INTR | Errno::AGAIN) => 0,
            Err(_) => {
                self.recycle(head);
                return self.close(number);
            }
        };
        let of_head = taken.min(head.len() - from);
        peer.sent = peer.sent.saturating_add(u32::try_from(taken).unwrap_or(u32::MAX));
        peer.machine.tail_sent(taken - of_head);
        if from + of_head < head.len() {
            return self.send(number, head, from + of_head);
        }
        if peer.machine.owes() {
            let mut empty = head;
            empty.clear();
            return self.send(number, empty, 0);
        }
        if !peer.machine.needs_file() {
            peer.file = None;
        }
        self.shared.tally.replies += std::mem::take(&mut peer.owed);
        self.recycle(head);
        let before = self.shared.output.requests;
        let step = self.follow(number);
        if let Some(peer) = self.peers.get(number) {
            peer.renewed |= self.shared.output.requests > before;
        }
        match step {
            Some(step) => self.go(number, step),
            None => self.settle(number),
        }
        self.tend(number);
    }

    /// Keeps an output buffer for later.
    fn recycle(&mut self, mut head: Vec<u8>) {
        if self.spare.len() < SPARE && head.capacity() <= SPARE_BYTES {
            head.clear();
            self.spare.push(head);
        }
    }

    fn start_linger(&mut self, number: u32) {
        let Some(peer) = self.peers.get(number) else { return };
        peer.life = Life::Lingering;
        self.shared.tally.calls.shutdown += 1;
        // Refused only where the connection is gone already, which the next completion tells as well.
        let _ = shutdown(peer.socket(), Shutdown::Write);
        if peer.is_done() {
            self.close(number);
        }
    }

    fn tend(&mut self, number: u32) {
        let Some(peer) = self.peers.get(number) else { return };
        if peer.life == Life::Closing {
            self.release(number);
        } else {
            peer.tend(number, &mut self.ring);
        }
    }

    /// Sets the deadline for what a connection waits for now.
    fn settle(&mut self, number: u32) {
        let Some(key) = self.peers.key(number) else { return };
        let Some(peer) = self.peers.get(number) else { return };
        peer.settle(&self.shared);
        self.wheel.schedule(key, &mut peer.deadline);
    }

    /// Begins to close a connection.
    fn close(&mut self, number: u32) {
        let Some(peer) = self.peers.get(number) else { return };
        if peer.life != Life::Closing {
            peer.close(number, &mut self.ring);
        }
        self.release(number);
    }

    /// Closes the socket of a connection that is over and has nothing in flight.
    fn release(&mut self, number: u32) {
        if self.peers.get(number).is_some_and(|peer| peer.is_over()) {
            drop(self.peers.remove(number));
            self.ledger.closed();
            self.shared.tally.calls.close += 1;
            self.gate.unpause();
        }
    }

    fn expire(&mut self) {
        let now = self.shared.clock.now();
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(now, &mut due);
        for (tick, key) in due.drain(..) {
            if self.peers.key(key.number) != Some(key) {
                continue;
            }
            let Some(peer) = self.peers.get(key.number) else {
                continue;
            };
            if self.wheel.judge(tick, key, &mut peer.deadline) == Due::Passed {
                self.expired(key.number);
            }
        }
        self.due = due;
    }

    /// A deadline has passed.
    fn expired(&mut self, number: u32) {
        let Some(peer) = self.peers.get(number) else { return };
        match peer.waited_for() {
            _ if peer.life == Life::Closing => {}
            Waiting::Send if peer.sent >= waiting::fair_share(&self.shared.deadlines) => {
                peer.renew(&self.shared);
                self.settle(number);
            }
            Waiting::Head | Waiting::Body => {
                self.shared.tally.timeouts += 1;
                let step = peer.machine.give_up(&self.shared.host, &mut self.shared.output);
                self.go(number, step);
            }
            Waiting::Grace => {
                self.start_linger(number);
                self.settle(number);
            }
            Waiting::Linger => self.close(number),
            Waiting::New | Waiting::Idle | Waiting::Send => {
                self.shared.tally.timeouts += 1;
                self.close(number);
            }
        }
    }

    /// Begins to drain, once.
    fn drain(&mut self) {
        if self.shared.host.stage == Stage::Draining {
            return;
        }
        self.shared.host.stage = Stage::Draining;
        self.drained_at = self.shared.clock.now().after(self.shared.deadlines.drain);
        self.gate.start_close(&mut self.ring);
        let numbers: Vec<u32> = self.peers.iter().map(|(number, _)| number).collect();
        for number in numbers {
            self.settle(number);
        }
    }

    /// Takes the backlog and closes the listener, once nothing of it is in flight.
    fn finish_gate(&mut self) {
        let mut backlog = Vec::new();
        self.gate.finish(|connection| backlog.push(connection));
        self.shared.tally.accept_turns += u64::from(!backlog.is_empty());
        for connection in backlog {
            self.shared.tally.calls.accept4 += 1;
            self.ledger.opened();
            self.admit(connection);
        }
    }

    /// Closes the connections that have been idle longest, if they have been for a while.
    fn make_room(&mut self) {
        let now = self.shared.clock.now();
        if now < self.evicting {
            return;
        }
        self.evicting = now.after(EVICTION_PAUSE);
        let spare = |(number, peer): (u32, &Peer)| Some((peer.spare_since(&self.shared)?, number));
        let mut idle: Vec<(Tick, u32)> = self.peers.iter().filter_map(spare).collect();
        if idle.len() > EVICTED {
            idle.select_nth_unstable_by_key(EVICTED, |(since, _)| *since);
            idle.truncate(EVICTED);
        }
        for (_, number) in idle {
            self.shared.tally.evicted += 1;
            self.close(number);
        }
    }

    /// Adds what was counted to the ledger.
    fn report(&mut self) {
        self.reported = self.shared.clock.now();
        self.shared.tally.requests = std::mem::take(&mut self.shared.output.requests);
        self.shared.tally.refused = std::mem::take(&mut self.shared.output.refused);
        self.ledger.absorb(self.worker, &mut self.shared.tally);
    }
}
