//! How long a loop polls for events before it sleeps.

use std::time::Duration;

use crate::config::Spin;

/// Decides how long a loop polls before it sleeps, from the gaps before: each is the time from the moment at which the loop had
/// nothing left to do to its next event.
///
/// # Contract
/// - A fixed limit never changes, and learns nothing.
/// - An adaptive limit is either nothing or its most. It estimates the share of the gaps that are at most that long, weighted
///   exponentially: a gap counts 1/8, the one before it 7/8 of that, and so on. If the share is a half or more, a spin would
///   find an event as often as not, and the limit is the most; otherwise it is nothing.
/// - At first it is nothing. After six short gaps in a row the loop polls, whatever was before. After six long ones it does
///   not, so a load that ends costs at most six spins that find nothing.
/// - A loop that sleeps learns from its gaps too. They include the time that waking it takes, so gaps that are hardly shorter
///   than the most make a loop that polls go on, but do not make one that sleeps begin.
///
/// The halt polling of KVM (`virt/kvm/halt-polling.rst` of the kernel) instead grows its limit after each gap that was short but
/// too long for it, and gives up after one that was too long. With requests that come at random, most of which come in time,
/// every third gap is too long, and such a limit is seldom as long as the gaps. The share depends on how many gaps are short and
/// not on their order. Nor is there a reason to poll for less than the most: it is chosen by what a sleep costs.
#[derive(Debug)]
pub(crate) enum SpinLimit {
    Fixed(Duration),
    Adaptive {
        most: Duration,
        /// The share of short gaps, in 1/65,536.
        short: u32,
    },
}

/// A share of 1.
const ALL: u32 = 1 << 16;

/// A new gap counts one part in that many.
const WEIGHT: u32 = 8;

impl SpinLimit {
    pub(crate) fn new(spin: Spin) -> SpinLimit {
        match spin {
            Spin::For(time) => SpinLimit::Fixed(time),
            Spin::Adaptive(most) => SpinLimit::Adaptive { most, short: 0 },
        }
    }

    /// Whether the loop never polls, so that its gaps need not be measured.
    pub(crate) fn is_never(&self) -> bool {
        matches!(self, SpinLimit::Fixed(Duration::ZERO))
    }

    /// How long to poll now.
    pub(crate) fn now(&self) -> Duration {
        match *self {
            SpinLimit::Fixed(time) => time,
            SpinLimit::Adaptive { most, short } if short >= ALL / 2 => most,
            SpinLimit::Adaptive { .. } => Duration::ZERO,
        }
    }

    /// Learns that an event came after a gap of that length.
    pub(crate) fn learn(&mut self, gap: Duration) {
        let SpinLimit::Adaptive { most, short } = self else {
            return;
        };
        let share = if gap <= *most { ALL } else { 0 };
        *short = (*short * (WEIGHT - 1) + share) / WEIGHT;
    }

    /// Learns that the loop has stopped waiting for another reason than an event. For all that is known the gap has no end.
    pub(crate) fn learn_none(&mut self) {
        self.learn(Duration::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(200);
    const SHORT: Duration = Duration::from_micros(30);
    const LONG: Duration = Duration::from_millis(5);

    fn adaptive() -> SpinLimit {
        SpinLimit::new(Spin::Adaptive(MOST))
    }

    /// What a loop spends on spins in vain, and how many events its spins find.
    fn spend(limit: &mut SpinLimit, gaps: impl IntoIterator<Item = Duration>) -> (Duration, usize) {
        let (mut lost, mut found) = (Duration::ZERO, 0);
        for gap in gaps {
            let spin = limit.now();
            if gap <= spin {
                found += 1;
            } else {
                lost += spin;
            }
            limit.learn(gap);
        }
        (lost, found)
    }

    /// Gaps of that mean, exponentially distributed: those between requests that come at random.
    fn at_random(mean: Duration, count: u32) -> Vec<Duration> {
        // A low-discrepancy sequence, so that the test needs no seed: the shares are exact.
        let golden = 0.618_033_988_749_894_9;
        let uniform = (0..count).map(|index| (0.5 + f64::from(index) * golden).fract());
        uniform.map(|at| mean.mul_f64(-(1.0 - at).ln())).collect()
    }

    #[test]
    fn a_fixed_limit_does_not_change() {
        for time in [Duration::ZERO, SHORT] {
            let mut limit = SpinLimit::new(Spin::For(time));
            assert_eq!(limit.is_never(), time.is_zero());
            for gap in [LONG, SHORT, Duration::ZERO] {
                limit.learn(gap);
                limit.learn_none();
                assert_eq!(limit.now(), time);
            }
        }
    }

    #[test]
    fn it_polls_after_six_short_gaps_and_gives_up_after_six_long_ones() {
        let mut limit = adaptive();
        assert!(!limit.is_never());
        let begin = (1..).find(|_| {
            limit.learn(MOST);
            limit.now() == MOST
        });
        assert_eq!(begin, Some(6));
        (0..1000).for_each(|_| limit.learn(SHORT));
        let end = (1..).find(|_| {
            limit.learn(MOST + Duration::from_nanos(1));
            limit.now().is_zero()
        });
        assert_eq!(end, Some(6));
    }

    #[test]
    fn a_load_that_ends_costs_six_spins_in_vain() {
        let mut limit = adaptive();
        let gaps = |gap, count| std::iter::repeat_n(gap, count);
        assert_eq!(spend(&mut limit, gaps(SHORT, 1000)), (Duration::ZERO, 994));
        assert_eq!(spend(&mut limit, gaps(LONG, 1000)), (MOST * 6, 0));
    }

    #[test]
    fn a_loop_that_is_woken_for_other_reasons_gives_up_too() {
        let mut limit = adaptive();
        (0..100).for_each(|_| limit.learn(SHORT));
        (0..6).for_each(|_| limit.learn_none());
        assert_eq!(limit.now(), Duration::ZERO);
    }

    #[test]
    fn gaps_at_random_that_are_long_on_average_cost_next_to_nothing() {
        let gaps = at_random(MOST * 10, 10_000);
        let (lost, _) = spend(&mut adaptive(), gaps);
        // A fixed spin would lose nine in ten of them.
        assert!(lost < MOST * 100, "{lost:?} of {:?}", MOST * 10_000);
    }

    #[test]
    fn gaps_at_random_that_are_short_on_average_are_found_as_with_a_fixed_spin() {
        let gaps = at_random(MOST / 4, 10_000);
        let (_, fixed) = spend(&mut SpinLimit::new(Spin::For(MOST)), gaps.clone());
        let (_, found) = spend(&mut adaptive(), gaps);
        assert!(found + 10 > fixed, "{found} of {fixed}");
    }
}
