//! Whether the figures of a run describe the server, or are falsified by the limits of the generator.
//!
//! Each reason against a run is one sentence with the cause, the figures and the remedy.

use std::time::Duration;

use c10k_units::display;

use crate::accounting::failure::{FAILURES, Failure};
use crate::accounting::idle_count::IdleCount;
use crate::accounting::request_stats::RequestStats;
use crate::clock::is_server_clock;
use crate::plan::{LoadPlan, Rate};
use crate::worker::opening::OpeningFailures;

/// If the busiest thread uses more than this share of a CPU, the generator is the bottleneck, percent.
const BUSY_LIMIT_PERCENT: f64 = 90.0;

/// What the validity of a run depends on.
#[derive(Debug)]
pub(super) struct RunFacts<'a> {
    pub(super) plan: &'a LoadPlan,
    pub(super) stats: &'a RequestStats,
    pub(super) idle: IdleTotals,
    pub(super) opening_failures: &'a OpeningFailures,
    /// Persistent connections that were never open and that no request used.
    pub(super) unopened: u64,
    pub(super) busiest_thread_percent: f64,
    pub(super) second_probe: SecondProbe,
    /// The measured time, if the run was stopped early.
    pub(super) cut_to: Option<Duration>,
}

/// The idle pools of all threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct IdleTotals {
    pub(super) target: u64,
    pub(super) open_min: u64,
    pub(super) closed_by_server: u64,
    pub(super) established: u64,
    pub(super) replaced: u64,
    pub(super) not_replaced: u64,
}

impl IdleTotals {
    pub(super) fn add(&mut self, one: &IdleCount) {
        self.open_min += one.open_min();
        self.closed_by_server += one.closed_by_server;
        self.established += one.established;
        self.replaced += one.replaced;
        self.not_replaced += one.not_replaced;
    }
}

/// Whether the server answered the test request that follows the opening of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecondProbe {
    Answered,
    Unanswered,
    Skipped,
}

/// Why the run is invalid; empty if it is valid.
pub(super) fn reasons_against(facts: &RunFacts<'_>) -> Vec<String> {
    let rules = [
        interrupted,
        idle_reached,
        slots_opened,
        idle_held,
        idle_replaced,
        second_probe,
        generator_failures,
        saturated,
        lagging,
        empty,
    ];
    rules.iter().filter_map(|rule| rule(facts)).collect()
}

fn interrupted(facts: &RunFacts<'_>) -> Option<String> {
    facts.cut_to.map(|measured| {
        format!(
            "the run was interrupted after {} of {} of measured time",
            seconds(measured),
            seconds(facts.plan.duration)
        )
    })
}

/// The causes for which connections could not be opened before the run.
fn opening_causes(facts: &RunFacts<'_>) -> String {
    let causes = FAILURES.iter().filter_map(|row| {
        let count = facts.opening_failures.get(&row.failure)?;
        Some(format!("{count} × {}", row.name))
    });
    causes.collect::<Vec<_>>().join(", ")
}

/// Where a request used such a connection, the request says how that ended.
fn slots_opened(facts: &RunFacts<'_>) -> Option<String> {
    let (unopened, connections) = (facts.unopened, facts.plan.pattern.connections());
    (unopened > 0 && facts.cut_to.is_none()).then(|| {
        format!(
            "{unopened} of {connections} connections could not be opened and no request was due on them ({}): lower \
             --connections, or raise the limit",
            opening_causes(facts)
        )
    })
}

fn idle_reached(facts: &RunFacts<'_>) -> Option<String> {
    let IdleTotals {
        target, established, ..
    } = facts.idle;
    let causes = opening_causes(facts);
    // If the run was interrupted, some connections may not have been tried.
    (established < target && facts.cut_to.is_none()).then(|| {
        format!(
            "the idle pool reached {established} of {target} connections ({causes}): lower --idle, or raise the limit"
        )
    })
}

fn idle_held(facts: &RunFacts<'_>) -> Option<String> {
    let IdleTotals {
        target,
        open_min,
        closed_by_server,
        ..
    } = facts.idle;
    (closed_by_server > 0 && open_min < target).then(|| {
        format!(
            "the idle pool was not held: the server closed {closed_by_server} of {target} idle connections, at least \
             {open_min} were open: raise the server's idle timeout or its connection limit"
        )
    })
}

fn idle_replaced(facts: &RunFacts<'_>) -> Option<String> {
    let IdleTotals {
        replaced, not_replaced, ..
    } = facts.idle;
    (not_replaced > 0).then(|| {
        format!(
            "{not_replaced} of {} idle connections could not be replaced because the new connection could not be opened: \
             lower --idle-churn",
            replaced + not_replaced
        )
    })
}

fn second_probe(facts: &RunFacts<'_>) -> Option<String> {
    (facts.second_probe == SecondProbe::Unanswered).then(|| {
        "the server did not answer a test request after all connections were opened, so it may not have accepted them: \
         open fewer connections, or raise the server's limits"
            .to_owned()
    })
}

fn generator_failures(facts: &RunFacts<'_>) -> Option<String> {
    let failures: Vec<String> = facts
        .stats
        .failed_by_generator()
        .map(|(failure, count)| format!("{count} × {} ({})", FAILURES[failure as usize].name, remedy(failure)))
        .collect();
    (!failures.is_empty()).then(|| {
        format!(
            "requests failed because of the generator's own limits: {}",
            failures.join(", ")
        )
    })
}

fn remedy(failure: Failure) -> &'static str {
    match failure {
        Failure::NoAddress => "give more --source addresses, or send more requests per connection",
        Failure::NoMemory => "open fewer connections, or raise this machine's limits on socket and epoll memory",
        Failure::Other => "a system call of the generator failed: look for a firewall or a sandbox on this machine",
        _ => "raise the limit with 'ulimit -n', or lower the rate",
    }
}

fn saturated(facts: &RunFacts<'_>) -> Option<String> {
    // The server's clock stands still while the generator runs.
    if is_server_clock() {
        return None;
    }
    (facts.busiest_thread_percent > BUSY_LIMIT_PERCENT).then(|| {
        format!(
            "the generator was saturated, its busiest thread used {:.0}% of a CPU: use more --threads or a lower --rate",
            facts.busiest_thread_percent
        )
    })
}

fn lagging(facts: &RunFacts<'_>) -> Option<String> {
    if facts.plan.rate == Rate::Max {
        return None;
    }
    let lag = Duration::from_nanos(facts.stats.own_lag.at(0.99));
    let bound = facts.plan.lag_bound;
    (lag > bound).then(|| {
        format!(
            "the generator did not get enough CPU time: it handled 1% of the requests {} or more after they were due, the \
             bound is {}: give it its own CPU, or lower --rate",
            seconds(lag),
            seconds(bound)
        )
    })
}

fn empty(facts: &RunFacts<'_>) -> Option<String> {
    (facts.stats.intended == 0 && facts.cut_to.is_none())
        .then(|| "no request was due in the measured time: raise --rate or --duration".to_owned())
}

fn seconds(duration: Duration) -> String {
    display::seconds(duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounting::failure::Failure;
    use crate::accounting::request::{Outcome, Period, Request};
    use crate::accounting::request_stats::Bounds;
    use crate::clock::Moment;
    use crate::plan::{Choice, Target};

    const MS: u64 = 1_000_000;

    fn plan() -> LoadPlan {
        LoadPlan {
            lag_bound: Duration::from_nanos(5 * MS),
            ..LoadPlan::new(Target::parse("http://127.0.0.1:80/bytes/5").unwrap())
        }
    }

    /// A hundred requests, of which the generator handled `late` 10 ms late.
    fn hundred(late: u64, outcome: Outcome) -> RequestStats {
        let mut stats = RequestStats::new(Bounds {
            timeout_ns: 1000 * MS,
            late_ns: 5 * MS,
            duration_ns: 1000 * MS,
        });
        let request = Request {
            scheduled: Moment(0),
            period: Period::Measured,
            choice: Choice::default(),
        };
        for number in 0..100 {
            let now = Moment(if number < late { 10 * MS } else { 0 });
            stats.due(request, now);
            stats.sent(request, now);
            stats.ended(request, now, outcome, now);
        }
        stats
    }

    /// Facts of a valid run with every figure at its limit.
    fn facts<'a>(plan: &'a LoadPlan, stats: &'a RequestStats, opening_failures: &'a OpeningFailures) -> RunFacts<'a> {
        RunFacts {
            plan,
            stats,
            idle: IdleTotals {
                target: 10,
                open_min: 10,
                established: 10,
                replaced: 3,
                ..IdleTotals::default()
            },
            opening_failures,
            unopened: 0,
            busiest_thread_percent: 90.0,
            second_probe: SecondProbe::Answered,
            cut_to: None,
        }
    }

    /// The only reason against a run.
    fn reason(facts: &RunFacts<'_>) -> String {
        let reasons = reasons_against(facts);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        reasons.concat()
    }

    /// Moves one figure beyond its limit; part of the resulting reason.
    type Beyond = (fn(&mut RunFacts<'_>), &'static str);

    const BEYOND: &[Beyond] = &[
        (
            |facts| facts.cut_to = Some(Duration::from_millis(300)),
            "interrupted after 300 ms of 10 s",
        ),
        (|facts| facts.idle.established = 9, "reached 9 of 10 connections"),
        (
            |facts| facts.unopened = 1,
            "1 of 10 connections could not be opened and no request was due on them",
        ),
        (
            |facts| (facts.idle.closed_by_server, facts.idle.open_min) = (1, 9),
            "the server closed 1 of 10 idle connections, at least 9 were open",
        ),
        (
            |facts| facts.idle.not_replaced = 1,
            "1 of 4 idle connections could not be replaced",
        ),
        (
            |facts| facts.second_probe = SecondProbe::Unanswered,
            "did not answer a test request after",
        ),
        (|facts| facts.busiest_thread_percent = 90.5, "saturated"),
    ];

    #[test]
    fn a_run_at_every_limit_is_valid_and_one_beyond_any_is_not() {
        let (plan, punctual, opened) = (plan(), hundred(1, Outcome::Completed), OpeningFailures::new());
        assert_eq!(reasons_against(&facts(&plan, &punctual, &opened)), Vec::<String>::new());
        for (change, words) in BEYOND {
            let mut facts = facts(&plan, &punctual, &opened);
            change(&mut facts);
            let reason = reason(&facts);
            assert!(reason.contains(words), "{reason:?}, not {words:?}");
        }
    }

    #[test]
    fn counts_can_make_a_run_invalid() {
        let (plan, opened) = (plan(), OpeningFailures::new());
        let empty = RequestStats::new(Bounds {
            timeout_ns: 1,
            late_ns: 1,
            duration_ns: 1,
        });
        for (stats, words) in [
            (
                hundred(2, Outcome::Completed),
                "10 ms or more after they were due, the bound is 5 ms",
            ),
            (
                hundred(0, Outcome::Failed(Failure::NoAddress)),
                "100 × addrunavail (give more --source",
            ),
            (
                hundred(0, Outcome::Failed(Failure::NoDescriptor)),
                "100 × fd-unavail (raise the limit with 'ulimit -n'",
            ),
            (empty, "no request was due"),
        ] {
            let reason = reason(&facts(&plan, &stats, &opened));
            assert!(reason.contains(words), "{reason:?}, not {words:?}");
        }
        let punctual = hundred(0, Outcome::Completed);
        let refused = OpeningFailures::from([(Failure::ConnectionRefused, 1)]);
        let mut unreached = facts(&plan, &punctual, &refused);
        assert_eq!(reasons_against(&unreached), Vec::<String>::new());
        unreached.idle.established = 9;
        assert!(reason(&unreached).contains("reached 9 of 10 connections (1 × connrefused)"));
    }

    #[test]
    fn server_failures_and_the_lag_of_a_closed_loop_are_valid() {
        let (open, opened) = (plan(), OpeningFailures::new());
        let closed = LoadPlan {
            rate: Rate::Max,
            ..plan()
        };
        let late = hundred(100, Outcome::Completed);
        assert_eq!(reasons_against(&facts(&closed, &late, &opened)), Vec::<String>::new());
        for outcome in [Outcome::TimedOut, Outcome::Failed(Failure::ConnectionReset)] {
            let lost = hundred(0, outcome);
            assert_eq!(reasons_against(&facts(&open, &lost, &opened)), Vec::<String>::new());
        }
        let punctual = hundred(0, Outcome::Completed);
        let mut lenient = facts(&open, &punctual, &opened);
        lenient.second_probe = SecondProbe::Skipped;
        // Closed before the measured time and reopened.
        lenient.idle.closed_by_server = 4;
        assert_eq!(reasons_against(&lenient), Vec::<String>::new());
    }

    #[test]
    fn a_run_that_is_stopped_early_has_only_that_reason() {
        let (plan, opened) = (plan(), OpeningFailures::new());
        let empty = RequestStats::new(Bounds {
            timeout_ns: 1,
            late_ns: 1,
            duration_ns: 1,
        });
        let mut stopped = facts(&plan, &empty, &opened);
        stopped.idle.established = 1;
        stopped.cut_to = Some(Duration::ZERO);
        assert!(reason(&stopped).contains("interrupted"));
    }
}
