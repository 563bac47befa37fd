//! `preforked`: processes started beforehand, all blocked in `accept4` on one listener. The Beowulf thread's "pile of
//! daemons".

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use c10k_record::ServeSummary;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{Shutdown, shutdown};
use rustix::process::Pid;

use super::{Descriptor, Dispatch, children};
use crate::blocking::Clerk;
use crate::ledger::Ledger;
use crate::listener::{self, Accepted};
use crate::roster::prepare_nudges;
use crate::{Config, ServeError, Server, Stop, log};

pub(super) const ROW: Descriptor = Descriptor {
    name: "preforked",
    summary: "32 processes unless --workers says otherwise, each serving one connection at a time; more wait in the backlog",
    dispatch: Dispatch::Own,
    probe: || Ok(()),
    check: |_| Ok(()),
    run,
};

/// Processes by default.
const PROCESSES: usize = 32;

/// How often the master looks for children that have died, and how long a child waits after a shortage.
const LOOK: Duration = Duration::from_millis(500);

fn run(server: Server, stop: &Stop) -> Result<ServeSummary, ServeError> {
    let Server { config, listener, .. } = server;
    prepare_nudges();
    let workers = config.workers.map_or(PROCESSES, NonZeroUsize::get);
    let ledger = Arc::new(Ledger::open(&config, workers)?);
    let failed = |call| {
        move |errno: Errno| ServeError::System {
            call,
            cause: errno.into(),
        }
    };
    ioctl_fionbio(&listener, false).map_err(failed("ioctl"))?;
    let mut pile: Vec<Vec<Pid>> = vec![Vec::new(); workers];
    let pause = Timespec::try_from(LOOK).ok();
    while !stop.is_requested() {
        for (worker, child) in pile.iter_mut().enumerate() {
            children::reap(child, || log::lost_child(worker));
            if child.is_empty() {
                child.push(start(&config, &listener, &ledger, worker)?);
            }
        }
        match poll(
            &mut [PollFd::from_borrowed_fd(stop.event()?, PollFlags::IN)],
            pause.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("poll")(errno)),
        }
    }
    // What is left in the backlog gets a process each; then the listener ends for all, blocked children included.
    ioctl_fionbio(&listener, true).map_err(failed("ioctl"))?;
    ledger.stop();
    let mut all: Vec<Pid> = pile.into_iter().flatten().collect();
    while let Accepted::Connection(connection) = listener::accept_blocking(&listener) {
        all.push(start_with(connection, &config, &ledger)?);
    }
    let _ = shutdown(&listener, Shutdown::Both);
    children::see_off(&mut all, config.deadlines.drain, || log::lost_child(workers));
    Ok(ledger.summary())
}

/// Starts a process for one connection, counted as the first worker's.
fn start_with(connection: OwnedFd, config: &Config, ledger: &Arc<Ledger>) -> Result<Pid, ServeError> {
    let clerk_ledger = Arc::clone(ledger);
    ledger.opened();
    children::start(move || {
        let mut clerk = Clerk::new(config, clerk_ledger, 0);
        clerk.tally.accepted += 1;
        clerk.serve(connection);
    })
    .map_err(|cause| ServeError::System { call: "fork", cause })
}

fn start(config: &Config, listener: &OwnedFd, ledger: &Arc<Ledger>, worker: usize) -> Result<Pid, ServeError> {
    children::start(|| {
        accept_and_serve(listener, Clerk::new(config, Arc::clone(ledger), worker), ledger);
    })
    .map_err(|cause| ServeError::System { call: "fork", cause })
}

fn accept_and_serve(listener: &OwnedFd, mut clerk: Clerk, ledger: &Ledger) {
    loop {
        clerk.tally.calls.accept4 += 1;
        match listener::accept_blocking(listener) {
            Accepted::Connection(connection) => {
                clerk.tally.accepted += 1;
                clerk.tally.accept_turns += 1;
                ledger.opened();
                clerk.serve(connection);
            }
            Accepted::Nobody | Accepted::Gone => {
                clerk.report();
                if ledger.is_stopping() {
                    return;
                }
            }
            Accepted::Shortage(errno) => {
                log::shortage(&format!("accept4 failed ({errno})"));
                std::thread::sleep(LOOK);
            }
        }
    }
}
