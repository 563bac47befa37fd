//! What went over the wire, beside the books: connections, bytes, status classes.

use crate::clock::Moment;
use crate::histogram::Durations;

/// Totals of a run from its start, warm-up included.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    /// Connections established for requests.
    pub connections: u64,
    /// Connections that are open for requests now.
    pub open: u64,
    /// The most that were open at once, on one thread; summed over threads an upper bound.
    pub open_max: u64,
    /// From the connect to its success.
    pub connect: Durations,
    /// From the connect to the close, of connections that had a reply.
    pub lifetime: Durations,
    /// From the send of a request to the first byte of its reply.
    pub response: Durations,
    /// Bytes of requests written.
    pub bytes_out: u64,
    /// Bytes read, heads included.
    pub bytes_in: u64,
    /// Bytes of bodies, decoded.
    pub body_bytes: u64,
    /// Replies by the first digit of their status, 2 to 5 at the indices 1 to 4; others at 0.
    pub statuses: [u64; 5],
}

impl Traffic {
    /// A connection was established.
    pub fn connected(&mut self, begun: Moment, now: Moment) {
        self.connections += 1;
        self.open += 1;
        self.open_max = self.open_max.max(self.open);
        self.connect.record(now.since_ns(begun));
    }

    /// An established connection was closed after so many replies.
    pub fn closed(&mut self, begun: Moment, replies: u64, now: Moment) {
        self.open -= 1;
        if replies > 0 {
            self.lifetime.record(now.since_ns(begun));
        }
    }

    /// A reply was complete.
    pub fn replied(&mut self, status: u16, body_bytes: u64) {
        let class = usize::from(status / 100);
        self.statuses[if (2..=5).contains(&class) { class - 1 } else { 0 }] += 1;
        self.body_bytes += body_bytes;
    }

    /// Replies of every status.
    #[must_use]
    pub fn replies(&self) -> u64 {
        self.statuses.iter().sum()
    }

    /// Adds the totals of another thread.
    pub fn add(&mut self, other: &Self) {
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
