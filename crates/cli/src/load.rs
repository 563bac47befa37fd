//! `c10k load`.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use c10k_load::search::{Criterion, find_max};
use c10k_load::{
    Arrival, Bodies, LoadError, LoadPlan, LoadReport, Pace, Pattern, Ports, Probe, Rate, Target, output,
    run as run_load,
};
use c10k_record::LoadRecord;
use clap::ValueEnum;

use crate::Outcome;

/// Load an HTTP server: open loop, fully accounted, with idle connections beside.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Boxed, as there are many.
    #[command(flatten)]
    options: Box<Options>,
}

#[derive(clap::Args)]
struct Options {
    /// What to ask for: http://HOST:PORT/PATH or unix:SOCKET:/PATH. A path /bytes/N promises N bytes
    url: String,
    /// Requests per second, or 'max' for a closed loop
    #[arg(long, default_value = "1000", value_parser = rate, allow_hyphen_values = true)]
    rate: Rate,
    /// Rates for equal parts of the measured time, such as 100,200,400; the first in the warm-up
    #[arg(long, value_delimiter = ',', conflicts_with = "rate")]
    steps: Vec<f64>,
    /// A rate that changes in a straight line over the measured time, such as 100..5000
    #[arg(long, value_parser = ramp, conflicts_with_all = ["rate", "steps"])]
    ramp: Option<Rate>,
    /// Replay a file: the instants at which requests are due, in seconds from the start, one a line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rate", "steps", "ramp"])]
    trace: Option<PathBuf>,
    /// Requests due at each instant; the rate stays what it is
    #[arg(long, default_value = "1")]
    burst: NonZeroU64,
    /// Connections that take requests in turn [default: 10, or as many as needed with --requests-per-connection]
    #[arg(long)]
    connections: Option<NonZeroU64>,
    /// Requests after which a connection is closed; 1 without --connections is one connection per request
    #[arg(long)]
    requests_per_connection: Option<NonZeroU64>,
    /// Idle connections to keep open beside
    #[arg(long, default_value_t = 0)]
    idle: u64,
    /// Measured time
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Time at full rate before the measured time
    #[arg(long, default_value = "0", value_parser = duration)]
    warmup: Duration,
    /// Distribution of the gaps between requests
    #[arg(long, value_enum, default_value_t = ArrivalName::Constant)]
    arrival: ArrivalName,
    /// Time limit of a request, from the instant it is due
    #[arg(long, default_value = "5s", value_parser = duration)]
    timeout: Duration,
    /// Send lag beyond which a request is late; the run is invalid if the generator itself delays 1% beyond it
    #[arg(long, default_value = "5ms", value_parser = duration)]
    max_lag: Duration,
    /// How to wait for the next request: sleep, hybrid (sleep, then poll the last stretch), spin
    #[arg(long, value_enum, default_value_t = PaceName::Sleep)]
    pace: PaceName,
    /// Requests on one connection at once
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    /// Threads that send
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Seed of the schedule
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Local address to connect from; repeat it for several
    #[arg(long = "source")]
    sources: Vec<IpAddr>,
    /// Local ports to connect from, such as 40000-40999 (Linux 6.3) [default: the kernel's range]
    #[arg(long, value_parser = ports)]
    local_ports: Option<Ports>,
    /// Connects per second while connections are opened
    #[arg(long, default_value_t = 10_000.0)]
    connect_rate: f64,
    /// Check that every reply has the same body as the first
    #[arg(long)]
    verify_bodies: bool,
    /// Do not ask the server once before the run and once after the connections are opened
    #[arg(long)]
    no_probe: bool,
    /// Search the highest rate that holds, from --rate on: p99<5ms means that 99% of the requests take less
    #[arg(long, value_name = "pN<DURATION", value_parser = criterion, conflicts_with_all = ["steps", "ramp", "trace", "phases", "httperf"])]
    find_max: Option<Criterion>,
    /// Write the time series to FILE as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the latency distribution to FILE in HdrHistogram's text format
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,
    /// Write the summary to FILE in the OpenMetrics text format
    #[arg(long, value_name = "FILE")]
    openmetrics: Option<PathBuf>,
    /// Print the summary for people in httperf's layout
    #[arg(long)]
    httperf: bool,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
    /// Print a JSON line at each change of phase, before the summary
    #[arg(long, requires = "json")]
    phases: bool,
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
    let (json, phases) = (args.json, args.phases);
    let layout = if args.httperf {
        output::httperf::summary
    } else {
        |report: &LoadReport| output::text::summary(&report.summary)
    };
    let exports = Exports::create(&args)?;
    let criterion = args.find_max.clone();
    let plan = plan(args)?;
    if let Some(criterion) = criterion {
        return search(&plan, &criterion, json);
    }
    let print = |record: &LoadRecord| -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, record)?;
        out.write_all(b"\n")?;
        out.flush()
    };
    let mut printed = Ok(());
    let report = run_load(&plan, |phase, at| {
        if phases && printed.is_ok() {
            printed = print(&LoadRecord::Phase {
                phase,
                monotonic_ns: at.0,
            });
        }
    })?;
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

fn search(plan: &LoadPlan, criterion: &Criterion, json: bool) -> Outcome {
    let Rate::PerSecond(start) = plan.rate else {
        return Err("searching the highest rate: --rate max is none to start from: give a number".into());
    };
    let found = find_max(start, criterion, |rate| {
        let report = run_load(
            &LoadPlan {
                rate: Rate::PerSecond(rate),
                ..plan.clone()
            },
            |_, _| {},
        )?;
        let latency = report.account.latency;
        Ok::<_, LoadError>((report.summary, Box::new(move |quantile| latency.at(quantile))))
    })?;
    let text = output::text::search(&found);
    if json {
        std::io::stderr().write_all(text.as_bytes())?;
        println!("{}", serde_json::to_string(&found)?);
    } else {
        std::io::stdout().write_all(text.as_bytes())?;
    }
    Ok(if found.rate_max.is_some() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn plan(args: Options) -> Result<LoadPlan, Box<dyn Error>> {
    let defaults = LoadPlan::new(Target::parse(&args.url)?);
    let pattern = match (args.connections, args.requests_per_connection) {
        (Some(connections), per_connection) => Pattern::InTurn {
            connections,
            per_connection,
        },
        (None, Some(per_connection)) => Pattern::AsNeeded { per_connection },
        (None, None) => defaults.pattern,
    };
    let rate = match (args.ramp, args.trace) {
        (Some(ramp), _) => ramp,
        (None, Some(path)) => Rate::Trace(trace(&path)?),
        (None, None) if !args.steps.is_empty() => Rate::Steps(args.steps),
        (None, None) => args.rate,
    };
    Ok(LoadPlan {
        rate,
        burst: args.burst,
        arrival: match args.arrival {
            ArrivalName::Constant => Arrival::Constant,
            ArrivalName::Poisson => Arrival::Poisson,
        },
        seed: args.seed,
        pattern,
        idle: args.idle,
        warm_up: args.warmup,
        duration: args.duration,
        timeout: args.timeout,
        lag_bound: args.max_lag,
        pace: match args.pace {
            PaceName::Sleep => Pace::Sleep,
            PaceName::Hybrid => Pace::Hybrid,
            PaceName::Spin => Pace::Spin,
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

fn rate(text: &str) -> Result<Rate, String> {
    match text {
        "max" => Ok(Rate::Max),
        _ => match text.parse() {
            Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(Rate::PerSecond(rate)),
            _ => Err("give a positive number of requests per second, or max".to_owned()),
        },
    }
}

fn ramp(text: &str) -> Result<Rate, String> {
    let ends = text
        .split_once("..")
        .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    ends.map(|(from, to)| Rate::Ramp(from, to))
        .ok_or_else(|| "give two rates, such as 100..5000".to_owned())
}

/// Reads the instants of a trace: seconds, one a line; empty lines and lines that start with # are passed over.
fn trace(path: &Path) -> Result<Arc<[u64]>, String> {
    let refuse = |cause: String| format!("reading the trace {}: {cause}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| match line.trim().parse::<f64>() {
            Ok(seconds) if seconds >= 0.0 => Ok((seconds * 1e9) as u64),
            _ => Err(refuse(format!(
                "line {} is not a number of seconds: '{line}'",
                number + 1
            ))),
        })
        .collect()
}

fn criterion(text: &str) -> Result<Criterion, String> {
    let parse = || {
        let (percentile, limit) = text.strip_prefix('p')?.split_once('<')?;
        let percentile: f64 = percentile
            .parse()
            .ok()
            .filter(|percentile| (0.0..100.0).contains(percentile))?;
        Some(Criterion::new(
            text,
            percentile / 100.0,
            c10k_http::units::duration(limit)?,
        ))
    };
    parse().ok_or_else(|| "give a percentile and a bound, such as p99<5ms or p99.9<20ms".to_owned())
}

fn ports(text: &str) -> Result<Ports, String> {
    let ends = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    match ends {
        Some((first, last)) if 0 < first && first <= last => Ok(Ports { first, last }),
        _ => Err("give the first and the last port, such as 40000-40999".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    c10k_http::units::duration(text).ok_or_else(|| "give a duration such as 250us, 10ms, 5s, 2m".to_owned())
}
