//! One connection after the other, on sockets whose calls block.
//!
//! A request takes one `recvfrom` and one `sendto`, and nothing else. Deadlines are the socket's own time limits, which
//! are set only when they change. A stop interrupts the call that a thread is blocked in
//! ([`BlockedThreads`](super::BlockedThreads)).

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use c10k_http::{Ending, Step};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

use crate::context::{ServerContext, WorkerContext};
use crate::core::{ConnectionCore, Expired, Output};
use crate::send::send_next;
use crate::spin::spin;
use crate::stats::WorkerStats;

const INPUT_BYTES: usize = 16 * 1024;

/// Serves connections, one after the other.
#[derive(Debug)]
pub(crate) struct BlockingWorker {
    context: WorkerContext,
}

/// A connection that is being served.
struct BlockingConnection {
    socket: OwnedFd,
    core: ConnectionCore,
    /// The file of which a part has not been sent.
    file: Option<OwnedFd>,
    /// The time limit that the socket has for receiving.
    receive_limit: Duration,
}

/// Why a connection is over.
enum End {
    /// Nothing more can be sent.
    Now,
    /// The client may still be sending.
    Linger,
}

impl BlockingWorker {
    pub(crate) fn new(server: Arc<ServerContext>, worker: usize) -> BlockingWorker {
        BlockingWorker {
            // Whoever accepts sees to the limit on connections.
            context: WorkerContext::new(server, worker, usize::MAX, INPUT_BYTES),
        }
    }

    /// Counts a connection that another worker accepted, or this one itself.
    pub(crate) fn count_accepted(&mut self) {
        self.context.core.stats.accepted += 1;
    }

    pub(crate) fn stats(&mut self) -> &mut WorkerStats {
        &mut self.context.core.stats
    }

    /// Serves a connection until it is over, closes it, and reports.
    pub(crate) fn serve(&mut self, socket: OwnedFd) {
        let mut connection = BlockingConnection {
            socket,
            core: ConnectionCore::new(),
            file: None,
            receive_limit: Duration::ZERO,
        };
        self.refresh();
        self.context.core.stats.calls.setsockopt += 1;
        let limit = Some(self.context.core.send_limit());
        let limited = set_socket_timeout(&connection.socket, Timeout::Send, limit);
        if limited.is_ok() && matches!(self.serve_requests(&mut connection), End::Linger) {
            self.linger(&mut connection);
        }
        drop(connection);
        self.context.core.output.bytes.clear();
        self.context.closed();
        self.report();
    }

    /// Adds what was counted to the server's statistics.
    pub(crate) fn report(&mut self) {
        self.context.report();
    }

    /// Reads the clock, and whether the server drains.
    fn refresh(&mut self) {
        self.context.refresh();
        if self.context.server.stats.is_draining() {
            self.context.core.start_drain();
        }
    }

    fn serve_requests(&mut self, connection: &mut BlockingConnection) -> End {
        let mut step = Step::Read;
        loop {
            if matches!(step, Step::Read | Step::Write | Step::Close(_)) && self.flush(connection).is_err() {
                return End::Now;
            }
            let taken = match step {
                Step::Read => {
                    self.report();
                    match self.receive(connection) {
                        Ok(taken) => taken,
                        Err(end) => return end,
                    }
                }
                Step::Write => 0,
                Step::Work(time) => {
                    spin(time);
                    0
                }
                Step::Stats => {
                    step = self.context.answer_stats(&mut connection.core);
                    continue;
                }
                Step::Open => {
                    (step, connection.file) = self.context.answer_file(&mut connection.core);
                    continue;
                }
                Step::Close(Ending::Agreed) => return End::Now,
                Step::Close(Ending::Lingering) => return End::Linger,
            };
            self.refresh();
            let WorkerContext { core, input, .. } = &mut self.context;
            step = connection.core.feed(&input[..taken], core);
        }
    }

    /// Waits for input, and receives at least one byte of it.
    fn receive(&mut self, connection: &mut BlockingConnection) -> Result<usize, End> {
        loop {
            connection.core.renew_deadline(Output::Sent, &self.context.core);
            let limit = connection.core.time_left(&self.context.core);
            // Bytes that trickle in keep the socket's own time limit from ever being reached.
            let outcome = if limit.is_zero() {
                Err(Errno::AGAIN)
            } else {
                self.receive_within(connection, limit)
            };
            match outcome {
                Ok(0) => return Err(End::Now),
                Ok(taken) => return Ok(taken),
                Err(Errno::INTR) => self.refresh(),
                Err(Errno::AGAIN) => match connection.core.expire(&mut self.context.core) {
                    Expired::Renewed => {}
                    Expired::Refused(Step::Close(Ending::Lingering)) if self.flush(connection).is_ok() => {
                        return Err(End::Linger);
                    }
                    Expired::Linger => return Err(End::Linger),
                    Expired::Refused(_) | Expired::Close => return Err(End::Now),
                },
                Err(_) => return Err(End::Now),
            }
        }
    }

    fn receive_within(&mut self, connection: &mut BlockingConnection, limit: Duration) -> Result<usize, Errno> {
        let calls = &mut self.context.core.stats.calls;
        if limit != connection.receive_limit {
            calls.setsockopt += 1;
            // EDOM is the only error that is left, for a time limit that is none.
            set_socket_timeout(&connection.socket, Timeout::Recv, Some(limit)).map_err(|_| Errno::DOM)?;
            connection.receive_limit = limit;
        }
        calls.recvfrom += 1;
        recv(&connection.socket, &mut *self.context.input, RecvFlags::empty()).map(|(taken, _)| taken)
    }

    /// Sends the output, the tail and the piece of the file.
    fn flush(&mut self, connection: &mut BlockingConnection) -> Result<(), Errno> {
        connection.core.take_replies(&mut self.context.core);
        let mut head_sent = 0;
        loop {
            let BlockingConnection { socket, core, file, .. } = &mut *connection;
            let worker = &mut self.context.core;
            let head = &worker.output.bytes[head_sent..];
            let calls = &mut worker.stats.calls;
            match send_next(&*socket, head, &mut core.machine, file.as_ref(), usize::MAX, calls) {
                None => break,
                Some(Ok(sent)) => {
                    head_sent += sent.of_head;
                    core.sent(sent.bytes);
                    if !sent.whole {
                        self.keep_sending(core)?;
                    }
                }
                Some(Err(Errno::INTR | Errno::AGAIN)) => self.keep_sending(core)?,
                Some(Err(errno)) => return Err(errno),
            }
        }
        if !connection.core.machine.needs_file() {
            connection.file = None;
        }
        self.context.core.output.bytes.clear();
        connection.core.all_sent(&mut self.context.core);
        Ok(())
    }

    /// Decides whether to call again after a call that did not send all: its time limit passed, a signal interrupted it, or
    /// the socket's buffer was full.
    fn keep_sending(&mut self, connection: &mut ConnectionCore) -> Result<(), Errno> {
        self.refresh();
        let worker = &mut self.context.core;
        connection.renew_deadline(Output::Pending, worker);
        if connection.time_left(worker).is_zero() && connection.expire(worker) != Expired::Renewed {
            return Err(Errno::TIMEDOUT);
        }
        Ok(())
    }

    /// Closes the sending half, and drops input until its end, for a while.
    fn linger(&mut self, connection: &mut BlockingConnection) {
        self.refresh();
        connection.core.start_linger(&mut self.context.core);
        // This fails only if the connection is already gone, which the next read reports too.
        let _ = shutdown(&connection.socket, Shutdown::Write);
        while self.receive(connection).is_ok() {
            self.refresh();
        }
    }
}
