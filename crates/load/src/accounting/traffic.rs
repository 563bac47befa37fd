//! Connections, bytes and status classes, counted from the start of the run.

use crate::accounting::histogram::DurationHistogram;
use crate::clock::Moment;

/// Totals of a run, including its warm-up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic {
    /// Connections established for requests.
    pub(crate) connections: u64,
    /// Connections open for requests now.
    pub(crate) open: u64,
    /// The maximum of `open` on one thread. The sum over threads is an upper bound for the run.
    pub(crate) open_max: u64,
    /// From the start of a connect to its success.
    pub(crate) connect: DurationHistogram,
    /// From the start of the connect to the close, connections with at least one reply only.
    pub(crate) lifetime: DurationHistogram,
    /// From the send of a request to the first byte of its reply.
    pub(crate) response: DurationHistogram,
    /// Bytes of requests that were written.
    pub(crate) bytes_out: u64,
    /// Bytes that were read, including heads.
    pub(crate) bytes_in: u64,
    /// Bytes of decoded bodies.
    pub(crate) body_bytes: u64,
    /// Replies by the first digit of their status: 2 to 5 at the indices 1 to 4, all others at 0.
    pub(crate) statuses: [u64; 5],
}

impl Traffic {
    /// A connection was established.
    pub(crate) fn connected(&mut self, connect_started: Moment, now: Moment) {
        self.connections += 1;
        self.open += 1;
        self.open_max = self.open_max.max(self.open);
        self.connect.record(now.since_ns(connect_started));
    }

    /// An established connection was closed after this many replies.
    pub(crate) fn closed(&mut self, connect_started: Moment, replies: u64, now: Moment) {
        self.open -= 1;
        if replies > 0 {
            self.lifetime.record(now.since_ns(connect_started));
        }
    }

    /// A reply was received in full.
    pub(crate) fn replied(&mut self, status: u16, body_bytes: u64) {
        let class = usize::from(status / 100);
        self.statuses[if (2..=5).contains(&class) { class - 1 } else { 0 }] += 1;
        self.body_bytes += body_bytes;
    }

    /// Replies with any status.
    #[must_use]
    pub(crate) fn replies(&self) -> u64 {
        self.statuses.iter().sum()
    }

    /// Adds the totals of another thread.
    pub(crate) fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.open += other.open;
        self.open_max += other.open_max;
        self.connect.add(&other.connect);
        self.lifetime.add(&other.lifetime);
        self.response.add(&other.response);
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
        self.body_bytes += other.body_bytes;
        for (sum, count) in self.statuses.iter_mut().zip(other.statuses) {
            *sum += count;
        }
    }
}
