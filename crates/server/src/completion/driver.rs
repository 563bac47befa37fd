//! The loop over a ring, one in each worker.
//!
//! A connection has one multishot receive request, and at most one send or read, in flight. Received bytes are fed to the
//! machine from the buffer into which the kernel has put them; then the buffer is given back. While a send is in flight the
//! bytes are held, and when too many are, receiving stops until the send has completed. When a connection is over, its
//! requests are cancelled, and its socket is closed when the last of them has completed. If it were closed earlier, the
//! kernel would still hold it, and end it late.

mod working;

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use c10k_event::{Key, Slab};
use c10k_http::{Ending, Step};
use c10k_sys::stream_ring::{Completion, Notifications, Received, Sent, Shape, Socket, StreamRing};
use rustix::io::Errno;

use super::acceptor::{LISTENER, RingAcceptor};
use super::connection::{Flight, Next, RingConnection};
use super::kernel_thread::KernelThread;
use super::shape::{fit, shape};
use super::work::Completed;
use crate::accept::{Accepted, Shortage};
use crate::context::{ServerContext, WorkerContext};
use crate::core::{Expired, evict};
use crate::spin::spin;
use crate::timeout::{Deadline, Deadlined, Wheel};
use crate::{ServeError, Stop};

/// The number of the poll of the stop request.
const STOP: u32 = 1;

/// Completions handled between two readings of the clock.
const COMPLETIONS_PER_TURN: usize = 1024;

/// The most output buffers that are kept for later replies, and the largest that is kept.
const SPARE_BUFFERS: usize = 256;
const SPARE_BYTES: usize = 16 * 1024;

/// Bytes of a file that are read, and then sent, at once.
const READ_BYTES: usize = 64 * 1024;

/// Runs a ring until `stop` is requested and every request is answered, or the drain deadline has passed.
pub(crate) fn run(
    server: &Arc<ServerContext>,
    listener: OwnedFd,
    thread: &KernelThread,
    worker: usize,
    max_connections: usize,
    stop: &Stop,
) -> Result<(), ServeError> {
    // The ring has its own buffers for input.
    let mut shape = shape(server.config.submission, &server.config.ring);
    let max_connections = fit(&mut shape, max_connections);
    let worker = WorkerContext::new(Arc::clone(server), worker, max_connections, 0);
    let mut driver = RingLoop::open(worker, listener, thread, shape)?;
    driver.ring.await_input(stop.event()?.as_raw_fd(), STOP);
    loop {
        driver.turn(stop)?;
        if driver.is_over() {
            driver.report();
            return Ok(());
        }
    }
}

struct RingLoop {
    /// Dropped first, so that its requests end before the sockets are closed.
    ring: StreamRing,
    connections: Slab<RingConnection>,
    acceptor: RingAcceptor,
    worker: WorkerContext,
    wheel: Wheel<Key>,
    /// Whether the last turn had nothing to do, so that nothing is left to be reported.
    idle: bool,
    /// Connections whose send was queued in this turn. Most have sent by the next one.
    sending: Vec<u32>,
    /// Output buffers for later.
    spare: Vec<Vec<u8>>,
    /// The notifications that were reported.
    notified: Notifications,
}

impl Deadlined<Key> for Slab<RingConnection> {
    fn deadline(&mut self, key: Key) -> Option<&mut Deadline> {
        self.get_mut(key).map(|connection| &mut connection.core.deadline)
    }
}

impl RingLoop {
    fn open(
        worker: WorkerContext,
        listener: OwnedFd,
        thread: &KernelThread,
        shape: Shape,
    ) -> Result<RingLoop, ServeError> {
        let failed = |call| {
            move |errno: Errno| ServeError::System {
                call,
                cause: errno.into(),
            }
        };
        let config = &worker.server.config;
        let ring = thread.open(shape).map_err(failed("io_uring_setup"))?;
        Ok(RingLoop {
            ring,
            connections: Slab::new(),
            acceptor: RingAcceptor::open(listener, config.accept).map_err(failed("ioctl"))?,
            worker,
            wheel: Wheel::new(),
            idle: false,
            sending: Vec::new(),
            spare: Vec::new(),
            notified: Notifications::default(),
        })
    }

    /// Waits once, and handles what has completed.
    fn turn(&mut self, stop: &Stop) -> Result<(), ServeError> {
        if !self.worker.core.accepting_is_paused() {
            let room = self.worker.core.room(self.connections.len());
            self.acceptor.maintain(room, &mut self.ring);
        }
        self.wait()?;
        self.worker.refresh();
        // Before the completions: once any worker has closed its listener, all replies of all workers close their
        // connections.
        if stop.is_requested() {
            self.drain();
        }
        if self.worker.core.report_is_due() {
            self.report();
        }
        let sending = std::mem::take(&mut self.sending);
        let accepted = self.worker.core.stats.accepted;
        self.idle = sending.is_empty();
        for _ in 0..COMPLETIONS_PER_TURN {
            let Some(completion) = self.ring.pop() else { break };
            self.worker.core.stats.events += 1;
            self.idle = false;
            self.complete(completion);
        }
        let stats = &mut self.worker.core.stats;
        stats.accept_turns += u64::from(stats.accepted > accepted);
        for number in sending {
            if self
                .connections
                .at_mut(number)
                .is_some_and(|connection| connection.is_busy())
            {
                self.renew_deadline(number);
            }
        }
        self.expire();
        if self.acceptor.is_closing() {
            self.finish_closing_listener();
        }
        Ok(())
    }

    fn report(&mut self) {
        let notified = self.ring.notifications();
        let stats = &mut self.worker.core.stats;
        stats.notifications += notified.all - self.notified.all;
        stats.copied_sends += notified.copied - self.notified.copied;
        self.notified = notified;
        self.worker.report();
    }

    fn is_over(&self) -> bool {
        let nothing_left = self.connections.is_empty() && self.acceptor.is_closed();
        self.worker.core.is_drained(nothing_left)
    }

    fn wait(&mut self) -> Result<(), ServeError> {
        let core = &self.worker.core;
        let timeout = core.timeout(self.idle, &mut self.wheel, &mut self.connections);
        let stats = &mut self.worker.core.stats;
        stats.overflows += u64::from(self.ring.overflowed());
        match self.ring.enter(Some(timeout)) {
            Ok(false) => Ok(()),
            Ok(true) | Err(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN) => {
                stats.waits += 1;
                stats.calls.io_uring_enter += 1;
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
                self.acceptor.on_accept(more);
                self.accepted(connection.into());
            }
            Completion::Received { data, outcome, more } => self.received(data, outcome, more),
            Completion::Sent {
                data,
                outcome,
                head,
                from,
            } => self.sent(data, outcome, head, from),
            Completion::Read { data, outcome, bytes } => match self.connections.at_mut(data) {
                Some(connection) if connection.work.is_some() => self.work_on(data, Completed::Read(outcome, bytes)),
                _ => self.read(data, outcome, bytes),
            },
            Completion::Opened { data, file } => self.work_on(data, Completed::Opened(file)),
            Completion::Worked { data, outcome, bytes } => self.work_on(data, Completed::Other(outcome, bytes)),
            Completion::ShutDown { data } => {
                if let Some(connection) = self.connections.at_mut(data) {
                    connection.shut_down_ended();
                }
                self.release(data);
            }
            Completion::Closed { data } => self.remove(data),
            Completion::Polled { data: LISTENER } => self.on_backlog(),
            // The stop request is checked in every turn.
            Completion::Polled { .. } => {}
        }
    }

    fn accepted(&mut self, accepted: Accepted<Socket>) {
        match accepted {
            Accepted::Connection(socket) => self.take(socket),
            // An accept request takes a descriptor before it checks whether anybody waits, so this is no reason to report a
            // shortage. It is one if a connection waits in the backlog.
            Accepted::Shortage(_) => {
                self.worker.core.pause_accepting();
                self.acceptor.watch(&mut self.ring);
            }
            // The request was cancelled, or the connection was already gone.
            Accepted::Nobody | Accepted::Gone => {}
        }
    }

    /// A connection waits in the backlog. If that is for want of room, room is made.
    fn on_backlog(&mut self) {
        self.acceptor.on_backlog();
        let core = &mut self.worker.core;
        let room = core.room(self.connections.len());
        if core.is_draining() || (room > 0 && !core.accepting_is_paused()) {
            return;
        }
        let shortage = if room == 0 {
            Shortage::Connections
        } else {
            Shortage::Completions
        };
        self.worker.server.stats.report_shortage(&shortage);
        core.pause_accepting();
        let connections = self.connections.iter();
        let evictable = connections.filter(|(_, connection)| connection.is_evictable());
        for key in evict(
            core,
            evictable.map(|(key, connection)| (key, connection.core.awaited())),
        ) {
            self.close(key.slot());
        }
    }

    fn take(&mut self, socket: Socket) {
        self.worker.opened();
        // There are as many numbers as descriptors, or places in the ring's table.
        let Some(key) = self.connections.insert(RingConnection::new(socket)) else {
            return self.worker.closed();
        };
        self.maintain(key.slot());
        self.renew_deadline(key.slot());
    }

    fn received(&mut self, number: u32, outcome: Result<Option<Received>, Errno>, more: bool) {
        let Some(connection) = self.connections.at_mut(number) else {
            if let Ok(Some(received)) = outcome {
                self.ring.give_back(received);
            }
            return;
        };
        if !more {
            connection.receive_ended();
        }
        match outcome {
            Ok(Some(received)) => self.take_input(number, received),
            Ok(None) => {
                connection.end_input();
                if connection.is_done() || (connection.core.is_lingering() && !connection.is_closing()) {
                    self.close(number);
                }
            }
            // It ended because no buffer was left, or because it was cancelled. It is armed again if it is wanted.
            Err(Errno::NOBUFS | Errno::INTR | Errno::AGAIN | Errno::CANCELED) => {}
            Err(_) => self.close(number),
        }
        self.maintain(number);
    }

    /// Feeds received bytes to the machine. Those behind a request that was answered are held.
    fn take_input(&mut self, number: u32, received: Received) {
        let mut rest = received.rest();
        while let Some(connection) = self.connections.at_mut(number) {
            let Some(bytes) = self.ring.next_part(&mut rest) else {
                break;
            };
            if let Some(step) = connection.take(bytes, &mut self.worker.core) {
                self.proceed(number, step);
            }
        }
        self.ring.give_back(received);
    }

    /// Takes a step and those that follow, until output is in flight or nothing is left to do.
    fn proceed(&mut self, number: u32, mut step: Step) {
        loop {
            let Some(connection) = self.connections.at_mut(number) else {
                return;
            };
            step = match step {
                Step::Work(time) => {
                    spin(time);
                    connection.core.feed(&[], &mut self.worker.core)
                }
                Step::Stats => self.worker.answer_stats(&mut connection.core),
                Step::Open => {
                    let (step, file) = self.worker.answer_file(&mut connection.core);
                    connection.file = file;
                    step
                }
                Step::Read | Step::Write | Step::Block | Step::Close(_) => {
                    connection.next = match step {
                        Step::Close(ending) => Next::Close(ending),
                        Step::Write => Next::Feed,
                        // The replies before it are sent first.
                        Step::Block => Next::Work,
                        _ => Next::Input,
                    };
                    connection.core.take_replies(&mut self.worker.core);
                    let output = &mut self.worker.core.output;
                    if !output.bytes.is_empty() || connection.core.machine.owes() {
                        let empty = self.spare.pop().unwrap_or_default();
                        let head = std::mem::replace(&mut output.bytes, empty);
                        self.sending.push(number);
                        return self.send(number, head, 0);
                    }
                    match self.follow(number) {
                        Some(step) => step,
                        None => return self.renew_deadline(number),
                    }
                }
            };
        }
    }

    /// Does what follows when all output is sent. Returns the next step, unless the connection waits.
    fn follow(&mut self, number: u32) -> Option<Step> {
        let connection = self.connections.at_mut(number)?;
        match connection.next {
            Next::Feed => Some(connection.core.feed(&[], &mut self.worker.core)),
            Next::Work => self.start_work(number),
            Next::Input => {
                let step = connection.take_held(&mut self.worker.core);
                if step.is_none() && connection.is_done() {
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

    /// Queues a send of `head` from one of its bytes on, and of the tail. If there is a piece of a file and no tail, it is
    /// read first, to be sent together with `head`.
    fn send(&mut self, number: u32, head: Vec<u8>, from: usize) {
        let Some(connection) = self.connections.at_mut(number) else {
            return;
        };
        let machine = &connection.core.machine;
        let tail = machine.tail();
        if let (Some(piece), Some(file), 0, []) = (machine.piece(), &connection.file, from, tail) {
            let length = usize::try_from(piece.length).unwrap_or(READ_BYTES).min(READ_BYTES);
            connection.flight = Flight::Reading;
            return self.ring.read(file.as_raw_fd(), piece.offset, head, length, number);
        }
        connection.flight = Flight::Sending(self.ring.send(connection.target(), head, from, tail, number));
    }

    /// A piece of a file was read, and is sent.
    fn read(&mut self, number: u32, outcome: Result<usize, Errno>, bytes: Vec<u8>) {
        let Some(connection) = self.connections.at_mut(number) else {
            return;
        };
        connection.flight = Flight::None;
        match outcome {
            _ if connection.is_closing() => self.release(number),
            Ok(read @ 1..) => {
                connection.core.machine.piece_sent(read);
                connection.flight = Flight::Sending(self.ring.send(connection.target(), bytes, 0, &[], number));
            }
            Err(Errno::INTR | Errno::AGAIN) => self.send(number, bytes, 0),
            // The file has become shorter, so the reply cannot be what its head says.
            Ok(0) | Err(_) => self.close(number),
        }
    }

    fn sent(&mut self, number: u32, outcome: Result<Sent, Errno>, mut head: Vec<u8>, from: usize) {
        let Some(connection) = self.connections.at_mut(number) else {
            return;
        };
        connection.flight = Flight::None;
        let sent = match outcome {
            _ if connection.is_closing() => {
                self.recycle(head);
                return self.release(number);
            }
            Ok(sent) => sent,
            Err(Errno::INTR | Errno::AGAIN) => Sent { head: 0, tail: 0 },
            Err(_) => {
                self.recycle(head);
                return self.close(number);
            }
        };
        connection.core.sent(sent.head + sent.tail);
        connection.core.machine.tail_sent(sent.tail);
        if from < head.len() {
            return self.send(number, head, from);
        }
        if connection.core.machine.owes() {
            head.clear();
            return self.send(number, head, 0);
        }
        if !connection.core.machine.needs_file() {
            connection.file = None;
        }
        connection.core.all_sent(&mut self.worker.core);
        self.recycle(head);
        match self.follow(number) {
            Some(step) => self.proceed(number, step),
            None => self.renew_deadline(number),
        }
        self.maintain(number);
    }

    /// Keeps an output buffer for later.
    fn recycle(&mut self, mut head: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS && head.capacity() <= SPARE_BYTES {
            head.clear();
            self.spare.push(head);
        }
    }

    fn start_linger(&mut self, number: u32) {
        let Some(connection) = self.connections.at_mut(number) else {
            return;
        };
        match connection.direct() {
            Some(_) => connection.core.start_linger_without_call(),
            None => connection.core.start_linger(&mut self.worker.core),
        }
        connection.drop_held();
        connection.shut_down(number, &mut self.ring);
        if connection.is_done() {
            self.close(number);
        }
    }

    fn maintain(&mut self, number: u32) {
        match self.connections.at_mut(number) {
            Some(connection) if connection.is_closing() => self.release(number),
            Some(connection) => connection.maintain(number, &mut self.ring),
            None => {}
        }
    }

    /// Sets the deadline for what a connection waits for now.
    fn renew_deadline(&mut self, number: u32) {
        let Some(key) = self.connections.key_at(number) else {
            return;
        };
        if let Some(connection) = self.connections.at_mut(number) {
            connection.renew_deadline(&self.worker.core);
            self.wheel.schedule(key, &mut connection.core.deadline);
        }
    }

    /// Starts to close a connection.
    fn close(&mut self, number: u32) {
        let Some(connection) = self.connections.at_mut(number) else {
            return;
        };
        if !connection.is_closing() {
            connection.close(number, &mut self.ring);
        }
        self.release(number);
    }

    /// Closes the socket of a connection that is over and has nothing in flight.
    fn release(&mut self, number: u32) {
        let Some(connection) = self.connections.at_mut(number) else {
            return;
        };
        if !connection.is_over() {
            return;
        }
        match connection.direct() {
            // The connection stays until its place is free.
            Some(place) => {
                connection.flight = Flight::Closing;
                self.ring.close_direct(place, number);
            }
            None => self.remove(number),
        }
    }

    /// Forgets a connection, and with it closes its descriptor, if it has one.
    fn remove(&mut self, number: u32) {
        let removed = self.connections.key_at(number);
        let removed = removed.and_then(|key| self.connections.remove(key));
        match removed.map(|connection| connection.direct()) {
            Some(Some(_)) => self.worker.closed_on_ring(),
            Some(None) => self.worker.closed(),
            None => {}
        }
    }

    fn expire(&mut self) {
        self.wheel.advance(self.worker.core.now());
        while let Some(key) = self.wheel.next_passed(&mut self.connections) {
            self.idle = false;
            self.expired(key.slot());
        }
    }

    /// Does what follows a deadline that has passed.
    fn expired(&mut self, number: u32) {
        let Some(connection) = self.connections.at_mut(number) else {
            return;
        };
        if connection.is_closing() {
            return;
        }
        match connection.core.expire(&mut self.worker.core) {
            Expired::Renewed => self.renew_deadline(number),
            Expired::Refused(step) => self.proceed(number, step),
            Expired::Linger => {
                self.start_linger(number);
                self.renew_deadline(number);
            }
            Expired::Close => self.close(number),
        }
    }

    /// Starts to drain.
    fn drain(&mut self) {
        if !self.worker.core.start_drain() {
            return;
        }
        self.acceptor.start_close(&mut self.ring);
        let numbers: Vec<u32> = self.connections.iter().map(|(key, _)| key.slot()).collect();
        for number in numbers {
            self.renew_deadline(number);
        }
    }

    /// Accepts the backlog and closes the listener, when no request refers to it any more.
    fn finish_closing_listener(&mut self) {
        let mut backlog = Vec::new();
        self.acceptor.finish_close(|connection| backlog.push(connection));
        self.worker.core.stats.accept_turns += u64::from(!backlog.is_empty());
        for connection in backlog {
            self.worker.core.stats.calls.accept4 += 1;
            self.take(Socket::Open(connection));
        }
    }
}
