//! The counts of a daemon, in memory that its threads and its children share.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use c10k_record::{MonitorSummary, SCHEMA};
use c10k_sys::{rusage, shared_counters};

/// What is counted; each variant is the index of its counter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    Accepted,
    Requests,
    Refused,
    Timeouts,
    Subscribers,
    SubscribersNow,
    SubscribersMax,
    Samples,
    PeriodsMissed,
    LinesDue,
    LinesSent,
    LinesSkipped,
    LinesCut,
    LostChildren,
}

const ALL: usize = Count::LostChildren as usize + 1;

/// The counts of a running daemon. Clones are the same counts.
#[derive(Debug, Clone)]
pub struct Counts {
    cells: &'static [AtomicU64],
    model: &'static str,
    mechanism: Option<&'static str>,
}

impl Counts {
    pub(crate) fn open(model: &'static str, mechanism: Option<&'static str>) -> io::Result<Counts> {
        let cells = shared_counters::map(ALL)?;
        Ok(Counts {
            cells,
            model,
            mechanism,
        })
    }

    pub(crate) fn add(&self, count: Count, number: u64) {
        self.cells[count as usize].fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, count: Count) -> u64 {
        self.cells[count as usize].load(Ordering::Relaxed)
    }

    /// Counts a subscriber, unless there are `most` already. Returns whether it was counted.
    pub(crate) fn subscribe(&self, most: usize) -> bool {
        let now = self.cells[Count::SubscribersNow as usize].fetch_add(1, Ordering::Relaxed) + 1;
        if now > most as u64 {
            self.unsubscribe();
            return false;
        }
        self.cells[Count::SubscribersMax as usize].fetch_max(now, Ordering::Relaxed);
        self.add(Count::Subscribers, 1);
        true
    }

    pub(crate) fn unsubscribe(&self) {
        self.cells[Count::SubscribersNow as usize].fetch_sub(1, Ordering::Relaxed);
    }

    /// How many subscribers there are now.
    #[must_use]
    pub fn subscribers_now(&self) -> u64 {
        self.get(Count::SubscribersNow)
    }

    /// The totals so far.
    #[must_use]
    pub fn summary(&self) -> MonitorSummary {
        let usage = rusage::of_process()
            .unwrap_or_default()
            .plus(rusage::of_children().unwrap_or_default());
        MonitorSummary {
            schema: SCHEMA,
            model: self.model.to_owned(),
            mechanism: self.mechanism.map(ToOwned::to_owned),
            accepted: self.get(Count::Accepted),
            requests: self.get(Count::Requests),
            refused: self.get(Count::Refused),
            timeouts: self.get(Count::Timeouts),
            subscribers: self.get(Count::Subscribers),
            subscribers_max: self.get(Count::SubscribersMax),
            samples: self.get(Count::Samples),
            periods_missed: self.get(Count::PeriodsMissed),
            lines_due: self.get(Count::LinesDue),
            lines_sent: self.get(Count::LinesSent),
            lines_skipped: self.get(Count::LinesSkipped),
            lines_cut: self.get(Count::LinesCut),
            lost_children: self.get(Count::LostChildren),
            cpu_user_ns: usage.user_ns,
            cpu_system_ns: usage.system_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_beyond_the_limit_is_not_counted() {
        let counts = Counts::open("m", None).expect("a page");
        assert!(counts.subscribe(2) && counts.subscribe(2));
        assert!(!counts.subscribe(2));
        assert_eq!(counts.subscribers_now(), 2);
        counts.unsubscribe();
        assert!(counts.subscribe(2));
        let summary = counts.summary();
        assert_eq!((summary.subscribers, summary.subscribers_max), (3, 2));
    }
}
