//! `loop-per-core`: an event loop in each of several threads. The paper's hybrid.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use c10k_event::{MECHANISMS, Wakeup};
use c10k_record::ServeSummary;

use super::{Descriptor, Dispatch};
use crate::acceptor::{self, Reception};
use crate::ledger::Ledger;
use crate::reactor::{self, Entrance, Inbox};
use crate::tally::Tally;
use crate::{AcceptSharing, Config, ServeError, Server, Stop, limits};

pub(super) const ROW: Descriptor = Descriptor {
    name: "loop-per-core",
    summary: "an event loop in each of several threads, one per CPU unless --workers says otherwise",
    dispatch: Dispatch::Mechanism,
    probe: || Ok(()),
    check,
    run,
};

fn check(config: &Config) -> Result<(), String> {
    let name = config.mechanism.name();
    let exclusive = |row: &&&c10k_event::Descriptor| row.wakeups.contains(&Wakeup::Exclusive);
    if config.accept_sharing != AcceptSharing::Exclusive {
        return Ok(());
    }
    MECHANISMS
        .iter()
        .filter(exclusive)
        .find(|row| row.name == name)
        .map(|_| ())
        .ok_or_else(|| {
            let able: Vec<&str> = MECHANISMS.iter().filter(exclusive).map(|row| row.name).collect();
            format!(
                "{name} cannot wake one loop of several: use another accept sharing, or one of {}",
                able.join(", ")
            )
        })
}

fn run(server: Server, stop: &Stop) -> Result<ServeSummary, ServeError> {
    let loops = server.config.worker_loops();
    let handoff = server.config.accept_sharing == AcceptSharing::Handoff;
    let ledger = Arc::new(Ledger::open(&server.config, loops)?);
    let Server {
        mut config,
        listener,
        siblings,
        ..
    } = server;
    let room = config.max_connections.unwrap_or_else(limits::room_for_connections);
    // Each loop keeps to its share, so that all together stay below the cap.
    config.max_connections = Some((room / loops).max(1));
    let inboxes: Vec<Arc<Inbox>> = (0..if handoff { loops } else { 0 }).map(|_| Arc::default()).collect();
    let entrances = entrances(&config, &listener, siblings, &inboxes, loops)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = entrances
            .into_iter()
            .enumerate()
            .map(|(worker, entrance)| {
                let (config, ledger) = (&config, Arc::clone(&ledger));
                scope.spawn(move || {
                    let outcome = reactor::run(config, entrance, ledger, worker, stop);
                    if outcome.is_err() {
                        // One loop that fails ends the server, not a share of its connections.
                        stop.request();
                    }
                    outcome
                })
            })
            .collect();
        let accepted = if handoff {
            let mut reception = Handoff {
                inboxes: &inboxes,
                next: 0,
                ledger: &ledger,
                room,
            };
            let accepted = acceptor::run(&listener, stop, &mut reception);
            if accepted.is_err() {
                // Loops to which nobody brings connections any more would wait for ever.
                stop.request();
            }
            inboxes.iter().for_each(|inbox| inbox.close());
            accepted
        } else {
            Ok(())
        };
        // Each loop has its own copy, and this one would keep the port open when they drain.
        drop(listener);
        let served = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        served.fold(accepted, Result::and)
    })?;
    Ok(ledger.summary())
}

fn entrances(
    config: &Config,
    listener: &OwnedFd,
    siblings: Vec<OwnedFd>,
    inboxes: &[Arc<Inbox>],
    loops: usize,
) -> Result<Vec<Entrance>, ServeError> {
    let copy = || {
        listener
            .try_clone()
            .map_err(|cause| ServeError::System { call: "fcntl", cause })
    };
    let mut siblings = siblings.into_iter();
    (0..loops)
        .map(|worker| {
            Ok(match config.accept_sharing {
                // One more than there are siblings: the last has the listener itself.
                AcceptSharing::Reuseport => match siblings.next() {
                    Some(sibling) => Entrance::Listener(sibling),
                    None => Entrance::Listener(copy()?),
                },
                AcceptSharing::Exclusive => Entrance::Exclusive(copy()?),
                AcceptSharing::Shared => Entrance::Listener(copy()?),
                AcceptSharing::Handoff => Entrance::Inbox(Arc::clone(&inboxes[worker])),
            })
        })
        .collect()
}

/// Hands connections to the loops in turn.
struct Handoff<'a> {
    inboxes: &'a [Arc<Inbox>],
    next: usize,
    ledger: &'a Ledger,
    room: usize,
}

impl Reception for Handoff<'_> {
    fn room(&mut self) -> Result<(), String> {
        if self.ledger.open_connections() < self.room {
            Ok(())
        } else {
            Err("the cap on connections is reached".to_owned())
        }
    }

    fn take(&mut self, connection: OwnedFd, tally: &mut Tally) -> Result<(), String> {
        // Counted by the loop that serves it.
        tally.accepted -= 1;
        // The loops' sockets do not block; the acceptor's way of accepting is that of the blocking models.
        rustix::io::ioctl_fionbio(&connection, true).map_err(|errno| format!("ioctl failed ({errno})"))?;
        self.ledger.opened();
        self.inboxes[self.next].put(connection);
        self.next = (self.next + 1) % self.inboxes.len();
        Ok(())
    }

    fn tend(&mut self, tally: &mut Tally) {
        self.ledger.absorb(0, tally);
    }

    fn restless(&self) -> bool {
        false
    }
}
