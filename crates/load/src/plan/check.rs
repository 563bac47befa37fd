//! Which options contradict each other.

use super::load_plan::LoadPlan;
use super::options::{Bodies, Close, Probe};
use super::pattern::Pattern;
use super::rate::Rate;
use crate::LoadError;
use crate::endpoint::Endpoint;

/// The maximum number of unanswered requests on a connection.
const DEPTH_MAX: usize = 1000;

/// The maximum number of requests per second of one thread, and of connects that replace idle connections. No thread comes
/// near it: it would have 100 ns for a request.
const RATE_MAX: f64 = 1e7;

/// The maximum number of requests that are due at once.
const BURST_MAX: u64 = 1_000_000;

/// The maximum number of sending threads.
const THREADS_MAX: usize = 1024;

/// What is wrong with a plan, and the remedy.
type Refusal = Result<(), &'static str>;

impl LoadPlan {
    /// Checks that the options do not contradict each other.
    ///
    /// # Errors
    /// [`LoadError::Plan`] with the contradiction and the remedy.
    pub fn check(&self) -> Result<(), LoadError> {
        let checks = [threads, rates, closed_loop, times, idle_pool, sessions, sockets];
        checks.iter().try_for_each(|check| check(self)).map_err(LoadError::Plan)
    }
}

fn rates(plan: &LoadPlan) -> Refusal {
    let are_valid = match &plan.rate {
        Rate::PerSecond(rate) => is_positive(*rate),
        Rate::Ramp(from, to) => is_positive(*from) && is_positive(*to),
        Rate::Steps(rates) => !rates.is_empty() && rates.iter().copied().all(is_positive),
        Rate::Trace(_) | Rate::Max => true,
    };
    if !are_valid {
        return Err("a rate must be a positive number of requests per second: give one, or --rate max");
    }
    if plan
        .rate
        .highest()
        .is_some_and(|rate| rate > RATE_MAX * plan.threads as f64)
    {
        return Err("a thread sends at most 10000000 requests per second: lower the rate, or give more --threads");
    }
    if plan.burst.get() > BURST_MAX {
        return Err("at most 1000000 requests may be due at once: lower --burst");
    }
    if let Rate::Trace(offsets) = &plan.rate
        && offsets.windows(2).any(|pair| pair[0] > pair[1])
    {
        return Err("the instants of a trace must rise: sort the file");
    }
    if !is_positive(plan.connect_rate) {
        return Err("--connect-rate must be a positive number of connects per second");
    }
    Ok(())
}

fn closed_loop(plan: &LoadPlan) -> Refusal {
    if plan.rate != Rate::Max {
        return Ok(());
    }
    if plan.pattern.connections() == 0 {
        return Err("--rate max needs a fixed number of connections: give --connections");
    }
    if plan.burst.get() > 1 {
        return Err("--rate max has no bursts: omit --burst, or give a rate");
    }
    if plan.depth > 1 {
        return Err("--rate max sends one request at a time on a connection: omit --pipeline, or give a rate");
    }
    Ok(())
}

fn times(plan: &LoadPlan) -> Refusal {
    if plan.duration.is_zero() || plan.timeout.is_zero() {
        return Err("--duration and --timeout must be longer than 0");
    }
    if plan.slice.is_some_and(|width| width.is_zero()) {
        return Err("--slice must be longer than 0");
    }
    Ok(())
}

fn threads(plan: &LoadPlan) -> Refusal {
    if plan.threads == 0 {
        return Err("--threads must be at least 1: nothing is sent without a thread");
    }
    if plan.threads > THREADS_MAX {
        return Err("--threads must be at most 1024: more threads than CPUs only take CPU time from each other");
    }
    if !(1..=DEPTH_MAX).contains(&plan.depth) {
        return Err("--pipeline must be from 1 to 1000");
    }
    if plan.bodies == Bodies::LikeTheFirst && plan.probe == Probe::Skip {
        return Err("--verify-bodies compares bodies with that of the test request: omit --no-probe");
    }
    if plan.bodies == Bodies::LikeTheFirst && plan.target.is_mix {
        return Err("--verify-bodies needs equal replies, and those of a mix differ: omit it, or --mix");
    }
    Ok(())
}

fn idle_pool(plan: &LoadPlan) -> Refusal {
    if !(plan.idle_churn.is_finite() && plan.idle_churn >= 0.0) {
        return Err("--idle-churn must be a number of connections per second");
    }
    if plan.idle_churn > RATE_MAX {
        return Err("--idle-churn must be at most 10000000 connections per second");
    }
    if plan.idle_churn > 0.0 && plan.idle == 0 {
        return Err("--idle-churn replaces idle connections: give their number with --idle");
    }
    Ok(())
}

fn sessions(plan: &LoadPlan) -> Refusal {
    let Pattern::Sessions(sessions) = plan.pattern else {
        return Ok(());
    };
    if sessions.burst.get() > DEPTH_MAX as u64 {
        return Err("a session makes at most 1000 calls at once: lower --burst");
    }
    if plan.burst.get() > 1 || plan.depth > 1 {
        return Err("with sessions, --burst sets how many calls are made at once: omit --pipeline");
    }
    Ok(())
}

fn sockets(plan: &LoadPlan) -> Refusal {
    match &plan.target.address {
        Endpoint::Unix(_) if !plan.sources.is_empty() || plan.local_ports.is_some() => {
            Err("a Unix socket has no source addresses or ports: omit --source and --local-ports")
        }
        Endpoint::Unix(_) if plan.close == Close::Reset => Err("a Unix socket cannot be reset: omit --close"),
        Endpoint::Internet(_) if plan.target.reachable_from(&plan.sources).is_empty() => {
            Err("--source addresses and the server's address must be of the same family: IPv4 or IPv6")
        }
        _ => Ok(()),
    }
}

fn is_positive(rate: f64) -> bool {
    rate.is_finite() && rate > 0.0
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::plan::Target;

    fn refusal(change: impl FnOnce(&mut LoadPlan)) -> Option<String> {
        let mut plan = LoadPlan::new(Target::parse("http://127.0.0.1:80/bytes/5").unwrap());
        change(&mut plan);
        plan.check().err().map(|error| error.to_string())
    }

    type Change = fn(&mut LoadPlan);

    #[test]
    fn a_demand_that_no_thread_can_meet_is_refused_and_the_largest_other_one_is_not() {
        let at_the_limit: [Change; 5] = [
            |plan| plan.rate = Rate::PerSecond(RATE_MAX),
            |plan| (plan.rate, plan.threads) = (Rate::PerSecond(2.0 * RATE_MAX), 2),
            |plan| plan.burst = NonZeroU64::new(BURST_MAX).unwrap(),
            |plan| plan.threads = THREADS_MAX,
            |plan| (plan.idle, plan.idle_churn) = (1, RATE_MAX),
        ];
        for change in at_the_limit {
            assert_eq!(refusal(change), None);
        }
        let beyond: [(Change, &str); 7] = [
            (|plan| plan.rate = Rate::PerSecond(RATE_MAX + 1.0), "--threads"),
            (|plan| plan.rate = Rate::Ramp(1.0, 1e300), "lower the rate"),
            (|plan| plan.rate = Rate::Steps(vec![1.0, 1e8]), "lower the rate"),
            (|plan| plan.burst = NonZeroU64::MAX, "--burst"),
            (|plan| plan.threads = THREADS_MAX + 1, "--threads"),
            (|plan| plan.threads = 0, "--threads"),
            (|plan| (plan.idle, plan.idle_churn) = (1, 1e18), "--idle-churn"),
        ];
        for (change, word) in beyond {
            let refusal = refusal(change).expect(word);
            assert!(refusal.contains(word), "{refusal}");
        }
    }
}
