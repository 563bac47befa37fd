//! `c10k load`.

mod live;
mod values;

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use c10k_load::search::{Criterion, find_max};
use c10k_load::{
    Arrival, Bodies, Close, LoadError, LoadPlan, LoadReport, News, Pace, Pattern, Ports, Probe, Rate, Sessions, Stop,
    Target, output, run_until,
};
use c10k_record::{LoadPhase, LoadRecord};
use clap::ValueEnum;

use crate::Outcome;
use live::Live;
use values::{criterion, duration, ports, ramp, rate, sessions, trace};

/// Load an HTTP server: open loop, fully accounted, with idle connections beside.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Boxed, as there are many.
    #[command(flatten)]
    options: Box<Options>,
}

// The headings of `--help`.
const DUE: &str = "When requests are due";
const OVER: &str = "Over which connections";
const HOW: &str = "How long, and how precisely";
const ASKED: &str = "What is asked of the server";
const OUT: &str = "What comes out";

#[derive(clap::Args)]
struct Options {
    /// What to ask for: http://HOST:PORT/PATH or unix:SOCKET:/PATH. A path /bytes/N promises N bytes
    url: String,
    /// Requests per second, or 'max' for a closed loop
    #[arg(long, help_heading = DUE, default_value = "1000", value_parser = rate, allow_hyphen_values = true)]
    rate: Rate,
    /// Rates for equal parts of the measured time, such as 100,200,400; the first in the warm-up
    #[arg(long, help_heading = DUE, value_delimiter = ',', conflicts_with = "rate")]
    steps: Vec<f64>,
    /// A rate that changes in a straight line over the measured time, such as 100..5000
    #[arg(long, help_heading = DUE, value_parser = ramp, conflicts_with_all = ["rate", "steps"])]
    ramp: Option<Rate>,
    /// Replay a file: the instants at which requests are due, in seconds from the start, one a line
    #[arg(long, help_heading = DUE, value_name = "FILE", conflicts_with_all = ["rate", "steps", "ramp"])]
    trace: Option<PathBuf>,
    /// Requests due at each instant; the rate stays what it is. With --wsess: calls that a user makes at once
    #[arg(long, help_heading = DUE, default_value = "1")]
    burst: NonZeroU64,
    /// Distribution of the gaps between requests
    #[arg(long, help_heading = DUE, value_enum, default_value_t = ArrivalName::Constant)]
    arrival: ArrivalName,
    /// Seed of the schedule
    #[arg(long, help_heading = DUE, default_value_t = 1)]
    seed: u64,
    /// Connections that take requests in turn [default: 10, or as many as needed with --requests-per-connection]
    #[arg(long, help_heading = OVER)]
    connections: Option<NonZeroU64>,
    /// Requests after which a connection is closed; 1 without --connections is one connection per request
    #[arg(long, help_heading = OVER)]
    requests_per_connection: Option<NonZeroU64>,
    /// Sessions as httperf has them: at most N1, begun at --rate, of N2 calls each, with think time X between bursts
    #[arg(long, help_heading = OVER, value_name = "N1,N2,X", value_parser = sessions, conflicts_with_all = ["connections", "requests_per_connection", "pipeline"])]
    wsess: Option<Sessions>,
    /// Requests on one connection at once
    #[arg(long, help_heading = OVER, default_value_t = 1)]
    pipeline: usize,
    /// Idle connections to keep open beside
    #[arg(long, help_heading = OVER, default_value_t = 0)]
    idle: u64,
    /// Idle connections per second that are replaced by new ones, the oldest first
    #[arg(long, help_heading = OVER, value_name = "RATE", default_value_t = 0.0)]
    idle_churn: f64,
    /// Connects per second while connections are opened
    #[arg(long, help_heading = OVER, default_value_t = 10_000.0)]
    connect_rate: f64,
    /// How connections are closed: fin, or reset (SO_LINGER 0: no TIME_WAIT, and the server sees a reset)
    #[arg(long, help_heading = OVER, value_enum, default_value_t = CloseName::Fin)]
    close: CloseName,
    /// Local address to connect from; repeat it for several
    #[arg(long = "source", help_heading = OVER)]
    sources: Vec<IpAddr>,
    /// Local ports to connect from, such as 40000-40999 (Linux 6.3) [default: the kernel's range]
    #[arg(long, help_heading = OVER, value_parser = ports)]
    local_ports: Option<Ports>,
    /// Measured time
    #[arg(long, help_heading = HOW, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Time at full rate before the measured time
    #[arg(long, help_heading = HOW, default_value = "0", value_parser = duration)]
    warmup: Duration,
    /// Time limit of a request, from the instant it is due
    #[arg(long, help_heading = HOW, default_value = "5s", value_parser = duration)]
    timeout: Duration,
    /// Threads that send
    #[arg(long, help_heading = HOW, default_value_t = 1)]
    threads: usize,
    /// How to wait for the next request: sleep, hybrid (sleep, then poll the last stretch), spin
    #[arg(long, help_heading = HOW, value_enum, default_value_t = PaceName::Sleep)]
    pace: PaceName,
    /// Send lag beyond which a request is late; the run is invalid if the generator itself delays 1% beyond it
    #[arg(long, help_heading = HOW, default_value = "5ms", value_parser = duration)]
    max_lag: Duration,
    /// Check that every reply has the same body as the first
    #[arg(long, help_heading = ASKED)]
    verify_bodies: bool,
    /// Do not ask the server once before the run and once after the connections are opened
    #[arg(long, help_heading = ASKED)]
    no_probe: bool,
    /// Search the highest rate that holds, from --rate on: p99<5ms means that 99% of the requests take less
    #[arg(long, help_heading = ASKED, value_name = "pN<DURATION", value_parser = criterion, conflicts_with_all = ["steps", "ramp", "trace", "phases", "httperf", "csv", "hgrm", "openmetrics"])]
    find_max: Option<Criterion>,
    /// Write the time series to FILE as comma-separated values
    #[arg(long, help_heading = OUT, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the latency distribution to FILE in HdrHistogram's text format
    #[arg(long, help_heading = OUT, value_name = "FILE")]
    hgrm: Option<PathBuf>,
    /// Write the summary to FILE in the OpenMetrics text format
    #[arg(long, help_heading = OUT, value_name = "FILE")]
    openmetrics: Option<PathBuf>,
    /// Print the summary for people in httperf's layout
    #[arg(long, help_heading = OUT)]
    httperf: bool,
    /// Print one JSON object on standard output
    #[arg(long, help_heading = OUT)]
    json: bool,
    /// Print a JSON line at each change of phase, before the summary
    #[arg(long, help_heading = OUT, requires = "json")]
    phases: bool,
    /// Print the phase "closing" and close no connection before a line or the end of standard input has been read
    #[arg(long, help_heading = OUT, requires = "phases")]
    hold: bool,
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

#[derive(Clone, Copy, ValueEnum)]
enum CloseName {
    Fin,
    Reset,
}

/// How a report becomes text.
type Layout = fn(&LoadReport) -> String;

/// The files asked for, created before the run so that none is made in vain.
struct Exports {
    files: Vec<(PathBuf, File, Layout)>,
}

impl Exports {
    fn create(args: &Options) -> Result<Self, String> {
        let wanted: [(&Option<PathBuf>, Layout); 3] = [
            (&args.csv, output::csv::series),
            (&args.hgrm, output::hgrm::latency),
            (&args.openmetrics, |report| {
                output::openmetrics::summary(&report.summary)
            }),
        ];
        let mut files = Vec::new();
        for (path, render) in wanted {
            let Some(path) = path else { continue };
            let file = File::create(path).map_err(|error| unwritable(path, &error))?;
            files.push((path.clone(), file, render));
        }
        Ok(Self { files })
    }

    fn write(self, report: &LoadReport) -> Result<(), String> {
        for (path, mut file, render) in self.files {
            file.write_all(render(report).as_bytes())
                .map_err(|error| unwritable(&path, &error))?;
        }
        Ok(())
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> String {
    format!("writing {}: {error}: give a path that can be written", path.display())
}

pub(crate) fn run(args: Args) -> Outcome {
    let args = *args.options;
    let (json, phases, hold) = (args.json, args.phases, args.hold);
    let layout = if args.httperf {
        output::httperf::summary
    } else {
        |report: &LoadReport| output::text::summary(&report.summary)
    };
    let exports = Exports::create(&args)?;
    let criterion = args.find_max.clone();
    let plan = plan(args)?;
    let stop = Stop::default();
    stop.on_signals()?;
    if let Some(criterion) = criterion {
        return search(&plan, &criterion, &stop, json);
    }
    let mut live = Live::new(&plan);
    let print = |record: &LoadRecord| -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, record)?;
        out.write_all(b"\n")?;
        out.flush()
    };
    let mut printed = Ok(());
    let report = run_until(&plan, &stop, |news| {
        live.show(news);
        if let News::Phase(phase, at) = news
            && phases
            && printed.is_ok()
        {
            printed = print(&LoadRecord::Phase {
                phase,
                monotonic_ns: at.0,
            });
            if hold && phase == LoadPhase::Closing {
                // That nothing can be read says as well that nobody holds the run any longer.
                let _ = std::io::stdin().read_line(&mut String::new());
            }
        }
    })?;
    drop(live);
    printed?;
    exports.write(&report)?;
    let summary = &report.summary;
    let code = if summary.valid {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    };
    let text = layout(&report);
    if json {
        std::io::stderr().write_all(text.as_bytes())?;
        print(&LoadRecord::Summary(Box::new(report.summary)))?;
    } else {
        std::io::stdout().write_all(text.as_bytes())?;
    }
    Ok(code)
}

fn search(plan: &LoadPlan, criterion: &Criterion, stop: &Stop, json: bool) -> Outcome {
    let Rate::PerSecond(start) = plan.rate else {
        return Err("searching the highest rate: --rate max is none to start from: give a number".into());
    };
    let found = find_max(start, criterion, |rate| {
        let plan = LoadPlan {
            rate: Rate::PerSecond(rate),
            // The replies to the last requests come after the measured time; those to the last ones of a warm-up make up for them.
            warm_up: plan.warm_up.max(criterion.limit().min(plan.duration)),
            ..plan.clone()
        };
        let mut live = Live::new(&plan);
        let report = run_until(&plan, stop, |news| live.show(news))?;
        let latency = report.account.latency;
        let trial = (report.summary, Box::new(move |quantile| latency.at(quantile)) as _);
        Ok::<_, LoadError>(Some(trial).filter(|_| stop.requested().is_none()))
    })?;
    let text = output::text::search(&found);
    if json {
        std::io::stderr().write_all(text.as_bytes())?;
        println!("{}", serde_json::to_string(&found)?);
    } else {
        std::io::stdout().write_all(text.as_bytes())?;
    }
    Ok(
        if found.rate_max.is_some() && !found.interrupted && !found.by_generator {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        },
    )
}

fn plan(args: Options) -> Result<LoadPlan, Box<dyn Error>> {
    let defaults = LoadPlan::new(Target::parse(&args.url)?);
    let pattern = match (args.connections, args.requests_per_connection) {
        (Some(connections), per_connection) => Pattern::InTurn {
            connections,
            per_connection,
        },
        (None, Some(per_connection)) => Pattern::AsNeeded { per_connection },
        (None, None) => args.wsess.map_or(defaults.pattern, |sessions| {
            Pattern::Sessions(Sessions {
                burst: args.burst,
                ..sessions
            })
        }),
    };
    let rate = match (args.ramp, args.trace) {
        (Some(ramp), _) => ramp,
        (None, Some(path)) => Rate::Trace(trace(&path)?),
        (None, None) if !args.steps.is_empty() => Rate::Steps(args.steps),
        (None, None) => args.rate,
    };
    Ok(LoadPlan {
        rate,
        burst: if args.wsess.is_some() {
            defaults.burst
        } else {
            args.burst
        },
        arrival: match args.arrival {
            ArrivalName::Constant => Arrival::Constant,
            ArrivalName::Poisson => Arrival::Poisson,
        },
        seed: args.seed,
        pattern,
        idle: args.idle,
        idle_churn: args.idle_churn,
        warm_up: args.warmup,
        duration: args.duration,
        timeout: args.timeout,
        lag_bound: args.max_lag,
        pace: match args.pace {
            PaceName::Sleep => Pace::Sleep,
            PaceName::Hybrid => Pace::Hybrid,
            PaceName::Spin => Pace::Spin,
        },
        close: match args.close {
            CloseName::Fin => Close::Orderly,
            CloseName::Reset => Close::Reset,
        },
        depth: args.pipeline,
        probe: if args.no_probe { Probe::Skip } else { Probe::Ask },
        bodies: if args.verify_bodies {
            Bodies::LikeTheFirst
        } else {
            Bodies::Length
        },
        threads: args.threads,
        sources: args.sources,
        local_ports: args.local_ports,
        connect_rate: args.connect_rate,
        ..defaults
    })
}
