//! The highest rate that a server holds: doubling until a rate fails, then halving the interval.

use std::time::Duration;

use c10k_record::{LoadSearch, LoadSummary, LoadTrial};

/// The search ends when the lowest failing rate is at most this much above the highest that held.
const PRECISION: f64 = 1.05;
/// Below this rate, requests per second, nothing is tried.
const LOWEST: f64 = 1.0;
/// Rates tried at most.
const RATES_MAX: usize = 40;
/// Share of the offered rate that must be achieved.
const ACHIEVED_MIN: f64 = 0.99;

/// What a rate must hold, beside every request answered and the offered rate achieved: `p99<5ms`.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    text: String,
    quantile: f64,
    limit: Duration,
}

impl Criterion {
    /// The share `quantile` (0 to 1) of all requests has a latency below `limit`; `text` is what the record calls it.
    #[must_use]
    pub fn new(text: &str, quantile: f64, limit: Duration) -> Self {
        Self {
            text: text.to_owned(),
            quantile,
            limit,
        }
    }

    /// What the latency has to stay below.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// What a run did not hold; `None` when it held everything. `latency_ns` is its latency at a quantile.
    fn broken_by(&self, run: &LoadSummary, latency_ns: impl Fn(f64) -> u64) -> Option<String> {
        let lost = run.intended - run.completed;
        let latency = Duration::from_nanos(latency_ns(self.quantile));
        if !run.valid {
            Some(format!("the generator: {}", run.invalid_because.join("; ")))
        } else if lost > 0 {
            Some(format!("{lost} of {} requests got no good reply", run.intended))
        } else if run.rate_achieved < run.rate_offered * ACHIEVED_MIN {
            Some(format!(
                "{:.1} of {:.1} requests a second were answered",
                run.rate_achieved, run.rate_offered
            ))
        } else if latency >= self.limit {
            Some(format!("{} is {latency:.1?}", self.text))
        } else {
            None
        }
    }
}

/// A run at one rate: its summary, and its latency at a quantile, nanoseconds.
pub type Trial = (LoadSummary, Box<dyn Fn(f64) -> u64>);

/// Searches from `start` requests per second on. `try_rate` makes a run at a rate; a rate that fails is tried once
/// more before it counts as failed, so that one hiccup of the machine does not decide. Where it returns `None`, the
/// search ends with what it has found so far.
///
/// # Errors
/// The first error of `try_rate`.
pub fn find_max<E>(
    start: f64,
    criterion: &Criterion,
    mut try_rate: impl FnMut(f64) -> Result<Option<Trial>, E>,
) -> Result<LoadSearch, E> {
    let mut search = LoadSearch {
        criterion: criterion.text.clone(),
        ..LoadSearch::default()
    };
    let (mut held, mut failed): (Option<f64>, Option<f64>) = (None, None);
    let mut rate = start;
    'search: for _ in 0..RATES_MAX {
        let mut holds = false;
        for _ in 0..2 {
            let Some((summary, latency)) = try_rate(rate)? else {
                search.interrupted = true;
                break 'search;
            };
            let broken = criterion.broken_by(&summary, latency);
            holds = broken.is_none();
            search.trials.push(LoadTrial {
                rate,
                held: holds,
                because: broken.unwrap_or_default(),
                by_generator: !summary.valid,
            });
            if holds {
                search.best = Some(Box::new(summary));
                break;
            }
        }
        if holds {
            held = Some(rate);
        } else {
            failed = Some(rate);
        }
        rate = match (held, failed) {
            (Some(held), Some(failed)) if failed / held <= PRECISION => break,
            (Some(held), Some(failed)) => (held * failed).sqrt(),
            (Some(held), None) => held * 2.0,
            (None, Some(failed)) if failed / 2.0 < LOWEST => break,
            (None, failed) => failed.unwrap_or(start) / 2.0,
        };
    }
    search.rate_max = held;
    // What failed once at a rate that then held was a hiccup.
    let lowest_failure = search
        .trials
        .iter()
        .filter(|trial| !trial.held && held.is_none_or(|held| trial.rate > held))
        .min_by(|a, b| a.rate.total_cmp(&b.rate));
    if let Some(trial) = lowest_failure {
        search.limited_by.clone_from(&trial.because);
        search.by_generator = trial.by_generator;
    }
    Ok(search)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// A server whose p99 passes the limit above `knee` and which loses requests above twice that.
    fn search(knee: f64, start: f64) -> LoadSearch {
        let criterion = Criterion::new("p99<5ms", 0.99, Duration::from_millis(5));
        let result = find_max(start, &criterion, |rate| {
            let intended = rate as u64;
            let completed = if rate > 2.0 * knee { intended / 2 } else { intended };
            let run = LoadSummary {
                intended,
                completed,
                rate_offered: rate,
                rate_achieved: rate,
                valid: true,
                ..LoadSummary::default()
            };
            let p99: u64 = if rate > knee { 6_000_000 } else { 1_000_000 };
            Ok::<_, Infallible>(Some((run, Box::new(move |_| p99) as _)))
        });
        let Ok(search) = result;
        search
    }

    #[test]
    fn the_knee_is_found_from_below_and_from_above() {
        for start in [1.0, 100.0, 12_345.0, 1_000_000.0] {
            let found = search(12_345.0, start);
            let rate = found.rate_max.unwrap();
            assert!((12_345.0 / PRECISION..=12_345.0).contains(&rate), "{rate} from {start}");
            assert!(found.limited_by.contains("p99<5ms"), "{}", found.limited_by);
            assert_eq!(found.best.unwrap().rate_offered, rate);
        }
    }

    #[test]
    fn a_search_that_is_interrupted_keeps_what_it_has_found() {
        let criterion = Criterion::new("p99<5ms", 0.99, Duration::from_millis(5));
        let mut tries = 0;
        let Ok(found) = find_max(100.0, &criterion, |rate| {
            tries += 1;
            let run = LoadSummary {
                rate_offered: rate,
                rate_achieved: rate,
                valid: true,
                ..LoadSummary::default()
            };
            Ok::<_, Infallible>((tries <= 3).then_some((run, Box::new(|_| 1u64) as _)))
        });
        assert_eq!(
            (found.rate_max, found.trials.len(), found.interrupted),
            (Some(400.0), 3, true)
        );
    }

    #[test]
    fn a_server_that_holds_nothing_has_no_highest_rate() {
        let found = search(0.01, 1000.0);
        assert_eq!((found.rate_max, found.best), (None, None));
        assert!(found.trials.iter().all(|trial| !trial.held));
    }

    #[test]
    fn a_rate_that_fails_once_is_tried_again() {
        let criterion = Criterion::new("p99<5ms", 0.99, Duration::from_millis(5));
        let mut tried = Vec::new();
        let Ok(found) = find_max(100.0, &criterion, |rate| {
            tried.push(rate);
            let run = LoadSummary {
                rate_offered: rate,
                rate_achieved: rate,
                valid: true,
                ..LoadSummary::default()
            };
            // The machine's hiccup is in the first try; from 150 a second on it is the server.
            let p99: u64 = if tried.len() == 1 || rate > 150.0 { 9_000_000 } else { 1 };
            Ok::<_, Infallible>(Some((run, Box::new(move |_| p99) as _)))
        });
        assert_eq!(tried[..4], [100.0, 100.0, 200.0, 200.0]);
        assert!((150.0 / PRECISION..=150.0).contains(&found.rate_max.unwrap()));
    }

    #[test]
    fn what_a_rate_must_hold_has_exact_limits() {
        let criterion = Criterion::new("p99<5ms", 0.99, Duration::from_millis(5));
        let run = LoadSummary {
            intended: 1000,
            completed: 1000,
            rate_offered: 1000.0,
            rate_achieved: 990.0,
            valid: true,
            ..LoadSummary::default()
        };
        let below = |quantile: f64| if quantile == 0.99 { 4_999_999 } else { u64::MAX };
        assert_eq!(criterion.broken_by(&run, below), None);
        assert_eq!(
            criterion.broken_by(&run, |_| 5_000_000).as_deref(),
            Some("p99<5ms is 5.0ms")
        );
        let slow = LoadSummary {
            rate_achieved: 989.9,
            ..run.clone()
        };
        assert!(criterion.broken_by(&slow, below).unwrap().contains("989.9 of 1000.0"));
        let lossy = LoadSummary { completed: 999, ..run };
        assert!(criterion.broken_by(&lossy, below).unwrap().starts_with("1 of 1000"));
    }

    #[test]
    fn a_run_that_says_nothing_about_the_server_holds_nothing() {
        let criterion = Criterion::new("p99<5ms", 0.99, Duration::from_millis(5));
        let run = LoadSummary {
            invalid_because: vec!["saturated".to_owned()],
            ..LoadSummary::default()
        };
        assert!(
            criterion
                .broken_by(&run, |_| 0)
                .unwrap()
                .contains("the generator: saturated")
        );
    }
}
