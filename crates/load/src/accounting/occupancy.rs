//! The mean number of requests in the system over the measured time. A request is in the system from the instant at
//! which it is due until it ends.
//!
//! The number rises when a request is due and falls when one ends; its integral over time is summed up. By Little's law
//! the mean equals the reply rate times the mean response time (J. D. C. Little, *A Proof for the Queuing Formula:
//! L = λW*, Operations Research 9, 1961), which a reader of the results can check. Each run checks the exact form: the
//! times that the single requests spent in the system add up to the integral. They do not if a request is lost, ends
//! twice or is timed from a wrong instant.

use crate::clock::Moment;

/// The number in the system over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Occupancy {
    from: Moment,
    to: Moment,
    /// Requests in the system now.
    present: u64,
    /// The last change of `present`.
    since: Moment,
    /// The integral of `present` over the measured time, ns.
    area_ns: u128,
    /// The parts of the measured time that ended requests spent in the system, summed up, ns.
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
    /// Sets the measured time.
    ///
    /// # Panics
    /// If it ends before a change that was counted: what was added up for the time in between cannot be taken back.
    pub(crate) fn between(&mut self, from: Moment, to: Moment) {
        assert!(
            to >= self.since,
            "the measured time ends before a change that was counted"
        );
        (self.from, self.to) = (from, to);
    }

    /// A request that was due at `scheduled` is counted from `now` on; the time in between is added.
    pub(crate) fn entered(&mut self, scheduled: Moment, now: Moment) {
        self.advance_to(now);
        self.present += 1;
        self.area_ns += u128::from(self.measured(scheduled, now));
    }

    /// A request that was due at `scheduled` has ended.
    pub(crate) fn left(&mut self, scheduled: Moment, now: Moment) {
        self.advance_to(now);
        self.present = self.present.saturating_sub(1);
        self.spent_ns += u128::from(self.measured(scheduled, now));
    }

    fn advance_to(&mut self, now: Moment) {
        self.area_ns += self.area_until(now);
        self.since = self.since.max(now);
    }

    fn area_until(&self, now: Moment) -> u128 {
        u128::from(self.present) * u128::from(self.measured(self.since, now))
    }

    /// The measured part of the time between two instants, ns.
    fn measured(&self, from: Moment, to: Moment) -> u64 {
        to.min(self.to).since_ns(from.max(self.from))
    }

    /// The mean number of requests in the system over the measured time.
    #[must_use]
    pub(crate) fn mean(&self) -> f64 {
        match self.to.since_ns(self.from) {
            0 => 0.0,
            measured_ns => (self.area_ns + self.area_until(self.to)) as f64 / measured_ns as f64,
        }
    }

    /// Whether the times of the requests add up to the integral. Always true while requests are in the system.
    #[must_use]
    pub(crate) fn reconciles(&self) -> bool {
        self.present > 0 || self.area_ns == self.spent_ns
    }

    /// Adds the occupancy of another thread that has the same measured time.
    pub(crate) fn add(&mut self, other: &Self) {
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
    fn a_request_counts_for_the_measured_part_of_its_time_in_the_system() {
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
            occupancy.entered(Moment(scheduled), Moment(scheduled + 5));
            occupancy.left(Moment(scheduled), Moment(ended));
            assert!(occupancy.reconciles());
            assert_eq!(occupancy.mean(), mean, "due at {scheduled}, ended at {ended}");
        }
        let mut unanswered = measured();
        unanswered.entered(Moment(180), Moment(190));
        assert_eq!((unanswered.mean(), unanswered.reconciles()), (0.2, true));
        unanswered.left(Moment(170), Moment(195));
        assert!(
            !unanswered.reconciles(),
            "it left with another scheduled instant than it entered with"
        );
        assert_eq!(Occupancy::default().mean(), 0.0);
    }

    #[test]
    fn the_mean_of_two_threads_is_the_sum_of_their_means() {
        let (mut one, mut other) = (measured(), measured());
        one.entered(Moment(110), Moment(110));
        other.entered(Moment(120), Moment(130));
        other.entered(Moment(140), Moment(140));
        other.left(Moment(120), Moment(150));
        let sum = one.mean() + other.mean();
        one.add(&other);
        assert!(
            (one.mean() - sum).abs() < 1e-9 && (sum - (0.9 + 0.8 + 0.1)).abs() < 1e-9,
            "{sum}"
        );
    }
}
