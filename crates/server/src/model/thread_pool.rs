//! `thread-pool`: a fixed number of threads; an acceptor hands connections over a queue. The paper's pre-forked pool of
//! threads.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use c10k_record::ServeSummary;

use super::thread_per_connection::STACK;
use super::{Descriptor, Dispatch};
use crate::acceptor::{self, Reception};
use crate::blocking::Clerk;
use crate::ledger::Ledger;
use crate::roster::{Roster, prepare_nudges};
use crate::tally::Tally;
use crate::{ServeError, Server, Stop, limits, log};

pub(super) const ROW: Descriptor = Descriptor {
    name: "thread-pool",
    summary: "64 threads unless --workers says otherwise, each serving one connection at a time; more wait in a queue",
    dispatch: Dispatch::Own,
    probe: || Ok(()),
    check: |_| Ok(()),
    run,
};

/// Threads by default.
const THREADS: usize = 64;

fn run(server: Server, stop: &Stop) -> Result<ServeSummary, ServeError> {
    prepare_nudges();
    let threads = server.config.workers.map_or(THREADS, NonZeroUsize::get);
    let ledger = Arc::new(Ledger::open(&server.config, threads)?);
    let roster = Arc::new(Roster::default());
    let queue = Arc::new(Queue::default());
    let config = Arc::new(server.config);
    for worker in 0..threads {
        let (config, ledger, queue) = (Arc::clone(&config), Arc::clone(&ledger), Arc::clone(&queue));
        let mut seat = roster.announce();
        std::thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || {
                seat.take();
                let mut clerk = Clerk::new(&config, ledger, worker);
                while let Some(connection) = queue.take() {
                    clerk.tally.accepted += 1;
                    clerk.serve(connection);
                }
            })
            .map_err(|cause| ServeError::System { call: "clone", cause })?;
    }
    let most = config.max_connections.unwrap_or_else(limits::room_for_connections);
    let mut reception = Desk {
        queue: Arc::clone(&queue),
        ledger: Arc::clone(&ledger),
        threads,
        most,
    };
    acceptor::run(&server.listener, stop, &mut reception)?;
    ledger.stop();
    queue.close();
    roster.see_off(config.deadlines.drain);
    Ok(ledger.summary())
}

/// Connections that wait for a thread.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    connections: VecDeque<OwnedFd>,
    closed: bool,
}

impl Queue {
    fn put(&self, connection: OwnedFd) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .connections
            .push_back(connection);
        self.changed.notify_one();
    }

    /// The next connection; `None` when there will be none.
    fn take(&self) -> Option<OwnedFd> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = waiting.connections.pop_front() {
                return Some(connection);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }
}

struct Desk {
    queue: Arc<Queue>,
    ledger: Arc<Ledger>,
    threads: usize,
    most: usize,
}

impl Reception for Desk {
    fn room(&mut self) -> Result<(), String> {
        if self.ledger.open_connections() < self.most {
            Ok(())
        } else {
            Err("the cap on connections is reached".to_owned())
        }
    }

    fn take(&mut self, connection: OwnedFd, tally: &mut Tally) -> Result<(), String> {
        // Counted where it is served, so that the balance between the threads shows.
        tally.accepted -= 1;
        // This is the first one ever for which there is no thread; only the acceptor counts up.
        if self.ledger.opened() == Some(self.threads + 1) {
            log::full(self.threads, "threads", "queue");
        }
        self.queue.put(connection);
        Ok(())
    }

    fn tend(&mut self, tally: &mut Tally) {
        self.ledger.absorb(0, tally);
    }

    fn restless(&self) -> bool {
        false
    }
}
