//! What to run: every option of the generator as a value.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use crate::LoadError;
use crate::endpoint::Endpoint;
use crate::pacing::Pace;
use crate::profile::Profile;
use crate::schedule::{Arrival, Schedule};
use crate::sessions::Sessions;
use crate::sources::Ports;
use crate::target::Target;

/// One run.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Where to, what to send, what to expect.
    pub target: Target,
    /// How fast.
    pub rate: Rate,
    /// The distribution of the gaps.
    pub arrival: Arrival,
    /// Requests due at each instant, at least 1; the rate stays what it is.
    pub burst: NonZeroU64,
    /// Seed of the schedule.
    pub seed: u64,
    /// How requests are spread over connections.
    pub pattern: Pattern,
    /// Idle connections to keep open beside.
    pub idle: u64,
    /// Idle connections that are replaced per second by new ones; 0 keeps the same ones.
    pub idle_churn: f64,
    /// Full-rate time before the measured time.
    pub warm_up: Duration,
    /// The measured time.
    pub duration: Duration,
    /// Time limit of a request, from its scheduled instant.
    pub timeout: Duration,
    /// Send lag beyond which a request is late, and of whose share beyond 1% the run is invalid.
    pub lag_bound: Duration,
    /// How to wait for the next instant.
    pub pace: Pace,
    /// How connections are closed.
    pub close: Close,
    /// Requests on one connection at once, at least 1 (pipelining).
    pub depth: usize,
    /// Whether to ask the server once before anything else.
    pub probe: Probe,
    /// What is checked of the bodies.
    pub bodies: Bodies,
    /// Threads that send, at least 1.
    pub threads: usize,
    /// Local addresses to connect from; empty lets the generator choose.
    pub sources: Vec<IpAddr>,
    /// Local ports to choose from; the kernel's range where absent.
    pub local_ports: Option<Ports>,
    /// Connects per second while the idle pool and the persistent connections are opened.
    pub connect_rate: f64,
}

/// Whether the server is asked once before the run and once after the connections are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Probe {
    /// Before the run, a server that refuses or does not speak HTTP ends it at once. After the connections are opened,
    /// an answer proves that the server has accepted all that were queued before.
    #[default]
    Ask,
    /// Nothing is sent beside the load.
    Skip,
}

/// How this side closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Close {
    /// With a FIN; the port rests in TIME_WAIT for a minute where this side was the first to close.
    #[default]
    Orderly,
    /// With a RST (SO_LINGER with a time of 0, socket(7)): the port is free at once, and the server sees a reset.
    Reset,
}

/// What is checked of the bodies of replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bodies {
    /// Their length.
    #[default]
    Length,
    /// Their length, and that they are the body that the first probe got.
    LikeTheFirst,
}

/// How fast to send.
#[derive(Debug, Clone, PartialEq)]
pub enum Rate {
    /// Open loop: this many requests per second are due, whatever the server does.
    PerSecond(f64),
    /// Open loop: a straight line from the first to the second rate over the measured time; the first in the warm-up.
    Ramp(f64, f64),
    /// Open loop: these rates for equal parts of the measured time; the first in the warm-up.
    Steps(Vec<f64>),
    /// Open loop: requests are due at these instants, nanoseconds from the start, in rising order.
    Trace(Arc<[u64]>),
    /// Closed loop: each connection sends its next request when it has the last reply.
    Max,
}

impl Rate {
    /// The highest rate, requests per second; `None` where it is not known.
    fn highest(&self) -> Option<f64> {
        match self {
            Self::PerSecond(rate) => Some(*rate),
            Self::Ramp(from, to) => Some(from.max(*to)),
            Self::Steps(rates) => rates.iter().copied().reduce(f64::max),
            Self::Trace(_) | Self::Max => None,
        }
    }
}

/// How requests are spread over connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// This many connections take requests in turn: request k goes over connection k modulo their number. A request
    /// whose connection is busy waits for it.
    InTurn {
        /// Number of connections.
        connections: NonZeroU64,
        /// Requests after which a connection is closed and made anew; without, it persists.
        per_connection: Option<NonZeroU64>,
    },
    /// A request takes a free connection, or opens a new one where none is free; each is closed after so many requests.
    AsNeeded {
        /// Requests on one connection.
        per_connection: NonZeroU64,
    },
    /// What the schedule has are sessions; each has a connection of its own, or anew where the server closes it.
    Sessions(Sessions),
}

impl Pattern {
    /// Connections that are kept for requests; 0 where they come and go.
    #[must_use]
    pub fn connections(self) -> u64 {
        match self {
            Self::InTurn { connections, .. } => connections.get(),
            Self::AsNeeded { .. } | Self::Sessions(_) => 0,
        }
    }

    /// Requests after which a connection is closed.
    #[must_use]
    pub fn per_connection(self) -> Option<NonZeroU64> {
        match self {
            Self::InTurn { per_connection, .. } => per_connection,
            Self::AsNeeded { per_connection } => Some(per_connection),
            Self::Sessions(_) => None,
        }
    }
}

impl LoadPlan {
    /// A plan for `target` with every option at its default: 1,000 requests per second at equal gaps for 10 s over ten
    /// persistent connections, no idle pool, one thread.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            rate: Rate::PerSecond(1000.0),
            arrival: Arrival::Constant,
            burst: NonZeroU64::MIN,
            seed: 1,
            pattern: Pattern::InTurn {
                connections: DEFAULT_CONNECTIONS,
                per_connection: None,
            },
            idle: 0,
            idle_churn: 0.0,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(10),
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
        }
    }

    /// Checks that the options go together.
    ///
    /// # Errors
    /// [`LoadError::Plan`] saying which do not.
    pub fn check(&self) -> Result<(), LoadError> {
        let refuse = |cause| Err(LoadError::Plan(cause));
        let is_rate = |rate: &f64| rate.is_finite() && *rate > 0.0;
        let all_are_rates = match &self.rate {
            Rate::PerSecond(rate) => is_rate(rate),
            Rate::Ramp(from, to) => is_rate(from) && is_rate(to),
            Rate::Steps(rates) => !rates.is_empty() && rates.iter().all(is_rate),
            Rate::Trace(_) | Rate::Max => true,
        };
        if !all_are_rates {
            return refuse("a rate is a positive number of requests per second, or max");
        }
        if self.rate == Rate::Max && self.pattern.connections() == 0 {
            return refuse("--rate max sends whenever a connection is free: say how many with --connections");
        }
        if self.rate == Rate::Max && self.burst.get() > 1 {
            return refuse("--rate max has no bursts: leave --burst out, or give a rate");
        }
        if self.rate == Rate::Max && self.depth > 1 {
            return refuse(
                "--rate max has one request on a connection at a time: leave --pipeline out, or give a rate",
            );
        }
        if self.bodies == Bodies::LikeTheFirst && self.probe == Probe::Skip {
            return refuse("bodies are compared with that of the probe: leave --no-probe out");
        }
        if let Rate::Trace(offsets) = &self.rate
            && offsets.windows(2).any(|pair| pair[0] > pair[1])
        {
            return refuse("the instants of a trace must rise");
        }
        if self.duration.is_zero() || self.timeout.is_zero() {
            return refuse("--duration and --timeout must be longer than nothing");
        }
        if self.threads == 0 || !(1..=DEPTH_MAX).contains(&self.depth) {
            return refuse("at least one thread sends, and 1 to 1000 requests are on a connection at once");
        }
        if !(self.idle_churn.is_finite() && self.idle_churn >= 0.0) {
            return refuse("an idle churn is a number of connections per second");
        }
        if self.idle_churn > 0.0 && self.idle == 0 {
            return refuse("--idle-churn replaces idle connections: say how many there are with --idle");
        }
        if let Pattern::Sessions(sessions) = self.pattern {
            if sessions.burst.get() > DEPTH_MAX as u64 {
                return refuse("a session makes at most 1000 calls at once: lower --burst");
            }
            if self.burst.get() > 1 || self.depth > 1 {
                return refuse("a session's own bursts say how many of its calls go at once: leave --pipeline out");
            }
        }
        if !(self.connect_rate.is_finite() && self.connect_rate > 0.0) {
            return refuse("a connect rate is a positive number of connects per second");
        }
        match &self.target.address {
            Endpoint::Unix(_) if !self.sources.is_empty() || self.local_ports.is_some() => {
                return refuse("a Unix socket has no source addresses or ports: leave --source and --local-ports out");
            }
            Endpoint::Unix(_) if self.close == Close::Reset => {
                return refuse("a Unix socket has no reset: leave --close out");
            }
            Endpoint::Internet(address) if self.sources.iter().any(|source| source.is_ipv4() != address.is_ipv4()) => {
                return refuse("--source addresses and the server's address must be of one family");
            }
            _ => {}
        }
        Ok(())
    }

    /// The schedule of the run; `None` for a closed loop, which has none.
    ///
    /// # Panics
    /// If a rate is not a positive number, which [`LoadPlan::check`] refuses.
    #[must_use]
    pub fn schedule(&self) -> Option<Schedule> {
        let span = self.warm_up + self.duration;
        let profile = match &self.rate {
            Rate::PerSecond(rate) => Profile::constant(*rate),
            Rate::Ramp(from, to) => Profile::ramp(self.warm_up, *from, *to, self.duration),
            Rate::Steps(rates) => Profile::steps(self.warm_up, rates, self.duration / rates.len() as u32),
            Rate::Trace(offsets) => return Some(self.limited(Schedule::of_trace(Arc::clone(offsets), span))),
            Rate::Max => return None,
        };
        Some(self.limited(Schedule::new(self.arrival, profile, self.burst, span, self.seed)))
    }

    /// What the record calls this kind of load.
    #[must_use]
    pub fn loop_kind(&self) -> &'static str {
        match (&self.rate, self.pattern) {
            (Rate::Max, _) => "closed",
            (_, Pattern::Sessions(_)) => "partly-open",
            _ => "open",
        }
    }

    /// Whether the load is meant to stay what it is over the measured time.
    pub(crate) fn is_level(&self) -> bool {
        matches!(self.rate, Rate::PerSecond(_) | Rate::Max) && !matches!(self.pattern, Pattern::Sessions(_))
    }

    fn limited(&self, schedule: Schedule) -> Schedule {
        match self.pattern {
            Pattern::Sessions(sessions) => schedule.limited(sessions.total),
            Pattern::InTurn { .. } | Pattern::AsNeeded { .. } => schedule,
        }
    }

    /// An upper estimate of the local ports that the run holds at once: open connections and those in TIME_WAIT.
    #[must_use]
    pub fn ports(&self) -> u64 {
        // A port whose connection this side closed rests for 60 s (TCP_TIMEWAIT_LEN of the kernel).
        const TIME_WAIT_S: f64 = 60.0;
        // A port whose connection was reset is free; this much is left for those that are open.
        const RESET_S: f64 = 1.0;
        let open = self.idle + self.pattern.connections();
        let span = (self.warm_up + self.duration).as_secs_f64();
        let resting = match self.close {
            Close::Orderly => span.min(TIME_WAIT_S),
            Close::Reset => span.min(RESET_S),
        };
        let rate = self.rate.highest().unwrap_or(UNKNOWN_RATE_GUESS);
        let per_second = match self.pattern {
            Pattern::Sessions(_) => rate,
            Pattern::InTurn { .. } | Pattern::AsNeeded { .. } => {
                self.pattern.per_connection().map_or(0.0, |k| rate / k.get() as f64)
            }
        };
        open + ((per_second + self.idle_churn) * resting).ceil() as u64
    }
}

/// Persistent connections where nothing else is said.
const DEFAULT_CONNECTIONS: NonZeroU64 = NonZeroU64::new(10).unwrap();

/// Requests on one connection at once at most.
const DEPTH_MAX: usize = 1000;

/// Connections per second that a run of unknown rate is planned to make at most.
const UNKNOWN_RATE_GUESS: f64 = 50_000.0;
