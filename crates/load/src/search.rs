//! Finds the highest rate at which a server meets a criterion: the rate is doubled until it fails, then the interval is
//! bisected.

use std::time::Duration;

use c10k_record::{LoadSearch, LoadSummary, LoadTrial};
use c10k_units::display;

use crate::LoadError;
use crate::plan::{LoadPlan, Rate};
use crate::progress::RunEvent;
use crate::run::run_until;
use crate::stop::Stop;

/// The search ends if the lowest rate that failed is at most this factor above the highest one that held.
const PRECISION: f64 = 1.05;
/// The lowest rate that is tried, requests per second.
const LOWEST: f64 = 1.0;
/// The maximum number of rates that are tried.
const RATES_MAX: usize = 40;
/// The share of the offered rate that must be achieved.
const ACHIEVED_MIN: f64 = 0.99;

/// What a rate must meet: every request is answered, the offered rate is achieved, and a percentile of the latency stays
/// below a limit, such as `p99<5ms`.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    text: String,
    quantile: f64,
    limit: Duration,
}

impl Criterion {
    /// The latency at `quantile` (0 to 1) must be below `limit`. The record shows `text`.
    #[must_use]
    pub fn new(text: &str, quantile: f64, limit: Duration) -> Self {
        Self {
            text: text.to_owned(),
            quantile,
            limit,
        }
    }

    /// Why a run does not meet the criterion; `None` if it does. `latency_ns` is the latency at the quantile.
    fn violation(&self, run: &LoadSummary, latency_ns: u64) -> Option<String> {
        let lost = run.intended - run.completed;
        let latency = Duration::from_nanos(latency_ns);
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
            let latency = display::seconds(latency.as_secs_f64());
            Some(format!("{} is {latency}", self.text))
        } else {
            None
        }
    }
}

/// Searches the highest rate at which `plan` meets the criterion, starting from the plan's rate. If `stop` is requested,
/// the search ends with its results so far. `observe` is called at the start of each run and whenever it reports
/// something.
///
/// # Errors
/// [`LoadError`] if the plan has no constant rate, or if a run cannot be started.
pub fn find_max(
    plan: &LoadPlan,
    criterion: &Criterion,
    stop: &Stop,
    mut observe: impl FnMut(&LoadPlan, RunEvent),
) -> Result<LoadSearch, LoadError> {
    let Rate::PerSecond(start) = plan.rate else {
        return Err(LoadError::Plan(
            "--find-max starts from a constant rate: give a number with --rate",
        ));
    };
    let mut earlier = plan.earlier;
    search(start, criterion, |rate| {
        let plan = LoadPlan {
            rate: Rate::PerSecond(rate),
            earlier,
            // Replies to the last requests arrive after the measured time; those of the warm-up arrive in it instead.
            warm_up: plan.warm_up.max(criterion.limit.min(plan.duration)),
            ..plan.clone()
        };
        let report = run_until(&plan, stop, |event| observe(&plan, event))?;
        earlier += plan.warm_up + plan.duration;
        let trial = Trial {
            latency_ns: report.stats.latency.at(criterion.quantile),
            summary: report.summary,
        };
        Ok(Some(trial).filter(|_| stop.requested().is_none()))
    })
}

/// A run at one rate.
struct Trial {
    summary: LoadSummary,
    /// The latency at the quantile of the criterion.
    latency_ns: u64,
}

/// Searches from `start` requests per second. `run_at` makes a run at a rate. A rate that fails is tried again before it
/// counts as failed, so that a disturbance of the machine does not decide. If `run_at` returns `None`, the search ends
/// with its results so far.
fn search<E>(
    start: f64,
    criterion: &Criterion,
    mut run_at: impl FnMut(f64) -> Result<Option<Trial>, E>,
) -> Result<LoadSearch, E> {
    let mut found = LoadSearch {
        schema: c10k_record::SCHEMA,
        criterion: criterion.text.clone(),
        ..LoadSearch::default()
    };
    let (mut held, mut failed): (Option<f64>, Option<f64>) = (None, None);
    let mut rate = start;
    for _ in 0..RATES_MAX {
        match try_twice(rate, criterion, &mut found, &mut run_at)? {
            TrialResult::Held => held = Some(rate),
            TrialResult::Failed => failed = Some(rate),
            TrialResult::Interrupted => {
                found.interrupted = true;
                break;
            }
        }
        rate = match (held, failed) {
            (Some(held), Some(failed)) if failed / held <= PRECISION => break,
            (Some(held), Some(failed)) => (held * failed).sqrt(),
            (Some(held), None) => held * 2.0,
            (None, Some(failed)) if failed / 2.0 < LOWEST => break,
            (None, failed) => failed.unwrap_or(start) / 2.0,
        };
    }
    found.rate_max = held;
    // A failure at or below the highest rate that held was a disturbance.
    let lowest_failure = found
        .trials
        .iter()
        .filter(|trial| !trial.held && held.is_none_or(|held| trial.rate > held))
        .min_by(|a, b| a.rate.total_cmp(&b.rate));
    if let Some(trial) = lowest_failure {
        found.limited_by.clone_from(&trial.because);
        found.by_generator = trial.by_generator;
    }
    Ok(found)
}

enum TrialResult {
    Held,
    Failed,
    Interrupted,
}

/// Tries a rate, and tries it again if it fails. Adds the trials to `found`.
fn try_twice<E>(
    rate: f64,
    criterion: &Criterion,
    found: &mut LoadSearch,
    mut run_at: impl FnMut(f64) -> Result<Option<Trial>, E>,
) -> Result<TrialResult, E> {
    for _ in 0..2 {
        let Some(Trial { summary, latency_ns }) = run_at(rate)? else {
            return Ok(TrialResult::Interrupted);
        };
        let violation = criterion.violation(&summary, latency_ns);
        let held = violation.is_none();
        found.trials.push(LoadTrial {
            rate,
            held,
            because: violation.unwrap_or_default(),
            by_generator: !summary.valid,
        });
        if held {
            found.best = Some(Box::new(summary));
            return Ok(TrialResult::Held);
        }
    }
    Ok(TrialResult::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn trial(summary: LoadSummary, latency_ns: u64) -> Option<Trial> {
        Some(Trial { summary, latency_ns })
    }

    /// Searches a server whose p99 exceeds the limit above `knee` and which loses requests above twice that.
    fn search_knee(knee: f64, start: f64) -> LoadSearch {
        let criterion = Criterion::new("p99<5ms", 0.99, Duration::from_millis(5));
        let Ok(found) = search(start, &criterion, |rate| {
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
            Ok::<_, Infallible>(trial(run, p99))
        });
        found
    }

    #[test]
    fn the_knee_is_found_from_below_and_from_above() {
        for start in [1.0, 100.0, 12_345.0, 1_000_000.0] {
            let found = search_knee(12_345.0, start);
            let rate = found.rate_max.unwrap();
            assert!((12_345.0 / PRECISION..=12_345.0).contains(&rate), "{rate} from {start}");
            assert!(found.limited_by.contains("p99<5ms"), "{}", found.limited_by);
            assert_eq!(found.best.unwrap().rate_offered, rate);
        }
    }

    #[test]
    fn an_interrupted_search_keeps_its_results() {
        let criterion = Criterion::new("p99<5ms", 0.99, Duration::from_millis(5));
        let mut tries = 0;
        let Ok(found) = search(100.0, &criterion, |rate| {
            tries += 1;
            let run = LoadSummary {
                rate_offered: rate,
                rate_achieved: rate,
                valid: true,
                ..LoadSummary::default()
            };
            Ok::<_, Infallible>(trial(run, 1).filter(|_| tries <= 3))
        });
        assert_eq!(
            (found.rate_max, found.trials.len(), found.interrupted),
            (Some(400.0), 3, true)
        );
    }

    #[test]
    fn there_may_be_no_rate_that_holds() {
        let found = search_knee(0.01, 1000.0);
        assert_eq!((found.rate_max, found.best), (None, None));
        assert!(found.trials.iter().all(|trial| !trial.held));
    }

    #[test]
    fn a_rate_that_fails_once_is_tried_again() {
        let criterion = Criterion::new("p99<5ms", 0.99, Duration::from_millis(5));
        let mut tried = Vec::new();
        let Ok(found) = search(100.0, &criterion, |rate| {
            tried.push(rate);
            let run = LoadSummary {
                rate_offered: rate,
                rate_achieved: rate,
                valid: true,
                ..LoadSummary::default()
            };
            // The first trial is disturbed by the machine; above 150 per second the server fails.
            let p99: u64 = if tried.len() == 1 || rate > 150.0 { 9_000_000 } else { 1 };
            Ok::<_, Infallible>(trial(run, p99))
        });
        assert_eq!(tried[..4], [100.0, 100.0, 200.0, 200.0]);
        assert!((150.0 / PRECISION..=150.0).contains(&found.rate_max.unwrap()));
    }

    #[test]
    fn the_limits_of_a_criterion_are_exact() {
        let criterion = Criterion::new("p99<5ms", 0.99, Duration::from_millis(5));
        let run = LoadSummary {
            intended: 1000,
            completed: 1000,
            rate_offered: 1000.0,
            rate_achieved: 990.0,
            valid: true,
            ..LoadSummary::default()
        };
        let below = 4_999_999;
        assert_eq!(criterion.violation(&run, below), None);
        assert_eq!(criterion.violation(&run, 5_000_000).as_deref(), Some("p99<5ms is 5 ms"));
        let slow = LoadSummary {
            rate_achieved: 989.9,
            ..run.clone()
        };
        assert!(criterion.violation(&slow, below).unwrap().contains("989.9 of 1000.0"));
        let lossy = LoadSummary { completed: 999, ..run };
        assert!(criterion.violation(&lossy, below).unwrap().starts_with("1 of 1000"));
    }

    #[test]
    fn an_invalid_run_does_not_meet_a_criterion() {
        let criterion = Criterion::new("p99<5ms", 0.99, Duration::from_millis(5));
        let run = LoadSummary {
            invalid_because: vec!["saturated".to_owned()],
            ..LoadSummary::default()
        };
        assert!(
            criterion
                .violation(&run, 0)
                .unwrap()
                .contains("the generator: saturated")
        );
    }
}
