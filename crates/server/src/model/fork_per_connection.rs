//! `fork-per-connection`: a master accepts and forks a process for every connection. The Beowulf thread calls it suicide.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use c10k_record::ServeSummary;
use rustix::process::Pid;

use super::{Descriptor, Dispatch, children};
use crate::acceptor::{self, Reception};
use crate::blocking::Clerk;
use crate::ledger::Ledger;
use crate::roster::prepare_nudges;
use crate::tally::Tally;
use crate::{Config, ServeError, Server, Stop, limits};

pub(super) const ROW: Descriptor = Descriptor {
    name: "fork-per-connection",
    summary: "a process for every connection, up to 4,000 unless said otherwise; more wait in the backlog",
    dispatch: Dispatch::Own,
    probe: || Ok(()),
    check: |_| Ok(()),
    run,
};

/// Children at once by default.
const MOST: usize = 4000;

fn run(server: Server, stop: &Stop) -> Result<ServeSummary, ServeError> {
    prepare_nudges();
    let ledger = Arc::new(Ledger::open(&server.config, 1)?);
    let drain = server.config.deadlines.drain;
    let mut forker = Forker {
        most: server
            .config
            .max_connections
            .unwrap_or(MOST)
            .min(limits::room_for_connections()),
        config: server.config,
        ledger: Arc::clone(&ledger),
        children: Vec::new(),
    };
    acceptor::run(&server.listener, stop, &mut forker)?;
    ledger.stop();
    children::see_off(&mut forker.children, drain, || ledger.closed());
    Ok(ledger.summary())
}

struct Forker {
    config: Config,
    ledger: Arc<Ledger>,
    children: Vec<Pid>,
    most: usize,
}

impl Reception for Forker {
    fn room(&mut self) -> Result<(), String> {
        if self.children.len() < self.most {
            Ok(())
        } else {
            Err(format!("{} processes are as many as this model may start", self.most))
        }
    }

    fn take(&mut self, connection: OwnedFd, tally: &mut Tally) -> Result<(), String> {
        tally.calls.fork += 1;
        self.ledger.opened();
        let (config, ledger) = (&self.config, Arc::clone(&self.ledger));
        // Moved into the call: the parent's copy of the connection is closed when it returns.
        let child = children::start(move || {
            Clerk::new(config, ledger, 0).serve(connection);
        });
        match child {
            Ok(child) => {
                self.children.push(child);
                Ok(())
            }
            Err(error) => {
                self.ledger.closed();
                Err(format!("fork failed ({error})"))
            }
        }
    }

    fn tend(&mut self, tally: &mut Tally) {
        children::reap(&mut self.children, || self.ledger.closed());
        self.ledger.absorb(0, tally);
    }

    fn restless(&self) -> bool {
        !self.children.is_empty()
    }
}
