//! The options of `c10k load`, and the plan that they describe.

use std::error::Error;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use c10k_load::{
    Arrival, Bodies, Close, Criterion, LoadPlan, MixRow, Pace, Pattern, Ports, Probe, Rate, Sessions, Target,
};
use clap::ValueEnum;

use super::outputs::{OUT, Outputs};
use super::values::{criterion, duration, mix_row, per_second, ports, ramp, rate, sessions, trace};

// The headings of `--help`.
const WHAT: &str = "What is requested";
const DUE: &str = "When requests are due";
const OVER: &str = "Connections";
const HOW: &str = "Duration and precision";
const ASKED: &str = "Checks";

/// Options of a run as a whole, which windows do not have.
const WHOLE_RUN: [&str; 8] = [
    "hold",
    "find-max",
    "seed",
    "wsess",
    "idle_churn",
    "csv",
    "hgrm",
    "openmetrics",
];

#[derive(clap::Args)]
pub(super) struct Options {
    /// The URL: http://HOST:PORT/PATH or unix:SOCKET:/PATH. If the path is /bytes/N, replies must have N bytes
    url: String,
    /// A mix of requests instead of the URL's path. May be repeated. REQUEST is 'PATH', 'METHOD PATH' or 'METHOD PATH BODY-SIZE'; the PATH may hold one {uniform:COUNT}, {zipf:COUNT} or {zipf:COUNT:EXPONENT} for a number from 0 to COUNT-1
    #[arg(long, help_heading = WHAT, value_name = "WEIGHT=REQUEST", value_parser = mix_row)]
    mix: Vec<MixRow>,
    /// Requests per second, or 'max' for a closed loop
    #[arg(long, help_heading = DUE, default_value = "1000", value_parser = rate, allow_hyphen_values = true)]
    rate: Rate,
    /// Several rates, each for an equal part of the measured time, such as 100,200,400
    #[arg(long, help_heading = DUE, value_delimiter = ',', value_parser = per_second, conflicts_with = "rate")]
    steps: Vec<f64>,
    /// A rate that changes linearly over the measured time, such as 100..5000
    #[arg(long, help_heading = DUE, value_parser = ramp, conflicts_with_all = ["rate", "steps"])]
    ramp: Option<Rate>,
    /// Replay a file with one line per request: when it is due, in seconds from the start
    #[arg(long, help_heading = DUE, value_name = "FILE", conflicts_with_all = ["rate", "steps", "ramp"])]
    trace: Option<PathBuf>,
    /// Requests due at each instant, without changing the rate. With --wsess: the calls of a burst
    #[arg(long, help_heading = DUE, default_value = "1")]
    burst: NonZeroU64,
    /// The distribution of the gaps between requests
    #[arg(long, help_heading = DUE, value_enum, default_value_t = ArrivalName::Constant)]
    arrival: ArrivalName,
    /// The seed of the schedule and of the choices of --mix
    #[arg(long, help_heading = DUE, default_value_t = 1)]
    seed: u64,
    /// A fixed number of connections, used round robin [default: 10; with --requests-per-connection: as many as needed]
    #[arg(long, help_heading = OVER)]
    connections: Option<NonZeroU64>,
    /// Close a connection after this many requests. With 1 and without --connections, each request opens its own connection
    #[arg(long, help_heading = OVER)]
    requests_per_connection: Option<NonZeroU64>,
    /// Sessions like those of httperf: at most N1, started at --rate, with N2 calls each and think time X between bursts
    #[arg(long, help_heading = OVER, value_name = "N1,N2,X", value_parser = sessions, conflicts_with_all = ["connections", "requests_per_connection", "pipeline"])]
    wsess: Option<Sessions>,
    /// The maximum number of unanswered requests on a connection
    #[arg(long, help_heading = OVER, default_value_t = 1)]
    pipeline: usize,
    /// The number of idle connections to keep open
    #[arg(long, help_heading = OVER, default_value_t = 0)]
    idle: u64,
    /// Idle connections to replace per second, the oldest first
    #[arg(long, help_heading = OVER, value_name = "RATE", default_value = "0", value_parser = per_second)]
    idle_churn: f64,
    /// Connects per second while the connections are opened
    #[arg(long, help_heading = OVER, default_value = "10000", value_parser = per_second)]
    connect_rate: f64,
    /// How to close connections: fin, or reset (SO_LINGER 0: no TIME_WAIT, and the server sees a reset)
    #[arg(long, help_heading = OVER, value_enum, default_value_t = CloseName::Fin)]
    close: CloseName,
    /// A local address to connect from. May be repeated
    #[arg(long = "source", help_heading = OVER)]
    sources: Vec<IpAddr>,
    /// A range of local ports to connect from, such as 40000-40999 (Linux 6.3) [default: the kernel's range]
    #[arg(long, help_heading = OVER, value_parser = ports)]
    local_ports: Option<Ports>,
    /// The measured time
    #[arg(long, help_heading = HOW, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// The time at full rate before the measured time
    #[arg(long, help_heading = HOW, default_value = "0", value_parser = duration)]
    warmup: Duration,
    /// The width of a slice of the time series, which --json then prints too [default: 1s, and only in --csv]
    #[arg(long, help_heading = HOW, value_parser = duration)]
    slice: Option<Duration>,
    /// The time limit of a request, from the instant at which it is due
    #[arg(long, help_heading = HOW, default_value = "5s", value_parser = duration)]
    timeout: Duration,
    /// The number of sending threads
    #[arg(long, help_heading = HOW, default_value_t = 1)]
    threads: usize,
    /// How to wait for the next request: sleep, hybrid (sleep, then poll for the last 80 µs), spin (poll)
    #[arg(long, help_heading = HOW, value_enum, default_value_t = PaceName::Sleep)]
    pace: PaceName,
    /// monotonic, or server: stands still while the generator runs, which then runs before all other processes. For one CPU
    #[arg(long, help_heading = HOW, value_enum, default_value_t = ClockName::Monotonic)]
    pub(super) clock: ClockName,
    /// A request with a longer send lag is late. The run is invalid if the generator delays 1% of the requests by more
    #[arg(long, help_heading = HOW, default_value = "5ms", value_parser = duration)]
    max_lag: Duration,
    /// Check that all replies have the same body
    #[arg(long, help_heading = ASKED)]
    verify_bodies: bool,
    /// Do not send a test request before the run and after the connections are opened
    #[arg(long, help_heading = ASKED)]
    no_probe: bool,
    /// Search for the highest rate that holds, starting from --rate. p99<5ms: 99% of the requests take less than 5 ms
    #[arg(id = "find-max", long, help_heading = ASKED, value_name = "pN<DURATION", value_parser = criterion, conflicts_with_all = ["steps", "ramp", "trace", "phases"])]
    find_max: Option<Criterion>,
    #[command(flatten)]
    pub(super) outputs: Outputs,
    /// Print the summary as a JSON object on standard output, and the summary for people on standard error
    #[arg(long, help_heading = OUT)]
    pub(super) json: bool,
    /// Print a JSON line at each change of phase, before the summary
    #[arg(long, help_heading = OUT, requires = "json")]
    pub(super) phases: bool,
    /// After printing the phase "closing", keep all connections open until a line or the end of standard input is read
    #[arg(long, help_heading = OUT, requires = "phases")]
    pub(super) hold: bool,
    /// Keep the connections and measure one window for each line of standard input, which has the seed of its schedule
    #[arg(long, help_heading = OUT, requires = "phases", conflicts_with_all = WHOLE_RUN)]
    pub(super) windows: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ArrivalName {
    Constant,
    Poisson,
}

#[derive(Clone, Copy, ValueEnum)]
enum PaceName {
    Sleep,
    Hybrid,
    Spin,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ClockName {
    Monotonic,
    Server,
}

#[derive(Clone, Copy, ValueEnum)]
enum CloseName {
    Fin,
    Reset,
}

impl Options {
    /// The criterion of `--find-max`.
    pub(super) fn criterion(&self) -> Option<&Criterion> {
        self.find_max.as_ref()
    }

    /// The plan that the options describe.
    pub(super) fn plan(&self) -> Result<LoadPlan, Box<dyn Error>> {
        let target = Target::parse(&self.url)?;
        let target = match self.mix[..] {
            [] => target,
            ref rows => target.with_mix(rows)?,
        };
        let defaults = LoadPlan::new(target);
        Ok(LoadPlan {
            rate: self.rate()?,
            burst: match self.wsess {
                Some(_) => defaults.burst,
                None => self.burst,
            },
            arrival: match self.arrival {
                ArrivalName::Constant => Arrival::Constant,
                ArrivalName::Poisson => Arrival::Poisson,
            },
            seed: self.seed,
            pattern: self.pattern().unwrap_or(defaults.pattern),
            idle: self.idle,
            idle_churn: self.idle_churn,
            warm_up: self.warmup,
            duration: self.duration,
            slice: self.slice,
            timeout: self.timeout,
            lag_bound: self.max_lag,
            pace: match self.pace {
                PaceName::Sleep => Pace::Sleep,
                PaceName::Hybrid => Pace::Hybrid,
                PaceName::Spin => Pace::Spin,
            },
            close: match self.close {
                CloseName::Fin => Close::Orderly,
                CloseName::Reset => Close::Reset,
            },
            depth: self.pipeline,
            probe: if self.no_probe { Probe::Skip } else { Probe::Ask },
            bodies: if self.verify_bodies {
                Bodies::LikeTheFirst
            } else {
                Bodies::Length
            },
            threads: self.threads,
            sources: self.sources.clone(),
            local_ports: self.local_ports,
            connect_rate: self.connect_rate,
            ..defaults
        })
    }

    fn rate(&self) -> Result<Rate, String> {
        Ok(match (&self.ramp, &self.trace) {
            (Some(ramp), _) => ramp.clone(),
            (None, Some(path)) => Rate::Trace(trace(path)?),
            (None, None) if !self.steps.is_empty() => Rate::Steps(self.steps.clone()),
            (None, None) => self.rate.clone(),
        })
    }

    /// `None` if no option determines the pattern.
    fn pattern(&self) -> Option<Pattern> {
        match (self.connections, self.requests_per_connection) {
            (Some(connections), per_connection) => Some(Pattern::RoundRobin {
                connections,
                per_connection,
            }),
            (None, Some(per_connection)) => Some(Pattern::OnDemand { per_connection }),
            (None, None) => self.wsess.map(|sessions| {
                Pattern::Sessions(Sessions {
                    burst: self.burst,
                    ..sessions
                })
            }),
        }
    }
}
