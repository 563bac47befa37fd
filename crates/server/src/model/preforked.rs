//! `preforked`: processes started beforehand, all blocked in `accept4` on one listener. The Beowulf thread's "pile of
//! daemons".

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{Shutdown, shutdown};
use rustix::process::Pid;

use super::children;
use super::descriptor::{Concurrency, ConnectionsIn, Descriptor, Dispatch, PortSharing, Workers};
use crate::accept::{Accept, Accepted, BatchEnd, Listeners, Shortage, accept_batch, accept_blocking};
use crate::blocking::{BlockingWorker, prepare_interrupts};
use crate::context::ServerContext;
use crate::stats::WorkerStats;
use crate::{ServeError, Stop, log};

pub(super) const ROW: Descriptor = Descriptor {
    name: "preforked",
    summary: "32 processes unless --workers says otherwise, each serving one connection at a time; more wait in the backlog",
    dispatch: Dispatch::Own,
    workers: Workers::Fixed(32),
    concurrency: Concurrency::OnePerWorker,
    options: &[],
    connections_in: ConnectionsIn::Children,
    port: PortSharing::OneListener,
    probe: || Ok(()),
    check: |_| Ok(()),
    run,
};

/// How often the master replaces children that have died.
const REPLACE_INTERVAL: Duration = Duration::from_millis(500);

fn run(listeners: Listeners, server: &Arc<ServerContext>, stop: &Stop) -> Result<(), ServeError> {
    let listener = listeners.first;
    prepare_interrupts();
    ioctl_fionbio(&listener, false).map_err(failed("ioctl"))?;
    let mut workers: Vec<Vec<Pid>> = vec![Vec::new(); ROW.worker_count(&server.config)];
    let interval = Timespec::try_from(REPLACE_INTERVAL).ok();
    while !stop.is_requested() {
        for (worker, child) in workers.iter_mut().enumerate() {
            children::reap(child, || {
                log::lost_child(worker);
                server.stats.lost_worker(worker);
            });
            if child.is_empty() {
                child.push(start(&listener, server, worker)?);
            }
        }
        let mut stopped = [PollFd::from_borrowed_fd(stop.event()?, PollFlags::IN)];
        match poll(&mut stopped, interval.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("poll")(errno)),
        }
    }
    // Each connection that is left in the backlog gets a process of its own. Then the listener ends for all processes,
    // those that are blocked in accept4 included.
    ioctl_fionbio(&listener, true).map_err(failed("ioctl"))?;
    server.stats.start_drain();
    let most = workers.len();
    let mut all: Vec<Pid> = workers.into_iter().flatten().collect();
    while let Accepted::Connection(connection) = accept_blocking(&listener) {
        all.push(start_with(connection, server)?);
    }
    let _ = shutdown(&listener, Shutdown::Both);
    children::interrupt_all(&mut all, server.config.deadlines.drain, || log::lost_child(most));
    Ok(())
}

fn failed(call: &'static str) -> impl Fn(Errno) -> ServeError {
    move |errno| ServeError::System {
        call,
        cause: errno.into(),
    }
}

/// Starts a process for one connection. It counts as the first worker.
fn start_with(connection: OwnedFd, server: &Arc<ServerContext>) -> Result<Pid, ServeError> {
    server.stats.opened();
    let server = Arc::clone(server);
    children::start(move || {
        let mut worker = BlockingWorker::new(server, 0);
        worker.count_accepted();
        worker.serve(connection);
    })
    .map_err(children::cannot_fork)
}

/// Starts a worker.
fn start(listener: &OwnedFd, server: &Arc<ServerContext>, worker: usize) -> Result<Pid, ServeError> {
    let server = Arc::clone(server);
    children::start(|| accept_and_serve(listener, server, worker)).map_err(children::cannot_fork)
}

/// What a worker does: it accepts a connection, serves it, and so on until the listener ends.
fn accept_and_serve(listener: &OwnedFd, server: Arc<ServerContext>, worker: usize) {
    let mut child = Child {
        listener,
        workers: ROW.worker_count(&server.config),
        number: worker,
        worker: BlockingWorker::new(Arc::clone(&server), worker),
        server,
    };
    loop {
        match accept_batch(&mut child, 1) {
            Ok(BatchEnd::Full) => {}
            Ok(BatchEnd::Emptied) => child.worker.report(),
            Err(shortage) => {
                child.server.stats.report_shortage(&shortage);
                std::thread::sleep(child.server.config.deadlines.back_off);
            }
        }
        if child.server.stats.is_draining() {
            child.worker.report();
            return;
        }
    }
}

struct Child<'a> {
    listener: &'a OwnedFd,
    workers: usize,
    number: usize,
    worker: BlockingWorker,
    server: Arc<ServerContext>,
}

impl Accept for Child<'_> {
    type Connection = OwnedFd;

    fn room(&mut self) -> Result<(), Shortage> {
        Ok(())
    }

    fn accept(&mut self) -> Accepted {
        self.worker.stats().calls.accept4 += 1;
        accept_blocking(self.listener)
    }

    fn take(&mut self, connection: OwnedFd) -> Result<(), Shortage> {
        self.worker.count_accepted();
        // Counted here, since serving the connection reports the counters and sets them to 0.
        self.worker.stats().accept_turns += 1;
        // A busy process does not see the backlog, so this is reported when the last idle one gets a connection.
        if self.server.stats.opened_by(self.number) == Some(self.workers) {
            log::full(self.workers, "processes", "backlog");
        }
        self.worker.serve(connection);
        self.server.stats.closed_by(self.number);
        Ok(())
    }

    fn stats(&mut self) -> &mut WorkerStats {
        self.worker.stats()
    }
}
