//! Accepting a batch of connections, until nobody waits or something is used up.

use std::fmt;
use std::io;

use super::listener::Accepted;
use crate::stats::WorkerStats;

/// Whoever accepts connections.
pub(crate) trait Accept {
    /// What an accept returns.
    type Connection;

    /// Whether there is room for another connection.
    fn room(&mut self) -> Result<(), Shortage>;

    /// Calls `accept4` once, and counts the call.
    fn accept(&mut self) -> Accepted<Self::Connection>;

    /// Takes and counts a connection. It is closed where that fails.
    fn take(&mut self, connection: Self::Connection) -> Result<(), Shortage>;

    /// Where calls and batches are counted.
    fn stats(&mut self) -> &mut WorkerStats;
}

/// Why a batch ended, where there was no shortage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchEnd {
    /// Nobody waits.
    Emptied,
    /// It is complete; more connections may wait.
    Full,
}

/// Accepts at most `most` connections.
///
/// # Errors
/// What is used up.
pub(crate) fn accept_batch(acceptor: &mut impl Accept, most: u32) -> Result<BatchEnd, Shortage> {
    let before = acceptor.stats().accepted;
    let mut left = most;
    let end = loop {
        if left == 0 {
            break Ok(BatchEnd::Full);
        }
        if let Err(shortage) = acceptor.room() {
            break Err(shortage);
        }
        match acceptor.accept() {
            Accepted::Connection(connection) => {
                if let Err(shortage) = acceptor.take(connection) {
                    break Err(shortage);
                }
            }
            Accepted::Nobody => break Ok(BatchEnd::Emptied),
            Accepted::Gone => {}
            Accepted::Shortage(errno) => break Err(Shortage::Call("accept4", errno.into())),
        }
        left -= 1;
    };
    let stats = acceptor.stats();
    stats.accept_turns += u64::from(stats.accepted > before);
    end
}

/// What is used up, so that accepting pauses.
#[derive(Debug)]
pub(crate) enum Shortage {
    /// As many connections are open as may be.
    Connections,
    /// There are as many workers as the model may start, processes or threads.
    Workers(usize, &'static str),
    /// Accept requests of a ring failed.
    Completions,
    /// A call failed.
    Call(&'static str, io::Error),
    /// The interest set refused a source.
    Watch(&'static str, String),
}

impl fmt::Display for Shortage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shortage::Connections => formatter.write_str("the limit on connections is reached"),
            Shortage::Workers(most, what) => write!(formatter, "{most} {what} are the most that this model may start"),
            Shortage::Completions => formatter.write_str("accepting failed for want of descriptors or memory"),
            Shortage::Call(call, error) => write!(formatter, "{call} failed ({error})"),
            Shortage::Watch(source, error) => write!(formatter, "watching {source}: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    /// A listener with some connections in its backlog, and room for some.
    struct Scripted {
        outcomes: Vec<Accepted<()>>,
        room: usize,
        stats: WorkerStats,
    }

    impl Scripted {
        fn new(mut outcomes: Vec<Accepted<()>>, room: usize) -> Scripted {
            outcomes.reverse();
            Scripted {
                outcomes,
                room,
                stats: WorkerStats::default(),
            }
        }
    }

    impl Accept for Scripted {
        type Connection = ();

        fn room(&mut self) -> Result<(), Shortage> {
            (self.stats.accepted < self.room as u64)
                .then_some(())
                .ok_or(Shortage::Connections)
        }

        fn accept(&mut self) -> Accepted<()> {
            self.stats.calls.accept4 += 1;
            self.outcomes.pop().unwrap_or(Accepted::Nobody)
        }

        fn take(&mut self, (): ()) -> Result<(), Shortage> {
            self.stats.accepted += 1;
            Ok(())
        }

        fn stats(&mut self) -> &mut WorkerStats {
            &mut self.stats
        }
    }

    fn connection() -> Accepted<()> {
        Accepted::Connection(())
    }

    #[test]
    fn a_batch_ends_when_nobody_waits() {
        let mut listener = Scripted::new(vec![connection(), Accepted::Gone, connection()], 9);
        assert!(matches!(accept_batch(&mut listener, u32::MAX), Ok(BatchEnd::Emptied)));
        let stats = &listener.stats;
        assert_eq!((stats.accepted, stats.calls.accept4, stats.accept_turns), (2, 4, 1));
    }

    #[test]
    fn a_batch_is_no_larger_than_the_policy_says() {
        let mut listener = Scripted::new((0..3).map(|_| connection()).collect(), 9);
        assert!(matches!(accept_batch(&mut listener, 2), Ok(BatchEnd::Full)));
        assert_eq!((listener.stats.accepted, listener.stats.calls.accept4), (2, 2));
    }

    #[test]
    fn nothing_is_accepted_without_room() {
        let mut listener = Scripted::new((0..3).map(|_| connection()).collect(), 2);
        assert!(matches!(
            accept_batch(&mut listener, u32::MAX),
            Err(Shortage::Connections)
        ));
        assert_eq!((listener.stats.accepted, listener.stats.calls.accept4), (2, 2));
    }

    #[test]
    fn a_shortage_ends_the_batch_and_names_the_call() {
        let mut listener = Scripted::new(vec![Accepted::Shortage(Errno::MFILE)], 9);
        let shortage = accept_batch(&mut listener, u32::MAX).expect_err("a shortage");
        assert_eq!(
            shortage.to_string(),
            "accept4 failed (Too many open files (os error 24))"
        );
        assert_eq!(listener.stats.accept_turns, 0);
    }
}
