//! Counts over time: the measured time in equal slices, with bounded memory for any length.

use std::time::Duration;

use crate::accounting::request::Outcome;
use crate::clock::duration_ns;

/// The maximum number of slices. A longer run has wider slices.
const SLICES_MAX: usize = 1024;
/// The minimum width of a slice, unless another is asked for.
const NARROWEST: Duration = Duration::from_secs(1);

/// Counts of one slice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Requests that were due in it.
    pub(crate) due: u64,
    /// Good replies whose last byte arrived in it.
    pub(crate) replies: u64,
    /// Requests that failed, timed out or were given up unsent in it.
    pub(crate) lost: u64,
    /// The sum of the latencies of its good replies, nanoseconds.
    pub(crate) latency_sum_ns: u64,
    /// The longest latency of its good replies, nanoseconds.
    pub(crate) latency_max_ns: u64,
    /// Sessions that were completed in it.
    pub(crate) sessions: u64,
}

/// Counts of the four quarters of the measured time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Quarters {
    /// Requests that were due in each.
    pub(crate) due: [u64; 4],
    /// Good replies whose last byte arrived in each.
    pub(crate) replies: [u64; 4],
}

impl Quarters {
    /// The index of the quarter that contains `offset_ns` in a measured time of `duration_ns`; the last one beyond its end.
    #[must_use]
    pub(crate) fn of(offset_ns: u64, duration_ns: u64) -> usize {
        // This runs once or twice for each request. 64 bits hold four times 146 years, so 128-bit division is not needed.
        (offset_ns.saturating_mul(4) / duration_ns.max(1)).min(3) as usize
    }

    /// Adds the counts of another thread.
    pub(crate) fn add(&mut self, other: &Self) {
        for quarter in 0..4 {
            self.due[quarter] += other.due[quarter];
            self.replies[quarter] += other.replies[quarter];
        }
    }
}

/// The time series of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Series {
    duration_ns: u64,
    width_ns: u64,
    slices: Vec<Slice>,
}

impl Series {
    /// Empty slices for a measured time of `duration`: one second each, or wider if that would be more than 1,024.
    #[must_use]
    pub(crate) fn new(duration: Duration) -> Self {
        Self::with_slices(duration, NARROWEST)
    }

    /// The same with slices of `narrowest`, which is not zero, or wider.
    #[must_use]
    pub(crate) fn with_slices(duration: Duration, narrowest: Duration) -> Self {
        let (duration_ns, mut width_ns) = (duration_ns(duration), duration_ns(narrowest));
        while duration_ns.div_ceil(width_ns) > SLICES_MAX as u64 {
            width_ns *= 2;
        }
        let count = duration_ns.div_ceil(width_ns) as usize;
        // `resize` writes every slice, unlike `vec!`, so that counting causes no page fault during a run.
        let mut slices = Vec::new();
        slices.resize(count, Slice::default());
        Self {
            duration_ns,
            width_ns,
            slices,
        }
    }

    /// The width of a slice. The last slice may be narrower.
    #[must_use]
    pub(crate) fn width(&self) -> Duration {
        Duration::from_nanos(self.width_ns)
    }

    /// The slices in order.
    #[must_use]
    pub(crate) fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// The slices of full width, which can serve as samples of a rate.
    #[must_use]
    pub(crate) fn whole_slices(&self) -> &[Slice] {
        &self.slices[..(self.duration_ns / self.width_ns) as usize]
    }

    /// Drops everything after `duration`.
    pub(crate) fn cut(&mut self, duration: Duration) {
        self.duration_ns = self.duration_ns.min(duration_ns(duration));
        self.slices.truncate(self.duration_ns.div_ceil(self.width_ns) as usize);
    }

    /// The slice at `offset_ns` of the measured time; `None` beyond its end.
    pub(crate) fn at(&mut self, offset_ns: u64) -> Option<&mut Slice> {
        self.slices.get_mut((offset_ns / self.width_ns) as usize)
    }

    /// Counts the end of a request in the slice at `offset_ns`; `None` means that it was never sent. Returns false beyond the
    /// end of the measured time, where nothing is counted.
    pub(crate) fn add_end(&mut self, offset_ns: u64, outcome: Option<Outcome>, latency_ns: u64) -> bool {
        let Some(slice) = self.at(offset_ns) else {
            return false;
        };
        if outcome == Some(Outcome::Completed) {
            slice.replies += 1;
            slice.latency_sum_ns += latency_ns;
            slice.latency_max_ns = slice.latency_max_ns.max(latency_ns);
        } else {
            slice.lost += 1;
        }
        true
    }

    /// Adds the slices of another thread of the same run.
    ///
    /// # Panics
    /// If the two have different slices.
    pub(crate) fn add(&mut self, other: &Self) {
        assert_eq!(
            (self.width_ns, self.slices.len()),
            (other.width_ns, other.slices.len()),
            "the series have different slices"
        );
        for (sum, one) in self.slices.iter_mut().zip(&other.slices) {
            sum.due += one.due;
            sum.replies += one.replies;
            sum.lost += one.lost;
            sum.sessions += one.sessions;
            sum.latency_sum_ns += one.latency_sum_ns;
            sum.latency_max_ns = sum.latency_max_ns.max(one.latency_max_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_are_contiguous() {
        let of = |offset| Quarters::of(offset, 1000);
        assert_eq!(
            [0, 249, 250, 500, 749, 750, 999, 1000].map(of),
            [0, 0, 1, 2, 2, 3, 3, 3]
        );
        assert_eq!(Quarters::of(5, 0), 3);
    }

    #[test]
    fn slices_cover_the_measured_time_and_nothing_beyond() {
        let mut series = Series::new(Duration::from_millis(2500));
        assert_eq!((series.slices().len(), series.width()), (3, Duration::from_secs(1)));
        series.at(2_499_999_999).unwrap().replies += 1;
        assert!(series.at(3_000_000_000).is_none());
        assert_eq!(
            series.slices().iter().map(|slice| slice.replies).collect::<Vec<_>>(),
            [0, 0, 1]
        );
    }

    #[test]
    fn slices_may_be_narrower_than_a_second() {
        let ms = Duration::from_millis;
        let series = Series::with_slices(ms(95), ms(20));
        assert_eq!((series.slices().len(), series.whole_slices().len()), (5, 4));
        let long = Series::with_slices(Duration::from_secs(60), ms(20));
        assert!(long.slices().len() <= SLICES_MAX && long.width() > ms(20));
    }

    #[test]
    fn a_shortened_series_keeps_the_slices_of_its_time() {
        let mut series = Series::new(Duration::from_secs(5));
        series.at(1_900_000_000).unwrap().replies = 7;
        series.cut(Duration::from_millis(2500));
        assert_eq!((series.slices().len(), series.whole_slices().len()), (3, 2));
        assert_eq!(series.whole_slices()[1].replies, 7);
        series.cut(Duration::ZERO);
        assert!(series.slices().is_empty() && series.whole_slices().is_empty());
    }

    #[test]
    fn memory_is_bounded_for_any_duration() {
        for days in [1, 30, 3650] {
            let series = Series::new(Duration::from_secs(86_400 * days));
            assert!(series.slices().len() <= SLICES_MAX);
            assert!(series.width().as_secs() * series.slices().len() as u64 >= 86_400 * days);
        }
    }
}
