//! A thread or process that accepts for others, until the server is asked to stop.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use crate::listener::{self, Accepted};
use crate::tally::Tally;
use crate::{ServeError, Stop, log};

/// How long nothing is accepted after a shortage.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Who gets what an acceptor accepts.
pub(crate) trait Reception {
    /// Whether there is room for one more connection; if not, why not.
    fn room(&mut self) -> Result<(), String>;

    /// Takes a connection; gives it back where it could not be served, with the reason.
    fn take(&mut self, connection: OwnedFd, tally: &mut Tally) -> Result<(), String>;

    /// Called at least ten times a second while [`restless`](Reception::restless), and after each accepted batch.
    fn tend(&mut self, tally: &mut Tally);

    /// Whether something has to be tended even when nobody connects.
    fn restless(&self) -> bool;
}

/// Accepts until the stop is requested; then takes what is left in the backlog and ends the listener, of which
/// children may hold copies.
pub(crate) fn run(listener: &OwnedFd, stop: &Stop, reception: &mut impl Reception) -> Result<(), ServeError> {
    let mut tally = Tally::default();
    let mut told = false;
    while !stop.is_requested() {
        let shortage = accept_all(listener, reception, &mut tally).err();
        if let (Some(why), false) = (&shortage, told) {
            told = true;
            log::shortage(why);
        }
        reception.tend(&mut tally);
        wait(listener, stop, shortage.is_some(), reception.restless(), &mut tally)?;
    }
    // Connections that cannot be served now never will be: the listener's end tells their clients.
    let _ = accept_all(listener, reception, &mut tally);
    // Children may hold copies of the listener: this ends it for all.
    let _ = shutdown(listener, Shutdown::Both);
    reception.tend(&mut tally);
    Ok(())
}

fn accept_all(listener: &OwnedFd, reception: &mut impl Reception, tally: &mut Tally) -> Result<(), String> {
    let before = tally.accepted;
    let outcome = loop {
        if let Err(why) = reception.room() {
            break Err(why);
        }
        tally.calls.accept4 += 1;
        match listener::accept_blocking(listener) {
            Accepted::Connection(connection) => {
                tally.accepted += 1;
                if let Err(why) = reception.take(connection, tally) {
                    break Err(why);
                }
            }
            Accepted::Nobody => break Ok(()),
            Accepted::Gone => {}
            Accepted::Shortage(errno) => break Err(format!("accept4 failed ({errno})")),
        }
    };
    tally.accept_turns += u64::from(tally.accepted > before);
    outcome
}

/// Waits for a connection or the stop; after a shortage for the stop alone, and not long.
fn wait(
    listener: &OwnedFd,
    stop: &Stop,
    after_shortage: bool,
    restless: bool,
    tally: &mut Tally,
) -> Result<(), ServeError> {
    let stop = stop.event()?;
    let mut both = [
        PollFd::from_borrowed_fd(stop, PollFlags::IN),
        PollFd::new(listener, PollFlags::IN),
    ];
    let watched = if after_shortage { &mut both[..1] } else { &mut both[..] };
    let soon = Timespec::try_from(BACK_OFF).ok().filter(|_| after_shortage || restless);
    tally.calls.poll += 1;
    match poll(watched, soon.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        // poll(2): for want of kernel memory, which somebody may give back.
        Err(Errno::NOMEM | Errno::AGAIN) => {
            std::thread::sleep(BACK_OFF);
            Ok(())
        }
        Err(errno) => Err(ServeError::System {
            call: "poll",
            cause: errno.into(),
        }),
    }
}
