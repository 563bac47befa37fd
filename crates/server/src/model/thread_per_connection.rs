//! `thread-per-connection`: a thread for every connection, started when it is accepted. The paper's on-demand threads.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use c10k_record::ServeSummary;

use super::{Descriptor, Dispatch};
use crate::acceptor::{self, Reception};
use crate::blocking::Clerk;
use crate::ledger::Ledger;
use crate::roster::{Roster, prepare_nudges};
use crate::tally::Tally;
use crate::{Config, ServeError, Server, Stop, limits};

pub(super) const ROW: Descriptor = Descriptor {
    name: "thread-per-connection",
    summary: "a thread for every connection, up to 8,000 unless said otherwise; more wait in the backlog",
    dispatch: Dispatch::Own,
    probe: || Ok(()),
    check: |_| Ok(()),
    run,
};

/// Threads at once by default: 8,000 stacks are a quarter of the usual limit on mappings.
const MOST: usize = 8000;

/// The stack of a thread; the machine's own depth is far below.
pub(super) const STACK: usize = 128 * 1024;

fn run(server: Server, stop: &Stop) -> Result<ServeSummary, ServeError> {
    prepare_nudges();
    let ledger = Arc::new(Ledger::open(&server.config, 1)?);
    let drain = server.config.deadlines.drain;
    let mut spawner = Spawner {
        most: server
            .config
            .max_connections
            .unwrap_or(MOST)
            .min(limits::room_for_connections()),
        config: Arc::new(server.config),
        ledger: Arc::clone(&ledger),
        roster: Arc::default(),
    };
    acceptor::run(&server.listener, stop, &mut spawner)?;
    ledger.stop();
    spawner.roster.see_off(drain);
    Ok(ledger.summary())
}

struct Spawner {
    config: Arc<Config>,
    ledger: Arc<Ledger>,
    roster: Arc<Roster>,
    most: usize,
}

impl Reception for Spawner {
    fn room(&mut self) -> Result<(), String> {
        if self.ledger.open_connections() < self.most {
            Ok(())
        } else {
            Err(format!("{} threads are as many as this model may start", self.most))
        }
    }

    fn take(&mut self, connection: OwnedFd, tally: &mut Tally) -> Result<(), String> {
        let (config, ledger, mut seat) = (
            Arc::clone(&self.config),
            Arc::clone(&self.ledger),
            self.roster.announce(),
        );
        self.ledger.opened();
        tally.calls.clone += 1;
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || {
            seat.take();
            Clerk::new(&config, ledger, 0).serve(connection);
        });
        thread.map(drop).map_err(|error| {
            self.ledger.closed();
            format!("starting a thread failed ({error})")
        })
    }

    fn tend(&mut self, tally: &mut Tally) {
        self.ledger.absorb(0, tally);
    }

    fn restless(&self) -> bool {
        false
    }
}
