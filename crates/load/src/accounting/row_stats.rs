//! Counts and latencies of the requests of one row of a mix. They add up to those of all requests.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::accounting::failure::{FAILURES, by_name};
use crate::accounting::histogram::DurationHistogram;
use crate::accounting::request::Outcome;
use crate::accounting::series::Series;

/// A status code has three digits (RFC 9110 15).
const STATUSES: usize = 1000;

/// Counts and latencies of one row, for the requests that were due in the measured time.
#[derive(Debug, Clone)]
pub(crate) struct RowStats {
    pub(crate) intended: u64,
    pub(crate) sent: u64,
    pub(crate) never_sent: u64,
    pub(crate) completed: u64,
    pub(crate) timed_out: u64,
    failed: [u64; FAILURES.len()],
    /// Replies that were received in full, by status.
    statuses: Vec<u64>,
    /// From the scheduled instant to the end, with the lower bound for requests without a good reply.
    pub(crate) latency: DurationHistogram,
    /// From the actual send to the end, with the lower bound for requests without a good reply.
    pub(crate) service: DurationHistogram,
    /// The same counts over time.
    pub(crate) series: Series,
}

impl RowStats {
    /// Empty statistics of a measured time of `duration`.
    #[must_use]
    pub(crate) fn new(duration: Duration) -> Self {
        Self {
            intended: 0,
            sent: 0,
            never_sent: 0,
            completed: 0,
            timed_out: 0,
            failed: [0; FAILURES.len()],
            statuses: vec![0; STATUSES],
            latency: DurationHistogram::new(),
            service: DurationHistogram::new(),
            series: Series::new(duration),
        }
    }

    /// A request is due, `offset_ns` after the start of the measured time.
    pub(crate) fn due(&mut self, offset_ns: u64) {
        self.intended += 1;
        if let Some(slice) = self.series.at(offset_ns) {
            slice.due += 1;
        }
    }

    /// A request was given up before it was sent.
    pub(crate) fn never_sent(&mut self, latency_ns: u64) {
        self.never_sent += 1;
        self.latency.record(latency_ns);
    }

    /// A reply was received in full.
    pub(crate) fn replied(&mut self, status: u16) {
        if let Some(count) = self.statuses.get_mut(usize::from(status)) {
            *count += 1;
        }
    }

    /// A request that was sent has ended.
    pub(crate) fn ended(&mut self, outcome: Outcome, latency_ns: u64, service_ns: u64) {
        match outcome {
            Outcome::Completed => self.completed += 1,
            Outcome::TimedOut => self.timed_out += 1,
            Outcome::Failed(failure) => self.failed[failure as usize] += 1,
        }
        self.latency.record(latency_ns);
        self.service.record(service_ns);
    }

    /// A request has ended, `offset_ns` after the start of the measured time, whenever it was due. `None` means that it was
    /// never sent.
    pub(crate) fn ended_at(&mut self, offset_ns: u64, outcome: Option<Outcome>, latency_ns: u64) {
        self.series.add_end(offset_ns, outcome, latency_ns);
    }

    /// Adds the statistics of another thread.
    pub(crate) fn add(&mut self, other: &Self) {
        self.intended += other.intended;
        self.sent += other.sent;
        self.never_sent += other.never_sent;
        self.completed += other.completed;
        self.timed_out += other.timed_out;
        for (sum, count) in self.failed.iter_mut().zip(other.failed) {
            *sum += count;
        }
        for (sum, count) in self.statuses.iter_mut().zip(&other.statuses) {
            *sum += count;
        }
        self.latency.add(&other.latency);
        self.service.add(&other.service);
        self.series.add(&other.series);
    }

    /// Failed requests by kind; kinds that did not occur are left out.
    #[must_use]
    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        by_name(&self.failed)
    }

    /// Replies by status; statuses that did not occur are left out.
    #[must_use]
    pub(crate) fn statuses(&self) -> BTreeMap<String, u64> {
        let occurred = self.statuses.iter().enumerate().filter(|&(_, &count)| count > 0);
        occurred.map(|(status, &count)| (status.to_string(), count)).collect()
    }

    /// Requests that were sent and have not ended.
    #[must_use]
    pub(crate) fn in_flight(&self) -> u64 {
        self.sent - self.completed - self.timed_out - self.failed.iter().sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::failure::Failure;

    #[test]
    fn adding_two_threads_gives_the_sum_of_every_count() {
        let mut row = RowStats::new(Duration::from_secs(2));
        for (offset, outcome) in [
            (0, Outcome::Completed),
            (1, Outcome::TimedOut),
            (2, Outcome::Failed(Failure::BadStatus)),
        ] {
            row.due(offset);
            row.sent += 1;
            row.ended(outcome, 7, 5);
            row.ended_at(offset, Some(outcome), 7);
        }
        row.due(3);
        row.never_sent(9);
        row.replied(200);
        row.replied(507);
        let one = row.clone();
        row.add(&one);
        assert_eq!((row.intended, row.sent, row.never_sent), (8, 6, 2));
        assert_eq!((row.completed, row.timed_out, row.in_flight()), (2, 2, 0));
        assert_eq!(row.errors(), BTreeMap::from([("bad-status".to_owned(), 2)]));
        let statuses = [("200".to_owned(), 2), ("507".to_owned(), 2)];
        assert_eq!(row.statuses(), BTreeMap::from(statuses));
        assert_eq!((row.latency.count(), row.service.count()), (8, 6));
        let slice = row.series.slices()[0];
        assert_eq!((slice.due, slice.replies, slice.lost), (8, 2, 4));
    }
}
