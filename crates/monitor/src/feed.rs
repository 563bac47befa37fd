//! When samples are made: at most one in each period, however many ask for it.

use std::time::{Duration, Instant};

use crate::MonitorError;
use crate::counts::{Count, Counts};
use crate::reading::Reading;
use crate::sampler::Sampler;

/// Whether anybody waits for the samples of the coming periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    Subscribed,
    /// No sample is made until somebody asks for one.
    None,
}

/// Makes samples when they are due or asked for.
#[derive(Debug)]
pub(crate) struct Feed {
    sampler: Sampler,
    counts: Counts,
    period: Duration,
    /// The start of the present period.
    began: Instant,
    /// The sample of the present period, or of an earlier one.
    latest: Option<(Instant, Reading)>,
}

impl Feed {
    pub(crate) fn open(period: Duration, counts: Counts, now: Instant) -> Result<Feed, MonitorError> {
        Ok(Feed {
            sampler: Sampler::open(period)?,
            counts,
            period,
            began: now,
            latest: None,
        })
    }

    /// How long until the present period ends.
    pub(crate) fn until_next(&self, now: Instant) -> Duration {
        (self.began + self.period).saturating_duration_since(now)
    }

    /// Begins the period that `now` lies in. Returns its sample, if it is a new period and somebody has subscribed.
    pub(crate) fn tick(&mut self, now: Instant, demand: Demand) -> Option<&Reading> {
        let passed = now.saturating_duration_since(self.began).as_nanos() / self.period.as_nanos();
        if passed == 0 {
            return None;
        }
        // More periods than 32 bits count pass only while nobody has subscribed, in weeks without a wait.
        let periods = u32::try_from(passed).unwrap_or(u32::MAX);
        self.began += self.period * periods;
        if demand == Demand::None {
            return None;
        }
        self.counts.add(Count::PeriodsMissed, u64::from(periods - 1));
        Some(self.present(now))
    }

    /// The sample of the present period, which is made if there is none yet.
    pub(crate) fn present(&mut self, now: Instant) -> &Reading {
        let _ = self.tick(now, Demand::None);
        let Self {
            sampler,
            counts,
            began,
            latest,
            ..
        } = self;
        if latest.as_ref().is_some_and(|(period, _)| period != began) {
            *latest = None;
        }
        let (_, reading) = latest.get_or_insert_with(|| {
            counts.add(Count::Samples, 1);
            (*began, Reading::new(sampler.sample()))
        });
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(100);

    fn feed() -> (Feed, Counts, Instant) {
        let (counts, start) = (Counts::open("m", None).expect("a page"), Instant::now());
        let feed = Feed::open(PERIOD, counts.clone(), start).expect("Linux has /proc");
        (feed, counts, start)
    }

    #[test]
    fn a_period_has_one_sample_however_many_ask() {
        let (mut feed, counts, start) = feed();
        for pull in 0..10 {
            let now = start + Duration::from_millis(pull);
            assert_eq!(feed.present(now).sample().sequence, 1);
        }
        assert!(
            feed.tick(start + PERIOD / 2, Demand::Subscribed).is_none(),
            "the period has not ended"
        );
        let second = feed.tick(start + PERIOD, Demand::Subscribed).expect("a new period");
        assert_eq!(second.sample().sequence, 2);
        assert_eq!(feed.present(start + PERIOD).sample().sequence, 2);
        assert_eq!(counts.get(Count::Samples), 2);
    }

    #[test]
    fn nothing_is_sampled_while_nobody_asks() {
        let (mut feed, counts, start) = feed();
        for period in 1..100 {
            assert!(feed.tick(start + PERIOD * period, Demand::None).is_none());
        }
        assert_eq!((counts.get(Count::Samples), counts.get(Count::PeriodsMissed)), (0, 0));
        assert_eq!(feed.present(start + PERIOD * 100).sample().sequence, 1);
    }

    #[test]
    fn periods_that_pass_while_the_process_is_late_are_counted_and_not_made_up() {
        let (mut feed, counts, start) = feed();
        assert!(feed.tick(start + PERIOD * 7 / 2, Demand::Subscribed).is_some());
        assert_eq!((counts.get(Count::Samples), counts.get(Count::PeriodsMissed)), (1, 2));
        assert_eq!(
            feed.until_next(start + PERIOD * 7 / 2),
            PERIOD / 2,
            "the periods keep their grid"
        );
        assert!(feed.tick(start + PERIOD * 4, Demand::Subscribed).is_some());
        assert_eq!((counts.get(Count::Samples), counts.get(Count::PeriodsMissed)), (2, 2));
    }
}
