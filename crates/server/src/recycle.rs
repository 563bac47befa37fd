//! Workers that are replaced while the server goes on.

use std::str::FromStr;
use std::time::Duration;

/// When workers leave, and what becomes of the connections that they have not accepted: a rolling restart, as servers do to
/// load a configuration or to give memory back.
///
/// # Contract
/// - Each worker serves for [`after`](Self::after), and then leaves. The first ones leave one after the other, spread over that
///   time, so that they never leave together.
/// - The next worker of its place gets its connections from then on: it listens before the other one closes its listener.
/// - A worker that leaves drains: its replies close their connections, it ends a connection without a request after 250 ms, and
///   it takes no longer than the drain timeout. No connection that was accepted is reset before.
/// - A place has at most two workers, so a worker is not replaced before the one before it has ended.
/// - The numbers of a place go on: `/stats` has one entry for it, whoever serves.
/// - The end of the server is not affected: whatever [`backlog`](Self::backlog) says, then the backlog is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recycle {
    /// How long a worker serves, at least [`Recycle::LEAST`]; a server with less does not start.
    pub after: Duration,
    /// What a worker that leaves does with the connections that wait in the queue of its own listener. From a queue that is
    /// shared with other workers it always accepts what waits: it may be the only worker that was woken for it.
    pub backlog: Backlog,
}

/// What a worker that leaves does with the queue of its listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backlog {
    /// It accepts and serves them, until the queue is empty, and closes the listener then.
    Accept,
    /// It closes the listener at once, as many programs do. The kernel resets what waits, unless
    /// `net.ipv4.tcp_migrate_req` is set and another listener shares the port.
    Abandon,
}

impl Recycle {
    /// The shortest time for which a worker serves.
    pub const LEAST: Duration = Duration::from_millis(10);

    /// Refuses less than the least time.
    pub(crate) fn checked(self) -> Result<Recycle, RecycleError> {
        if self.after < Recycle::LEAST {
            return Err(RecycleError);
        }
        Ok(self)
    }
}

/// Why a text says nothing about when workers leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "give a duration of 10ms or more, such as 1h; with `:abandon` behind it, as in 250ms:abandon, a worker that leaves closes its listener without accepting what waits"
)]
#[non_exhaustive]
pub struct RecycleError;

impl FromStr for Recycle {
    type Err = RecycleError;

    /// Reads `1h` or `250ms:abandon`.
    fn from_str(text: &str) -> Result<Recycle, RecycleError> {
        let (after, backlog) = match text.split_once(':') {
            None => (text, Backlog::Accept),
            Some((after, "abandon")) => (after, Backlog::Abandon),
            Some(_) => return Err(RecycleError),
        };
        let after = c10k_units::duration::parse(after).map_err(|_| RecycleError)?;
        Recycle { after, backlog }.checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycling_is_a_time_and_perhaps_the_end_of_the_queue() {
        for (text, after, backlog) in [
            ("10ms", Recycle::LEAST, Backlog::Accept),
            ("1h", Duration::from_secs(3600), Backlog::Accept),
            ("250ms:abandon", Duration::from_millis(250), Backlog::Abandon),
        ] {
            assert_eq!(text.parse(), Ok(Recycle { after, backlog }), "{text}");
        }
        for text in ["", "0", "9ms", "1", "1s:", "1s:drop", "abandon", ":abandon"] {
            assert_eq!(text.parse::<Recycle>(), Err(RecycleError), "{text}");
        }
    }
}
