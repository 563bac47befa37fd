//! The plan of one run.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use super::options::{Bodies, Close, Ports, Probe};
use super::pacing::Pace;
use super::pattern::Pattern;
use super::rate::{Arrival, Rate};
use super::target::Target;

/// The plan of one run.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// The server, the request and the expected reply.
    pub target: Target,
    /// How fast requests are due.
    pub rate: Rate,
    /// The distribution of the gaps between requests.
    pub arrival: Arrival,
    /// The number of requests due at each instant, at least 1. It does not change the rate.
    pub burst: NonZeroU64,
    /// The seed of the schedule and of the choices of a mix.
    pub seed: u64,
    /// How requests are distributed over connections.
    pub pattern: Pattern,
    /// The number of idle connections to keep open.
    pub idle: u64,
    /// The number of idle connections to replace per second; 0 keeps them.
    pub idle_churn: f64,
    /// The time at full rate before the measured time.
    pub warm_up: Duration,
    /// The measured time.
    pub duration: Duration,
    /// The width of a slice of the time series, which the record then has; wider if there would be more than 1,024. If absent,
    /// it is a second, and the record has no time series.
    pub slice: Option<Duration>,
    /// The time limit of a request, from its scheduled instant.
    pub timeout: Duration,
    /// A request with a longer send lag is late. If the generator itself delays 1% of the requests by more, the run is
    /// invalid.
    pub lag_bound: Duration,
    /// How to wait for the next request.
    pub pace: Pace,
    /// How to close connections.
    pub close: Close,
    /// The maximum number of unanswered requests on a connection, at least 1 (pipelining).
    pub depth: usize,
    /// Whether to send a test request before the load.
    pub probe: Probe,
    /// What to check of the bodies.
    pub bodies: Bodies,
    /// The number of sending threads, at least 1.
    pub threads: usize,
    /// Local addresses to connect from. If empty, the generator chooses.
    pub sources: Vec<IpAddr>,
    /// Local ports to connect from. If absent, the kernel's range is used.
    pub local_ports: Option<Ports>,
    /// Connects per second while the idle pool and the persistent connections are opened.
    pub connect_rate: f64,
    /// How long runs against the same server lasted just before this one: their ports may still be in TIME_WAIT.
    pub earlier: Duration,
}

impl LoadPlan {
    /// A plan for `target` with default options: 1,000 requests per second with equal gaps for 10 s over ten
    /// persistent connections, no idle pool, one thread.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            rate: Rate::PerSecond(1000.0),
            arrival: Arrival::Constant,
            burst: NonZeroU64::MIN,
            seed: 1,
            pattern: Pattern::RoundRobin {
                connections: DEFAULT_CONNECTIONS,
                per_connection: None,
            },
            idle: 0,
            idle_churn: 0.0,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(10),
            slice: None,
            timeout: Duration::from_secs(5),
            lag_bound: Duration::from_millis(5),
            pace: Pace::Sleep,
            close: Close::Orderly,
            depth: 1,
            probe: Probe::Ask,
            bodies: Bodies::Length,
            threads: 1,
            sources: Vec::new(),
            local_ports: None,
            connect_rate: 10_000.0,
            earlier: Duration::ZERO,
        }
    }

    /// The number of connections that are opened before the run.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.idle + self.pattern.connections()
    }

    /// What the record calls this kind of load.
    #[must_use]
    pub(crate) fn loop_kind(&self) -> &'static str {
        match (&self.rate, self.pattern) {
            (Rate::Max, _) => "closed",
            (_, Pattern::Sessions(_)) => "partly-open",
            _ => "open",
        }
    }

    /// Whether the load is meant to be constant over the measured time.
    pub(crate) fn is_level(&self) -> bool {
        matches!(self.rate, Rate::PerSecond(_) | Rate::Max) && !matches!(self.pattern, Pattern::Sessions(_))
    }

    /// An upper estimate of the local ports that the run occupies at once: open connections and those in TIME_WAIT.
    #[must_use]
    pub(crate) fn ports(&self) -> u64 {
        // If this side closes a connection, its port stays in TIME_WAIT for 60 s (TCP_TIMEWAIT_LEN of the kernel).
        const TIME_WAIT_S: f64 = 60.0;
        // A connection is open for at most about the time limit of a request; after a reset the port is free at once.
        let open_s = self.timeout.as_secs_f64();
        let span = (self.earlier + self.warm_up + self.duration).as_secs_f64();
        let occupied_s = match self.close {
            Close::Orderly => span.min(open_s + TIME_WAIT_S),
            Close::Reset => span.min(open_s),
        };
        let rate = self.rate.highest().unwrap_or(UNKNOWN_RATE_GUESS);
        let per_second = match self.pattern {
            Pattern::Sessions(_) => rate,
            Pattern::RoundRobin { .. } | Pattern::OnDemand { .. } => {
                self.pattern.per_connection().map_or(0.0, |k| rate / k.get() as f64)
            }
        };
        self.connections() + ((per_second + self.idle_churn) * occupied_s).ceil() as u64
    }
}

/// The default number of persistent connections.
const DEFAULT_CONNECTIONS: NonZeroU64 = NonZeroU64::new(10).unwrap();

/// The assumed number of requests per second if the rate is unknown.
const UNKNOWN_RATE_GUESS: f64 = 50_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_while_its_connection_is_open_and_in_time_wait() {
        let plan = |seconds, close| LoadPlan {
            rate: Rate::PerSecond(100.0),
            pattern: Pattern::OnDemand {
                per_connection: NonZeroU64::MIN,
            },
            duration: Duration::from_secs(seconds),
            timeout: Duration::from_secs(5),
            close,
            ..LoadPlan::new(Target::parse("http://127.0.0.1:80/").unwrap())
        };
        assert_eq!(plan(10, Close::Orderly).ports(), 1000);
        assert_eq!(plan(600, Close::Orderly).ports(), 6500);
        assert_eq!(plan(600, Close::Reset).ports(), 500);
        let later = LoadPlan {
            earlier: Duration::from_secs(20),
            ..plan(10, Close::Orderly)
        };
        assert_eq!(later.ports(), 3000);
    }
}
