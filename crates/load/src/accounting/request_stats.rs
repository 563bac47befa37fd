//! Counts and latencies of requests. Every request of the schedule is counted as due once and ends in exactly one way.
//!
//! Instants come in as arguments. Each thread has its own [`RequestStats`]; they are added up when the run has ended.
//! Requests of the warm-up are passed to the same functions and are not counted.
//!
//! **What the percentiles include.** Latency has one value for each intended request that has ended. For an answered
//! request it is the time from its scheduled instant to the last byte of its reply. A request that timed out, failed or
//! could not be sent in time has no latency, but it has a lower bound: its user got nothing within the time limit. It
//! is recorded with the time limit, or with the time it took to fail if that is longer. So failures raise percentiles
//! to the limit and can never improve them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::accounting::failure::{FAILURES, Failure, Origin, by_name};
use crate::accounting::histogram::DurationHistogram;
use crate::accounting::occupancy::Occupancy;
use crate::accounting::request::{Outcome, Period, Request};
use crate::accounting::row_stats::RowStats;
use crate::accounting::series::{Quarters, Series};
use crate::clock::{Moment, duration_ns};

/// The limits that the statistics depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Time limit of a request, from its scheduled instant, nanoseconds.
    pub(crate) timeout_ns: u64,
    /// A request is late if its send lag is longer than this, nanoseconds.
    pub(crate) late_ns: u64,
    /// The measured time, nanoseconds.
    pub(crate) duration_ns: u64,
}

/// Counts and latencies of one thread, or of all threads.
#[derive(Debug, Clone)]
pub(crate) struct RequestStats {
    bounds: Bounds,
    /// The start of the measured time.
    measure: Moment,
    /// Requests due.
    pub(crate) intended: u64,
    /// Requests sent: their bytes, or the connect that precedes them, were passed to the kernel.
    pub(crate) sent: u64,
    /// Requests sent late.
    pub(crate) late: u64,
    /// Requests given up before they could be sent.
    pub(crate) never_sent: u64,
    /// Requests answered and verified.
    pub(crate) completed: u64,
    /// Requests not answered in time.
    pub(crate) timed_out: u64,
    failed: [u64; FAILURES.len()],
    /// Good replies whose last byte arrived in the measured time, whenever they were due.
    pub(crate) replies_in_window: u64,
    /// From the scheduled instant to the end, with the lower bound for requests without a good reply.
    pub(crate) latency: DurationHistogram,
    /// From the actual send to the end, with the lower bound for requests without a good reply.
    pub(crate) service: DurationHistogram,
    /// From the scheduled instant to the actual send.
    pub(crate) send_lag: DurationHistogram,
    /// From the scheduled instant until the generator handled the request: the part of the send lag that the generator
    /// causes. The rest is the wait for a busy connection.
    pub(crate) own_lag: DurationHistogram,
    /// The same counts over time.
    pub(crate) series: Series,
    /// Requests due and replies in each quarter of the measured time.
    pub(crate) quarters: Quarters,
    /// The number of requests in the system, including those of the warm-up.
    pub(crate) occupancy: Occupancy,
    /// The same counts for each row of a mix; empty without a mix.
    pub(crate) rows: Vec<RowStats>,
}

impl RequestStats {
    /// Empty statistics.
    #[must_use]
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            measure: Moment(u64::MAX),
            intended: 0,
            sent: 0,
            late: 0,
            never_sent: 0,
            completed: 0,
            timed_out: 0,
            failed: [0; FAILURES.len()],
            replies_in_window: 0,
            latency: DurationHistogram::new(),
            service: DurationHistogram::new(),
            send_lag: DurationHistogram::new(),
            own_lag: DurationHistogram::new(),
            series: Series::new(Duration::from_nanos(bounds.duration_ns)),
            quarters: Quarters::default(),
            occupancy: Occupancy::default(),
            rows: Vec::new(),
        }
    }

    /// Counts each of `rows` rows of a mix too.
    #[must_use]
    pub(crate) fn with_rows(self, rows: usize) -> Self {
        let duration = Duration::from_nanos(self.bounds.duration_ns);
        Self {
            rows: (0..rows).map(|_| RowStats::new(duration)).collect(),
            ..self
        }
    }

    /// Counts from zero, in a measured time that starts at `measure`.
    pub(crate) fn restart(&mut self, measure: Moment) {
        *self = Self::new(self.bounds).with_rows(self.rows.len());
        self.begin(measure);
    }

    /// Makes the slices of the time series as narrow as `width`, before anything is counted.
    pub(crate) fn set_slices(&mut self, width: Duration) {
        let narrow = || Series::with_slices(Duration::from_nanos(self.bounds.duration_ns), width);
        self.series = narrow();
        for row in &mut self.rows {
            row.series = narrow();
        }
    }

    /// Sets the start of the measured time.
    pub(crate) fn begin(&mut self, measure: Moment) {
        self.measure = measure;
        self.occupancy
            .between(measure, measure.after_ns(self.bounds.duration_ns));
    }

    /// Shortens the measured time of a run that ends early.
    pub(crate) fn cut(&mut self, measure: Moment, measured: Duration) {
        self.bounds.duration_ns = duration_ns(measured);
        self.begin(measure);
    }

    /// The generator handles a request that is due.
    pub(crate) fn due(&mut self, request: Request, now: Moment) {
        self.occupancy.entered(request.scheduled, now);
        if request.period == Period::Measured {
            self.intended += 1;
            self.own_lag.record(now.since_ns(request.scheduled));
            let offset = request.scheduled.since_ns(self.measure);
            if let Some(slice) = self.series.at(offset) {
                slice.due += 1;
            }
            if let Some(row) = self.row(request) {
                row.due(offset);
            }
            self.quarters.due[Quarters::of(offset, self.bounds.duration_ns)] += 1;
        }
    }

    /// The request is being sent.
    pub(crate) fn sent(&mut self, request: Request, now: Moment) {
        if request.period == Period::Measured {
            let lag = now.since_ns(request.scheduled);
            self.sent += 1;
            self.late += u64::from(lag > self.bounds.late_ns);
            self.send_lag.record(lag);
            if let Some(row) = self.row(request) {
                row.sent += 1;
            }
        }
    }

    /// A reply to the request was received in full.
    pub(crate) fn replied(&mut self, request: Request, status: u16) {
        if request.period == Period::Measured
            && let Some(row) = self.row(request)
        {
            row.replied(status);
        }
    }

    /// The request was given up before it was sent.
    pub(crate) fn never_sent(&mut self, request: Request, now: Moment) {
        self.occupancy.left(request.scheduled, now);
        if request.period == Period::Measured {
            self.never_sent += 1;
            self.add_to_series(request, None, 0, now);
            let latency = self.at_least_the_limit(now.since_ns(request.scheduled));
            self.latency.record(latency);
            if let Some(row) = self.row(request) {
                row.never_sent(latency);
            }
        }
    }

    /// A request that was sent at `sent` has ended.
    pub(crate) fn ended(&mut self, request: Request, sent: Moment, outcome: Outcome, now: Moment) {
        let (mut latency, mut service) = (now.since_ns(request.scheduled), now.since_ns(sent));
        self.add_to_series(request, Some(outcome), latency, now);
        self.occupancy.left(request.scheduled, now);
        if request.period == Period::Warmup {
            return;
        }
        match outcome {
            Outcome::Completed => self.completed += 1,
            Outcome::TimedOut => self.timed_out += 1,
            Outcome::Failed(failure) => self.failed[failure as usize] += 1,
        }
        if outcome != Outcome::Completed {
            latency = self.at_least_the_limit(latency);
            service = self.at_least_the_limit(service);
        }
        self.latency.record(latency);
        self.service.record(service);
        if let Some(row) = self.row(request) {
            row.ended(outcome, latency, service);
        }
    }

    /// A session was completed.
    pub(crate) fn session_completed(&mut self, now: Moment) {
        if (self.measure..self.measure.after_ns(self.bounds.duration_ns)).contains(&now)
            && let Some(slice) = self.series.at(now.since_ns(self.measure))
        {
            slice.sessions += 1;
        }
    }

    /// Adds the statistics of another thread.
    pub(crate) fn add(&mut self, other: &Self) {
        self.intended += other.intended;
        self.sent += other.sent;
        self.late += other.late;
        self.never_sent += other.never_sent;
        self.completed += other.completed;
        self.timed_out += other.timed_out;
        for (sum, count) in self.failed.iter_mut().zip(other.failed) {
            *sum += count;
        }
        self.replies_in_window += other.replies_in_window;
        self.latency.add(&other.latency);
        self.service.add(&other.service);
        self.send_lag.add(&other.send_lag);
        self.own_lag.add(&other.own_lag);
        self.series.add(&other.series);
        self.quarters.add(&other.quarters);
        self.occupancy.add(&other.occupancy);
        for (sum, one) in self.rows.iter_mut().zip(&other.rows) {
            sum.add(one);
        }
    }

    /// Failed requests by kind; kinds that did not occur are left out.
    #[must_use]
    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        by_name(&self.failed)
    }

    /// Failed requests of all kinds.
    #[must_use]
    pub(crate) fn failed_total(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Failed requests of one kind.
    #[must_use]
    pub(crate) fn failed(&self, failure: Failure) -> u64 {
        self.failed[failure as usize]
    }

    /// The kinds of failure that the generator's own limits caused, with their counts.
    pub(crate) fn failed_by_generator(&self) -> impl Iterator<Item = (Failure, u64)> {
        let rows = FAILURES.iter().filter(|row| row.origin == Origin::Generator);
        rows.map(|row| (row.failure, self.failed(row.failure)))
            .filter(|&(_, count)| count > 0)
    }

    /// Requests that were sent and have not ended.
    #[must_use]
    pub(crate) fn in_flight(&self) -> u64 {
        self.sent - self.completed - self.timed_out - self.failed_total()
    }

    /// The row of the request, if there is a mix.
    fn row(&mut self, request: Request) -> Option<&mut RowStats> {
        self.rows.get_mut(usize::from(request.choice.row))
    }

    /// Counts the end of a request in the time series. `None` means that it was never sent.
    fn add_to_series(&mut self, request: Request, outcome: Option<Outcome>, latency: u64, now: Moment) {
        let end = self.measure.after_ns(self.bounds.duration_ns);
        if now < self.measure || now >= end {
            return;
        }
        let offset = now.since_ns(self.measure);
        if !self.series.add_end(offset, outcome, latency) {
            return;
        }
        if outcome == Some(Outcome::Completed) {
            self.replies_in_window += 1;
            self.quarters.replies[Quarters::of(offset, self.bounds.duration_ns)] += 1;
        }
        if let Some(row) = self.row(request) {
            row.ended_at(offset, outcome, latency);
        }
    }

    fn at_least_the_limit(&self, ns: u64) -> u64 {
        ns.max(self.bounds.timeout_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Choice;

    const BOUNDS: Bounds = Bounds {
        duration_ns: 1_000_000_000,
        timeout_ns: 1_000_000,
        late_ns: 100,
    };

    fn request(scheduled: u64, period: Period) -> Request {
        Request {
            scheduled: Moment(scheduled),
            period,
            choice: Choice::default(),
        }
    }

    #[test]
    fn the_slices_of_all_rows_are_as_narrow_as_those_of_the_total() {
        let mut stats = RequestStats::new(BOUNDS).with_rows(2);
        let width = Duration::from_millis(10);
        stats.set_slices(width);
        let rows = stats.rows.iter().map(|row| row.series.width());
        assert!(rows.chain([stats.series.width()]).all(|narrow| narrow == width));
    }

    #[test]
    fn latency_counts_from_the_scheduled_instant_and_service_from_the_send() {
        let mut stats = RequestStats::new(BOUNDS);
        let late = request(1_000, Period::Measured);
        stats.due(late, Moment(1_010));
        stats.sent(late, Moment(1_500));
        stats.ended(late, Moment(1_500), Outcome::Completed, Moment(1_900));
        assert_eq!((stats.latency.summary().max, stats.service.summary().max), (900, 400));
        assert_eq!((stats.send_lag.summary().max, stats.own_lag.summary().max), (500, 10));
        assert_eq!((stats.late, stats.completed, stats.in_flight()), (1, 1, 0));
    }

    #[test]
    fn failures_count_with_at_least_the_time_limit() {
        let mut stats = RequestStats::new(BOUNDS);
        let ends = [
            Outcome::Completed,
            Outcome::TimedOut,
            Outcome::Failed(Failure::ConnectionReset),
        ];
        for outcome in ends {
            let one = request(0, Period::Measured);
            stats.due(one, Moment(0));
            stats.sent(one, Moment(0));
            stats.ended(one, Moment(0), outcome, Moment(50));
        }
        let lost = request(0, Period::Measured);
        stats.due(lost, Moment(0));
        stats.never_sent(lost, Moment(2_000_000));
        assert_eq!(stats.latency.count(), stats.intended);
        assert_eq!(stats.latency.at(0.25), 50);
        assert!(stats.latency.at(0.5) >= BOUNDS.timeout_ns);
        assert!(stats.latency.summary().max >= 2_000_000);
        assert_eq!(stats.service.count(), stats.sent);
        assert_eq!(stats.errors(), BTreeMap::from([("connreset".to_owned(), 1)]));
    }

    /// Records every kind of ending, each with a different count.
    fn record_every_ending(all: &mut [&mut RequestStats], times: u64) {
        let ends = [
            Outcome::Completed,
            Outcome::Completed,
            Outcome::Completed,
            Outcome::TimedOut,
            Outcome::TimedOut,
            Outcome::Failed(Failure::Truncated),
        ];
        for stats in all {
            stats.begin(Moment(1_000));
            for number in 0..times {
                for (place, outcome) in (1..).zip(ends) {
                    let at = 1_000 + number * 300_000_000;
                    let one = request(at, Period::Measured);
                    let now = Moment(at + place * (40 + times));
                    stats.due(one, Moment(at + place));
                    stats.sent(one, now);
                    stats.ended(one, now, outcome, now.after_ns(place * 7));
                }
                let lost = request(1_000, Period::Measured);
                stats.due(lost, Moment(1_500));
                stats.never_sent(lost, Moment(3_000_000 + number));
            }
        }
    }

    #[test]
    fn adding_two_threads_gives_the_statistics_of_one_thread_that_did_both() {
        let (mut one, mut other, mut both) = (
            RequestStats::new(BOUNDS),
            RequestStats::new(BOUNDS),
            RequestStats::new(BOUNDS),
        );
        record_every_ending(&mut [&mut one, &mut both], 2);
        record_every_ending(&mut [&mut other, &mut both], 3);
        one.add(&other);
        let counts = |stats: &RequestStats| {
            [
                stats.intended,
                stats.sent,
                stats.late,
                stats.never_sent,
                stats.completed,
                stats.timed_out,
                stats.failed_total(),
                stats.replies_in_window,
                stats.in_flight(),
            ]
        };
        assert_eq!(counts(&one), [35, 30, 20, 5, 15, 10, 5, 15, 0]);
        assert_eq!(counts(&both), counts(&one));
        let durations = |stats: &RequestStats| {
            [&stats.latency, &stats.service, &stats.send_lag, &stats.own_lag]
                .map(|durations| (durations.count(), durations.summary()))
        };
        assert_eq!(durations(&one), durations(&both));
        assert_eq!(one.series, both.series);
        assert_eq!(one.quarters, both.quarters);
        assert_eq!(one.quarters.replies.iter().sum::<u64>(), one.replies_in_window);
        assert_eq!(one.quarters.due.iter().sum::<u64>(), one.intended);
        let [slice] = one.series.slices() else {
            panic!("one second is one slice")
        };
        assert_eq!((slice.due, slice.replies, slice.lost), (35, 15, 20));
        // The last of three simultaneous good replies, in the later thread.
        assert_eq!(slice.latency_max_ns, 3 * (40 + 3) + 3 * 7);
    }

    #[test]
    fn a_request_that_fails_fast_counts_with_the_time_limit() {
        let mut stats = RequestStats::new(BOUNDS);
        let one = request(0, Period::Measured);
        stats.sent(one, Moment(3));
        stats.ended(one, Moment(3), Outcome::Failed(Failure::ConnectionRefused), Moment(5));
        stats.never_sent(one, Moment(7));
        let limit = BOUNDS.timeout_ns;
        assert_eq!((stats.latency.count(), stats.service.count()), (2, 1));
        assert!(stats.latency.summary().min.abs_diff(limit) <= limit / 1000);
        assert!(stats.service.summary().min.abs_diff(limit) <= limit / 1000);
    }

    #[test]
    fn a_reply_at_the_end_of_the_measured_time_is_outside_it() {
        let mut stats = RequestStats::new(BOUNDS);
        stats.begin(Moment(100));
        for now in [99, 100, 100 + BOUNDS.duration_ns - 1, 100 + BOUNDS.duration_ns] {
            let one = request(100, Period::Measured);
            stats.due(one, Moment(100));
            stats.sent(one, Moment(100));
            stats.ended(one, Moment(100), Outcome::Completed, Moment(now));
        }
        assert_eq!((stats.completed, stats.replies_in_window), (4, 2));
    }

    #[test]
    fn a_request_is_late_only_beyond_the_bound() {
        let mut stats = RequestStats::new(BOUNDS);
        for lag in [BOUNDS.late_ns, BOUNDS.late_ns + 1] {
            stats.sent(request(0, Period::Measured), Moment(lag));
        }
        assert_eq!((stats.sent, stats.late), (2, 1));
    }

    #[test]
    fn requests_of_the_warm_up_are_not_counted() {
        let mut stats = RequestStats::new(BOUNDS);
        let early = request(0, Period::Warmup);
        stats.due(early, Moment(5));
        stats.sent(early, Moment(5));
        stats.ended(early, Moment(5), Outcome::TimedOut, Moment(10));
        stats.never_sent(early, Moment(9));
        assert_eq!(
            (stats.intended, stats.sent, stats.timed_out, stats.never_sent),
            (0, 0, 0, 0)
        );
        assert_eq!(
            stats.latency.count() + stats.send_lag.count() + stats.own_lag.count(),
            0
        );
    }
}
