//! One connection after the other, on sockets whose calls block.
//!
//! A request takes one `recvfrom` and one `sendto`, and nothing else. Deadlines are the socket's own time limits, which
//! are set only when they change. A stop interrupts the call that a thread is blocked in
//! ([`BlockedThreads`](super::BlockedThreads)).

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use c10k_http::Step;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, recv};

use super::connection::{BlockingConnection, Waits};
use crate::context::{ServerContext, WorkerContext};
use crate::core::ConnectionCore;
use crate::stats::WorkerStats;

const INPUT_BYTES: usize = 16 * 1024;

/// Serves connections, one after the other.
#[derive(Debug)]
pub(crate) struct BlockingWorker {
    context: WorkerContext,
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
        let mut calls = BlockingCalls {
            worker: &mut self.context,
            receive_limit: Duration::ZERO,
        };
        calls.refresh();
        if calls.limit_sending(&socket).is_ok() {
            BlockingConnection::new(socket, &mut calls).serve();
        }
        self.context.core.output.bytes.clear();
        self.context.closed();
        self.report();
    }

    /// Adds what was counted to the server's statistics.
    pub(crate) fn report(&mut self) {
        self.context.report();
    }
}

/// Waits by calls that block.
struct BlockingCalls<'a> {
    worker: &'a mut WorkerContext,
    /// The time limit that the socket has for receiving.
    receive_limit: Duration,
}

impl BlockingCalls<'_> {
    /// Sets the time limit of the calls that send.
    fn limit_sending(&mut self, socket: &OwnedFd) -> Result<(), Errno> {
        self.worker.core.stats.calls.setsockopt += 1;
        set_socket_timeout(socket, Timeout::Send, Some(self.worker.core.send_limit()))
    }
}

impl Waits for BlockingCalls<'_> {
    const FILE_BYTES: usize = usize::MAX;

    fn worker(&mut self) -> &mut WorkerContext {
        self.worker
    }

    fn refresh(&mut self) {
        self.worker.refresh();
        if self.worker.server.stats.is_draining() {
            self.worker.core.start_drain();
        }
    }

    fn receive(&mut self, socket: BorrowedFd<'_>, connection: &ConnectionCore) -> Result<usize, Errno> {
        self.worker.report();
        let limit = connection.time_left(&self.worker.core);
        let calls = &mut self.worker.core.stats.calls;
        if limit != self.receive_limit {
            calls.setsockopt += 1;
            // EDOM is the only error that is left, for a time limit that is none.
            set_socket_timeout(socket, Timeout::Recv, Some(limit)).map_err(|_| Errno::DOM)?;
            self.receive_limit = limit;
        }
        calls.recvfrom += 1;
        recv(socket, &mut *self.worker.input, RecvFlags::empty()).map(|(taken, _)| taken)
    }

    fn wait_to_send(&mut self, _: &ConnectionCore) {}

    fn sent(&mut self, _: usize) {}

    fn report_mechanism(&mut self) {}

    fn do_work(&mut self, connection: &mut ConnectionCore) -> Step {
        self.worker.do_work(connection)
    }
}
