//! How many requests are in the system, from the instant when they are due to the one when they end, on average over the
//! measured time.
//!
//! Counted: one more when a request is due, one fewer when it ends, and how long each number lasted. By Little's law it is the
//! rate of replies times the mean response time (J. D. C. Little, *A Proof for the Queuing Formula: L = λW*, Operations Research
//! 9, 1961), which whoever reads a run can check. The books check more: the measured time that each request says it spent in the
//! system adds up to the same sum, exactly, unless one was lost, ended twice or timed from a wrong instant.

use crate::clock::Moment;

/// The number in the system over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    from: Moment,
    to: Moment,
    /// Requests in the system.
    present: u64,
    /// Since when it is that many.
    since: Moment,
    /// Number × measured time, ns.
    area_ns: u128,
    /// Measured time that the requests which have ended spent in the system, ns.
    spent_ns: u128,
}

impl Default for Occupancy {
    fn default() -> Self {
        Self {
            from: Moment(u64::MAX),
            to: Moment(u64::MAX),
            present: 0,
            since: Moment(0),
            area_ns: 0,
            spent_ns: 0,
        }
    }
}

impl Occupancy {
    /// The measured time.
    pub fn between(&mut self, from: Moment, to: Moment) {
        (self.from, self.to) = (from, to);
    }

    /// A request that was due at `scheduled` has been seen at `now`.
    pub fn came(&mut self, scheduled: Moment, now: Moment) {
        self.pass_to(now);
        self.present += 1;
        self.area_ns += u128::from(self.measured(scheduled, now));
    }

    /// A request that was due at `scheduled` has ended.
    pub fn went(&mut self, scheduled: Moment, now: Moment) {
        self.pass_to(now);
        self.present = self.present.saturating_sub(1);
        self.spent_ns += u128::from(self.measured(scheduled, now));
    }

    fn pass_to(&mut self, now: Moment) {
        self.area_ns += self.area_until(now);
        self.since = self.since.max(now);
    }

    fn area_until(&self, now: Moment) -> u128 {
        u128::from(self.present) * u128::from(self.measured(self.since, now))
    }

    /// How much of the time between two instants was measured, ns.
    fn measured(&self, from: Moment, to: Moment) -> u64 {
        to.min(self.to).since_ns(from.max(self.from))
    }

    /// Requests in the system on average over the measured time.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self.to.since_ns(self.from) {
            0 => 0.0,
            measured_ns => (self.area_ns + self.area_until(self.to)) as f64 / measured_ns as f64,
        }
    }

    /// Whether the times of the requests add up to what was counted. Nothing is said while some are still there.
    #[must_use]
    pub fn reconciles(&self) -> bool {
        self.present > 0 || self.area_ns == self.spent_ns
    }

    /// Adds that of another thread, of the same measured time.
    pub fn add(&mut self, other: &Self) {
        self.area_ns += self.area_until(self.to) + other.area_ns + other.area_until(other.to);
        self.since = self.since.max(self.to);
        self.present += other.present;
        self.spent_ns += other.spent_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Occupancy {
        let mut occupancy = Occupancy::default();
        occupancy.between(Moment(100), Moment(200));
        occupancy
    }

    #[test]
    fn a_request_counts_for_as_long_as_it_is_there_and_as_it_is_measured() {
        for (scheduled, ended, mean) in [
            (110, 160, 0.5),
            (100, 200, 1.0),
            (50, 150, 0.5),
            (150, 300, 0.5),
            (50, 300, 1.0),
            (0, 90, 0.0),
            (210, 220, 0.0),
        ] {
            let mut occupancy = measured();
            occupancy.came(Moment(scheduled), Moment(scheduled + 5));
            occupancy.went(Moment(scheduled), Moment(ended));
            assert!(occupancy.reconciles());
            assert_eq!(occupancy.mean(), mean, "due at {scheduled}, ended at {ended}");
        }
        let mut unanswered = measured();
        unanswered.came(Moment(180), Moment(190));
        assert_eq!((unanswered.mean(), unanswered.reconciles()), (0.2, true));
        unanswered.went(Moment(170), Moment(195));
        assert!(
            !unanswered.reconciles(),
            "it is timed from another instant than it was counted"
        );
        assert_eq!(Occupancy::default().mean(), 0.0);
    }

    #[test]
    fn two_threads_together_hold_what_each_holds() {
        let (mut one, mut other) = (measured(), measured());
        one.came(Moment(110), Moment(110));
        other.came(Moment(120), Moment(130));
        other.came(Moment(140), Moment(140));
        other.went(Moment(120), Moment(150));
        let sum = one.mean() + other.mean();
        one.add(&other);
        assert!(
            (one.mean() - sum).abs() < 1e-9 && (sum - (0.9 + 0.8 + 0.1)).abs() < 1e-9,
            "{sum}"
        );
    }
}
