//! Which options contradict each other.

use super::load_plan::LoadPlan;
use super::options::{Bodies, Close, Probe};
use super::pattern::Pattern;
use super::rate::Rate;
use crate::LoadError;
use crate::endpoint::Endpoint;

/// The maximum number of unanswered requests on a connection.
const DEPTH_MAX: usize = 1000;

/// What is wrong with a plan, and the remedy.
type Refusal = Result<(), &'static str>;

impl LoadPlan {
    /// Checks that the options do not contradict each other.
    ///
    /// # Errors
    /// [`LoadError::Plan`] with the contradiction and the remedy.
    pub fn check(&self) -> Result<(), LoadError> {
        let checks = [rates, closed_loop, times, threads, idle_pool, sessions, sockets];
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
    Ok(())
}

fn threads(plan: &LoadPlan) -> Refusal {
    if plan.threads == 0 {
        return Err("--threads must be at least 1: nothing is sent without a thread");
    }
    if !(1..=DEPTH_MAX).contains(&plan.depth) {
        return Err("--pipeline must be from 1 to 1000");
    }
    if plan.bodies == Bodies::LikeTheFirst && plan.probe == Probe::Skip {
        return Err("--verify-bodies compares bodies with that of the test request: omit --no-probe");
    }
    Ok(())
}

fn idle_pool(plan: &LoadPlan) -> Refusal {
    if !(plan.idle_churn.is_finite() && plan.idle_churn >= 0.0) {
        return Err("--idle-churn must be a number of connections per second");
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
        Endpoint::Internet(address) if plan.sources.iter().any(|source| source.is_ipv4() != address.is_ipv4()) => {
            Err("--source addresses and the server's address must be of the same family: IPv4 or IPv6")
        }
        _ => Ok(()),
    }
}

fn is_positive(rate: f64) -> bool {
    rate.is_finite() && rate > 0.0
}
