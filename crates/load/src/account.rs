//! The books of a run: every request of the schedule is entered once and ends in exactly one column.
//!
//! Nothing here reads a clock; instants come in as arguments. Each thread keeps its own [`Account`]; they are added up
//! at the end. Requests of the warm-up pass through the same calls and leave no trace.
//!
//! **What the percentiles hold.** Latency is one value for each intended request that has ended. An answered request
//! counts with the time from its scheduled instant to the last byte of its reply. A request that timed out, failed, or
//! could not be sent in time has no latency, but it has a lower bound: its user got nothing within the time limit. It
//! counts with the time limit (or with the time it took to fail, where that is longer). So failures push percentiles up
//! to the limit and can never make them look better.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{Moment, duration_ns};
use crate::failure::{Blame, FAILURES, Failure};
use crate::histogram::Durations;
use crate::occupancy::Occupancy;
use crate::series::{Quarters, Series};

/// One request, from its scheduled instant on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// When it was due.
    pub scheduled: Moment,
    /// Whether it was due in the measured time.
    pub standing: Standing,
}

/// Whether a request enters the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Due in the measured time.
    Counted,
    /// Warm-up.
    WarmUp,
}

/// How a request that was sent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered in full and verified.
    Completed,
    /// Not answered within the time limit.
    TimedOut,
    /// Failed.
    Failed(Failure),
}

/// The bounds that the books are kept by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Time limit of a request, from its scheduled instant, nanoseconds.
    pub timeout_ns: u64,
    /// Send lag beyond which a request counts as late, nanoseconds.
    pub late_ns: u64,
    /// The measured time, nanoseconds.
    pub duration_ns: u64,
}

/// The books of one thread, or of all.
#[derive(Debug, Clone)]
pub struct Account {
    bounds: Bounds,
    /// Where the measured time begins.
    measure: Moment,
    /// Requests due.
    pub intended: u64,
    /// Requests sent: their bytes, or the connect that precedes them, were handed to the kernel.
    pub sent: u64,
    /// Of those sent, later than the bound.
    pub late: u64,
    /// Requests given up before they could be sent.
    pub never_sent: u64,
    /// Requests answered and verified.
    pub completed: u64,
    /// Requests not answered in time.
    pub timed_out: u64,
    failed: [u64; FAILURES.len()],
    /// Good replies whose last byte came within the measured time, whenever they were due.
    pub replies_in_window: u64,
    /// From the scheduled instant to the end, with the bound of those that got no answer.
    pub latency: Durations,
    /// From the actual send to the end, with the bound of those that got no answer.
    pub service: Durations,
    /// From the scheduled instant to the actual send.
    pub send_lag: Durations,
    /// From the scheduled instant to the moment when the generator turned to the request: the part of the send lag
    /// that is the generator's own, not a wait for a busy connection.
    pub own_lag: Durations,
    /// The same counts over time.
    pub series: Series,
    /// Requests due and replies in each quarter of the measured time.
    pub quarters: Quarters,
    /// How many requests were in the system, those of the warm-up among them.
    pub occupancy: Occupancy,
}

impl Account {
    /// Empty books.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
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
            latency: Durations::new(),
            service: Durations::new(),
            send_lag: Durations::new(),
            own_lag: Durations::new(),
            series: Series::new(Duration::from_nanos(bounds.duration_ns)),
            quarters: Quarters::default(),
            occupancy: Occupancy::default(),
        }
    }

    /// The measured time begins at `measure`.
    pub fn begin(&mut self, measure: Moment) {
        self.measure = measure;
        self.occupancy
            .between(measure, measure.after_ns(self.bounds.duration_ns));
    }

    /// The run ends early: the measured time begins at `measure` and is only this long.
    pub fn cut(&mut self, measure: Moment, measured: Duration) {
        self.bounds.duration_ns = duration_ns(measured);
        self.begin(measure);
    }

    /// The generator has turned to a request that is due.
    pub fn due(&mut self, request: Request, now: Moment) {
        self.occupancy.came(request.scheduled, now);
        if request.standing == Standing::Counted {
            self.intended += 1;
            self.own_lag.record(now.since_ns(request.scheduled));
            let offset = request.scheduled.since_ns(self.measure);
            if let Some(slice) = self.series.at(offset) {
                slice.due += 1;
            }
            self.quarters.due[Quarters::of(offset, self.bounds.duration_ns)] += 1;
        }
    }

    /// The request is being sent.
    pub fn sent(&mut self, request: Request, now: Moment) {
        if request.standing == Standing::Counted {
            let lag = now.since_ns(request.scheduled);
            self.sent += 1;
            self.late += u64::from(lag > self.bounds.late_ns);
            self.send_lag.record(lag);
        }
    }

    /// The request was given up before it was sent.
    pub fn never_sent(&mut self, request: Request, now: Moment) {
        self.occupancy.went(request.scheduled, now);
        if request.standing == Standing::Counted {
            self.never_sent += 1;
            self.enter_in_series(None, 0, now);
            self.latency
                .record(self.at_least_the_limit(now.since_ns(request.scheduled)));
        }
    }

    /// A request that was sent at `sent` has ended.
    pub fn ended(&mut self, request: Request, sent: Moment, outcome: Outcome, now: Moment) {
        let (mut latency, mut service) = (now.since_ns(request.scheduled), now.since_ns(sent));
        self.enter_in_series(Some(outcome), latency, now);
        self.occupancy.went(request.scheduled, now);
        if request.standing == Standing::WarmUp {
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
    }

    /// `None` is a request that was never sent.
    fn enter_in_series(&mut self, outcome: Option<Outcome>, latency: u64, now: Moment) {
        let end = self.measure.after_ns(self.bounds.duration_ns);
        if now < self.measure || now >= end {
            return;
        }
        let offset = now.since_ns(self.measure);
        let Some(slice) = self.series.at(offset) else {
            return;
        };
        if outcome == Some(Outcome::Completed) {
            self.replies_in_window += 1;
            self.quarters.replies[Quarters::of(offset, self.bounds.duration_ns)] += 1;
            slice.replies += 1;
            slice.latency_sum_ns += latency;
            slice.latency_max_ns = slice.latency_max_ns.max(latency);
        } else {
            slice.lost += 1;
        }
    }

    /// Adds the books of another thread.
    pub fn add(&mut self, other: &Self) {
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
    }

    /// Failed requests by kind, those that occurred.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<String, u64> {
        let occurred = FAILURES.iter().zip(self.failed).filter(|&(_, count)| count > 0);
        occurred.map(|(row, count)| (row.name.to_owned(), count)).collect()
    }

    /// Requests that failed, of every kind.
    #[must_use]
    pub fn failed_in_all(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Failed requests of one kind.
    #[must_use]
    pub fn failed(&self, failure: Failure) -> u64 {
        self.failed[failure as usize]
    }

    /// Requests that failed through the generator's own limits.
    #[must_use]
    pub fn failed_by_client(&self) -> u64 {
        let own = FAILURES
            .iter()
            .zip(self.failed)
            .filter(|(row, _)| row.blame == Blame::Client);
        own.map(|(_, count)| count).sum()
    }

    /// Requests sent and not ended.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.sent - self.completed - self.timed_out - self.failed_in_all()
    }

    fn at_least_the_limit(&self, ns: u64) -> u64 {
        ns.max(self.bounds.timeout_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        duration_ns: 1_000_000_000,
        timeout_ns: 1_000_000,
        late_ns: 100,
    };

    fn request(scheduled: u64, standing: Standing) -> Request {
        Request {
            scheduled: Moment(scheduled),
            standing,
        }
    }

    #[test]
    fn latency_counts_from_the_scheduled_instant_and_service_from_the_send() {
        let mut account = Account::new(BOUNDS);
        let late = request(1_000, Standing::Counted);
        account.due(late, Moment(1_010));
        account.sent(late, Moment(1_500));
        account.ended(late, Moment(1_500), Outcome::Completed, Moment(1_900));
        assert_eq!(
            (account.latency.summary().max, account.service.summary().max),
            (900, 400)
        );
        assert_eq!(
            (account.send_lag.summary().max, account.own_lag.summary().max),
            (500, 10)
        );
        assert_eq!((account.late, account.completed, account.in_flight()), (1, 1, 0));
    }

    #[test]
    fn failures_bound_the_percentiles_from_below_at_the_time_limit() {
        let mut account = Account::new(BOUNDS);
        let ends = [
            Outcome::Completed,
            Outcome::TimedOut,
            Outcome::Failed(Failure::ConnectionReset),
        ];
        for outcome in ends {
            let one = request(0, Standing::Counted);
            account.due(one, Moment(0));
            account.sent(one, Moment(0));
            account.ended(one, Moment(0), outcome, Moment(50));
        }
        let lost = request(0, Standing::Counted);
        account.due(lost, Moment(0));
        account.never_sent(lost, Moment(2_000_000));
        assert_eq!(account.latency.count(), account.intended);
        assert_eq!(account.latency.at(0.25), 50);
        assert!(account.latency.at(0.5) >= BOUNDS.timeout_ns);
        assert!(account.latency.summary().max >= 2_000_000);
        assert_eq!(account.service.count(), account.sent);
        assert_eq!(account.errors(), BTreeMap::from([("connreset".to_owned(), 1)]));
    }

    /// Books with something in every column, other counts for each of them.
    fn full(accounts: &mut [&mut Account], times: u64) {
        let ends = [
            Outcome::Completed,
            Outcome::Completed,
            Outcome::Completed,
            Outcome::TimedOut,
            Outcome::TimedOut,
            Outcome::Failed(Failure::Truncated),
        ];
        for account in accounts {
            account.begin(Moment(1_000));
            for number in 0..times {
                for (place, outcome) in (1..).zip(ends) {
                    let at = 1_000 + number * 300_000_000;
                    let one = request(at, Standing::Counted);
                    let now = Moment(at + place * (40 + times));
                    account.due(one, Moment(at + place));
                    account.sent(one, now);
                    account.ended(one, now, outcome, now.after_ns(place * 7));
                }
                let lost = request(1_000, Standing::Counted);
                account.due(lost, Moment(1_500));
                account.never_sent(lost, Moment(3_000_000 + number));
            }
        }
    }

    #[test]
    fn the_books_of_two_threads_added_up_are_those_of_one_that_did_both() {
        let (mut one, mut other, mut both) = (Account::new(BOUNDS), Account::new(BOUNDS), Account::new(BOUNDS));
        full(&mut [&mut one, &mut both], 2);
        full(&mut [&mut other, &mut both], 3);
        one.add(&other);
        let counts = |account: &Account| {
            [
                account.intended,
                account.sent,
                account.late,
                account.never_sent,
                account.completed,
                account.timed_out,
                account.failed_in_all(),
                account.replies_in_window,
                account.in_flight(),
            ]
        };
        assert_eq!(counts(&one), [35, 30, 20, 5, 15, 10, 5, 15, 0]);
        assert_eq!(counts(&both), counts(&one));
        let durations = |account: &Account| {
            [&account.latency, &account.service, &account.send_lag, &account.own_lag]
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
        // The last of three good replies at once, of the thread that was later.
        assert_eq!(slice.latency_max_ns, 3 * (40 + 3) + 3 * 7);
    }

    #[test]
    fn a_request_that_fails_fast_counts_with_the_time_limit() {
        let mut account = Account::new(BOUNDS);
        let one = request(0, Standing::Counted);
        account.sent(one, Moment(3));
        account.ended(one, Moment(3), Outcome::Failed(Failure::ConnectionRefused), Moment(5));
        account.never_sent(one, Moment(7));
        let limit = BOUNDS.timeout_ns;
        assert_eq!((account.latency.count(), account.service.count()), (2, 1));
        assert!(account.latency.summary().min.abs_diff(limit) <= limit / 1000);
        assert!(account.service.summary().min.abs_diff(limit) <= limit / 1000);
    }

    #[test]
    fn what_ends_when_the_measured_time_does_is_not_within_it() {
        let mut account = Account::new(BOUNDS);
        account.begin(Moment(100));
        for now in [99, 100, 100 + BOUNDS.duration_ns - 1, 100 + BOUNDS.duration_ns] {
            let one = request(100, Standing::Counted);
            account.due(one, Moment(100));
            account.sent(one, Moment(100));
            account.ended(one, Moment(100), Outcome::Completed, Moment(now));
        }
        assert_eq!((account.completed, account.replies_in_window), (4, 2));
    }

    #[test]
    fn a_request_is_late_beyond_the_bound_and_not_at_it() {
        let mut account = Account::new(BOUNDS);
        for lag in [BOUNDS.late_ns, BOUNDS.late_ns + 1] {
            account.sent(request(0, Standing::Counted), Moment(lag));
        }
        assert_eq!((account.sent, account.late), (2, 1));
    }

    #[test]
    fn warm_up_leaves_no_trace() {
        let mut account = Account::new(BOUNDS);
        let early = request(0, Standing::WarmUp);
        account.due(early, Moment(5));
        account.sent(early, Moment(5));
        account.ended(early, Moment(5), Outcome::TimedOut, Moment(10));
        account.never_sent(early, Moment(9));
        assert_eq!(
            (account.intended, account.sent, account.timed_out, account.never_sent),
            (0, 0, 0, 0)
        );
        assert_eq!(
            account.latency.count() + account.send_lag.count() + account.own_lag.count(),
            0
        );
    }
}
