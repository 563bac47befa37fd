//! Whether a run's figures describe the server, or the generator's own limits.
//!
//! Every reason is one sentence that names the cause, the figures and what to do about it.

use std::time::Duration;

use crate::account::Account;
use crate::failure::{Blame, FAILURES, Failure};
use crate::idle::IdleCount;
use crate::opening::OpeningFailures;
use crate::plan::{LoadPlan, Rate};

/// Share of a CPU above which the busiest thread was the bottleneck, percent.
const BUSY_LIMIT_PERCENT: f64 = 90.0;

/// What is judged beside the books.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) plan: &'a LoadPlan,
    pub(crate) account: &'a Account,
    pub(crate) idle: IdleTotals,
    pub(crate) opening_failures: &'a OpeningFailures,
    pub(crate) busiest_thread_percent: f64,
    pub(crate) descriptors: Descriptors,
    pub(crate) settled: Settled,
    /// How much of the measured time there was, where the run was asked to stop.
    pub(crate) cut_to: Option<Duration>,
}

/// The idle pools of all threads together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IdleTotals {
    pub(crate) target: u64,
    pub(crate) open_min: u64,
    pub(crate) closed_by_server: u64,
    pub(crate) established: u64,
    pub(crate) replaced: u64,
    pub(crate) not_replaced: u64,
}

impl IdleTotals {
    pub(crate) fn add(&mut self, one: &IdleCount) {
        self.open_min += one.open_min();
        self.closed_by_server += one.closed_by_server;
        self.established += one.established;
        self.replaced += one.replaced;
        self.not_replaced += one.not_replaced;
    }
}

/// Descriptors wanted and allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptors {
    pub(crate) needed: u64,
    pub(crate) allowed: u64,
}

/// Whether the server answered once more after all connections were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Answered,
    Silent,
    NotAsked,
}

/// Why the run is invalid; empty when it is valid.
pub(crate) fn judge(facts: &Facts<'_>) -> Vec<String> {
    let rules = [
        interrupted,
        descriptors,
        idle_reached,
        idle_held,
        idle_replaced,
        settled,
        client_failures,
        saturated,
        lagging,
        empty,
    ];
    rules.iter().filter_map(|rule| rule(facts)).collect()
}

fn interrupted(facts: &Facts<'_>) -> Option<String> {
    facts.cut_to.map(|measured| {
        format!(
            "the run was interrupted after {measured:.1?} of {:.1?} of measured time",
            facts.plan.duration
        )
    })
}

fn descriptors(facts: &Facts<'_>) -> Option<String> {
    let Descriptors { needed, allowed } = facts.descriptors;
    (needed > allowed).then(|| {
        format!("the run needs {needed} descriptors and this process may have {allowed}: raise it with 'ulimit -n'")
    })
}

fn idle_reached(facts: &Facts<'_>) -> Option<String> {
    let IdleTotals {
        target, established, ..
    } = facts.idle;
    let why: Vec<String> = FAILURES
        .iter()
        .filter_map(|row| {
            facts
                .opening_failures
                .get(&row.failure)
                .map(|count| format!("{count} × {}", row.name))
        })
        .collect();
    let why = if why.is_empty() {
        "too few descriptors".to_owned()
    } else {
        why.join(", ")
    };
    // An interrupted run may not have tried them all.
    (established < target && facts.cut_to.is_none()).then(|| {
        format!("the idle pool reached {established} of {target} connections ({why}): lower --idle or lift the limit")
    })
}

fn idle_held(facts: &Facts<'_>) -> Option<String> {
    let IdleTotals {
        target,
        open_min,
        closed_by_server,
        ..
    } = facts.idle;
    (closed_by_server > 0 && open_min < target).then(|| {
        format!(
            "the idle pool was not held: the server closed {closed_by_server} of {target} idle connections, {open_min} \
             were open at the least: raise the server's idle timeout or its connection limit"
        )
    })
}

fn idle_replaced(facts: &Facts<'_>) -> Option<String> {
    let IdleTotals {
        replaced, not_replaced, ..
    } = facts.idle;
    (not_replaced > 0).then(|| {
        format!(
            "{not_replaced} of {} idle connections that were to be replaced were not, as the new one could not be opened: \
             lower --idle-churn",
            replaced + not_replaced
        )
    })
}

fn settled(facts: &Facts<'_>) -> Option<String> {
    (facts.settled == Settled::Silent).then(|| {
        "the server did not answer one request after all connections were opened, so it may not have accepted them"
            .to_owned()
    })
}

fn client_failures(facts: &Facts<'_>) -> Option<String> {
    let own = FAILURES.iter().filter(|row| row.blame == Blame::Client);
    let counted: Vec<String> = own
        .filter_map(|row| match facts.account.failed(row.failure) {
            0 => None,
            count => Some(format!("{count} × {} ({})", row.name, remedy(row.failure))),
        })
        .collect();
    (!counted.is_empty()).then(|| {
        format!(
            "requests failed through the generator's own limits: {}",
            counted.join(", ")
        )
    })
}

fn remedy(failure: Failure) -> &'static str {
    match failure {
        Failure::NoAddress => "give more --source addresses, or keep connections for more requests",
        _ => "raise 'ulimit -n', or lower the rate",
    }
}

fn saturated(facts: &Facts<'_>) -> Option<String> {
    (facts.busiest_thread_percent > BUSY_LIMIT_PERCENT).then(|| {
        format!(
            "the generator was saturated: its busiest thread used {:.0}% of a CPU: use more --threads or a lower --rate",
            facts.busiest_thread_percent
        )
    })
}

fn lagging(facts: &Facts<'_>) -> Option<String> {
    if facts.plan.rate == Rate::Max {
        return None;
    }
    let lag = Duration::from_nanos(facts.account.own_lag.at(0.99));
    let bound = facts.plan.lag_bound;
    (lag > bound).then(|| {
        format!(
            "the generator was starved of CPU: it turned to 1% of the requests {lag:.1?} or more after they were due, the \
             bound is {bound:.1?}: give it a CPU of its own, or a lower --rate"
        )
    })
}

fn empty(facts: &Facts<'_>) -> Option<String> {
    (facts.account.intended == 0 && facts.cut_to.is_none())
        .then(|| "no request was due in the measured time: raise --rate or --duration".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Bounds, Outcome, Request, Standing};
    use crate::clock::Moment;
    use crate::target::Target;

    const MS: u64 = 1_000_000;

    fn plan() -> LoadPlan {
        LoadPlan {
            lag_bound: Duration::from_nanos(5 * MS),
            ..LoadPlan::new(Target::parse("http://127.0.0.1:80/bytes/5").unwrap())
        }
    }

    /// The books of a hundred requests, of which the generator turned to so many 10 ms late.
    fn books(late: u64, outcome: Outcome) -> Account {
        let mut account = Account::new(Bounds {
            timeout_ns: 1000 * MS,
            late_ns: 5 * MS,
            duration_ns: 1000 * MS,
        });
        let request = Request {
            scheduled: Moment(0),
            standing: Standing::Counted,
        };
        for number in 0..100 {
            let now = Moment(if number < late { 10 * MS } else { 0 });
            account.due(request, now);
            account.sent(request, now);
            account.ended(request, now, outcome, now);
        }
        account
    }

    /// What is judged valid, every figure at its limit.
    fn facts<'a>(plan: &'a LoadPlan, account: &'a Account, opening_failures: &'a OpeningFailures) -> Facts<'a> {
        Facts {
            plan,
            account,
            idle: IdleTotals {
                target: 10,
                open_min: 10,
                established: 10,
                replaced: 3,
                ..IdleTotals::default()
            },
            opening_failures,
            busiest_thread_percent: 90.0,
            descriptors: Descriptors {
                needed: 64,
                allowed: 64,
            },
            settled: Settled::Answered,
            cut_to: None,
        }
    }

    /// The one reason against a run.
    fn reason(facts: &Facts<'_>) -> String {
        let reasons = judge(facts);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        reasons.concat()
    }

    /// One figure beyond its limit, and the words that say so.
    type Beyond = (fn(&mut Facts<'_>), &'static str);

    const BEYOND: &[Beyond] = &[
        (
            |facts| facts.cut_to = Some(Duration::from_millis(300)),
            "interrupted after 300",
        ),
        (
            |facts| facts.descriptors.needed = 65,
            "needs 65 descriptors and this process may have 64",
        ),
        (
            |facts| facts.idle.established = 9,
            "reached 9 of 10 connections (too few",
        ),
        (
            |facts| (facts.idle.closed_by_server, facts.idle.open_min) = (1, 9),
            "the server closed 1 of 10 idle connections, 9 were open",
        ),
        (|facts| facts.idle.not_replaced = 1, "1 of 4 idle connections"),
        (
            |facts| facts.settled = Settled::Silent,
            "did not answer one request after",
        ),
        (|facts| facts.busiest_thread_percent = 90.5, "saturated"),
    ];

    #[test]
    fn a_run_at_every_limit_is_valid_and_one_beyond_any_is_not() {
        let (plan, punctual, opened) = (plan(), books(1, Outcome::Completed), OpeningFailures::new());
        assert_eq!(judge(&facts(&plan, &punctual, &opened)), Vec::<String>::new());
        for (change, words) in BEYOND {
            let mut facts = facts(&plan, &punctual, &opened);
            change(&mut facts);
            let reason = reason(&facts);
            assert!(reason.contains(words), "{reason:?}, not {words:?}");
        }
    }

    #[test]
    fn what_the_books_say_against_a_run_is_judged() {
        let (plan, opened) = (plan(), OpeningFailures::new());
        let empty = Account::new(Bounds {
            timeout_ns: 1,
            late_ns: 1,
            duration_ns: 1,
        });
        for (account, words) in [
            (
                books(2, Outcome::Completed),
                "10.0ms or more after they were due, the bound is 5.0ms",
            ),
            (
                books(0, Outcome::Failed(Failure::NoAddress)),
                "100 × addrunavail (give more --source",
            ),
            (
                books(0, Outcome::Failed(Failure::NoDescriptor)),
                "100 × fd-unavail (raise 'ulimit -n'",
            ),
            (empty, "no request was due"),
        ] {
            let reason = reason(&facts(&plan, &account, &opened));
            assert!(reason.contains(words), "{reason:?}, not {words:?}");
        }
        let punctual = books(0, Outcome::Completed);
        let refused = OpeningFailures::from([(Failure::ConnectionRefused, 1)]);
        let mut unreached = facts(&plan, &punctual, &refused);
        assert_eq!(judge(&unreached), Vec::<String>::new());
        unreached.idle.established = 9;
        assert!(reason(&unreached).contains("reached 9 of 10 connections (1 × connrefused)"));
    }

    #[test]
    fn what_the_server_does_and_what_a_closed_loop_makes_late_is_valid() {
        let (open, opened) = (plan(), OpeningFailures::new());
        let closed = LoadPlan {
            rate: Rate::Max,
            ..plan()
        };
        let late = books(100, Outcome::Completed);
        assert_eq!(judge(&facts(&closed, &late, &opened)), Vec::<String>::new());
        for outcome in [Outcome::TimedOut, Outcome::Failed(Failure::ConnectionReset)] {
            let lost = books(0, outcome);
            assert_eq!(judge(&facts(&open, &lost, &opened)), Vec::<String>::new());
        }
        let punctual = books(0, Outcome::Completed);
        let mut lenient = facts(&open, &punctual, &opened);
        lenient.settled = Settled::NotAsked;
        // Before the measured time, and opened again.
        lenient.idle.closed_by_server = 4;
        assert_eq!(judge(&lenient), Vec::<String>::new());
    }

    #[test]
    fn a_run_that_is_stopped_early_is_blamed_for_that_alone() {
        let (plan, opened) = (plan(), OpeningFailures::new());
        let empty = Account::new(Bounds {
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
