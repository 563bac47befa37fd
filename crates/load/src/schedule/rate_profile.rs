//! How the rate changes over a run: a piecewise linear function, and the inverse of its integral.
//!
//! Arrivals are first drawn on a scale with one request per unit. The inverse of the rate's integral maps them to time.
//! So every arrival process works with every profile, and a Poisson process remains a Poisson process (time change).

use std::time::Duration;

const NS_PER_S: f64 = 1e9;

/// A rate over time, requests per second. After the last segment the rate stays constant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RateProfile {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Segment {
    start_ns: f64,
    /// The number of requests due before it.
    start_count: f64,
    from: f64,
    to: f64,
    length_ns: f64,
}

impl Segment {
    fn count(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.length_ns / NS_PER_S
    }
}

impl RateProfile {
    /// A constant rate.
    ///
    /// # Panics
    /// If `rate` is not a positive, finite number.
    #[must_use]
    pub(crate) fn constant(rate: f64) -> Self {
        Self { segments: Vec::new() }.then(rate, rate, Duration::ZERO)
    }

    /// `from` for `hold`, then a linear change to `to` over `over`.
    ///
    /// # Panics
    /// If a rate is not a positive, finite number.
    #[must_use]
    pub(crate) fn ramp(hold: Duration, from: f64, to: f64, over: Duration) -> Self {
        Self { segments: Vec::new() }
            .then(from, from, hold)
            .then(from, to, over)
            .then(to, to, Duration::ZERO)
    }

    /// Each rate for `each`; the first one for `hold` in addition.
    ///
    /// # Panics
    /// If there is no rate, or one is not a positive, finite number.
    #[must_use]
    pub(crate) fn steps(hold: Duration, rates: &[f64], each: Duration) -> Self {
        assert!(!rates.is_empty(), "a profile has at least one step");
        let mut profile = Self { segments: Vec::new() }.then(rates[0], rates[0], hold);
        for &rate in rates {
            profile = profile.then(rate, rate, each);
        }
        profile
    }

    /// When the request that follows `count` requests is due, nanoseconds from the start.
    #[must_use]
    pub(crate) fn due_ns(&self, count: f64) -> f64 {
        // There is at least one segment, and the first one starts at zero.
        let index = self
            .segments
            .partition_point(|segment| segment.start_count <= count)
            .max(1)
            - 1;
        let segment = self.segments[index];
        let count = count - segment.start_count;
        if segment.from == segment.to {
            return segment.start_ns + count * (NS_PER_S / segment.from);
        }
        // count = from * t + slope * t^2 / 2, solved for t in a form that is numerically stable for a small slope.
        let slope = (segment.to - segment.from) / (segment.length_ns / NS_PER_S);
        let root = (segment.from * segment.from + 2.0 * slope * count).max(0.0).sqrt();
        segment.start_ns + 2.0 * count / (segment.from + root) * NS_PER_S
    }

    fn then(mut self, from: f64, to: f64, length: Duration) -> Self {
        let is_rate = |rate: f64| rate.is_finite() && rate > 0.0;
        assert!(
            is_rate(from) && is_rate(to),
            "a rate is a positive number of requests per second"
        );
        let (start_ns, start_count) = self.segments.last().map_or((0.0, 0.0), |last| {
            (last.start_ns + last.length_ns, last.start_count + last.count())
        });
        self.segments.push(Segment {
            start_ns,
            start_count,
            from,
            to,
            length_ns: length.as_nanos() as f64,
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Requests due before each full second.
    fn per_second(profile: &RateProfile, seconds: usize) -> Vec<usize> {
        let mut counts = vec![0; seconds];
        for count in 0.. {
            let second = (profile.due_ns(f64::from(count)) / NS_PER_S) as usize;
            match counts.get_mut(second) {
                Some(place) => *place += 1,
                None => break,
            }
        }
        counts
    }

    #[test]
    fn a_ramp_is_linear_and_then_constant() {
        let counts = per_second(&RateProfile::ramp(SECOND, 100.0, 500.0, SECOND * 4), 7);
        assert_eq!(counts, [100, 150, 250, 350, 450, 500, 500]);
    }

    #[test]
    fn a_ramp_may_decrease() {
        assert_eq!(
            per_second(&RateProfile::ramp(Duration::ZERO, 500.0, 100.0, SECOND * 4), 5),
            [450, 350, 250, 150, 100]
        );
    }

    #[test]
    fn steps_hold_their_rates() {
        let profile = RateProfile::steps(SECOND, &[10.0, 200.0, 30.0], SECOND);
        assert_eq!(per_second(&profile, 5), [10, 10, 200, 30, 30]);
    }

    #[test]
    fn due_times_increase() {
        let profile = RateProfile::steps(
            Duration::from_millis(333),
            &[7.0, 1000.0, 3.0],
            Duration::from_millis(777),
        );
        let dues: Vec<f64> = (0..2000).map(|count| profile.due_ns(f64::from(count))).collect();
        assert!(dues.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
