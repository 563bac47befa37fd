//! `c10k probe`.

use std::process::ExitCode;
use std::time::Duration;

use c10k_probe::{Options, PROBES};

use crate::Outcome;

/// One measurement that needs no server: tasks, switches, libraries, fan-out
///
/// Studies start these; by hand they show what one figure is made of.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which: process-cost, switch-cost, blocked-tasks, library-cost, fan-out
    #[arg(value_name = "NAME")]
    name: String,
    /// CPUs to use, the most important first [default: those that this process may use, unpinned]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    cpus: Vec<usize>,
    /// Measured time
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "300ms")]
    time: Duration,
    /// The way that is measured; without it, an error names those of the probe
    #[arg(long, value_name = "WAY", default_value = "")]
    by: String,
    /// Tasks on one CPU (`same`) or on two (`cross`)
    #[arg(long, default_value = "same")]
    place: String,
    /// Memory that the parent has touched, MiB
    #[arg(long, value_name = "MIB", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=4096))]
    parent_mib: u64,
    /// Tasks in the ring
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(2..=1000))]
    tasks: u64,
    /// Blocked tasks
    #[arg(long, value_name = "N", default_value_t = 0)]
    blocked: u64,
    /// Sources watched
    #[arg(long, value_name = "N", default_value_t = 100)]
    sources: u64,
    /// Sources active at a time
    #[arg(long, value_name = "N", default_value_t = 1)]
    active: u64,
    /// Subscribers
    #[arg(long, value_name = "N", default_value_t = 1)]
    subscribers: u64,
    /// CPU time that a sample takes
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "100us")]
    sample: Duration,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let summary = c10k_probe::run(
        &args.name,
        &Options {
            cpus: args.cpus.clone(),
            time: args.time,
            by: args.by.clone(),
            place: args.place.clone(),
            parent_mib: args.parent_mib,
            tasks: args.tasks,
            blocked: args.blocked,
            sources: args.sources,
            active: args.active,
            subscribers: args.subscribers,
            sample: args.sample,
        },
    )?;
    if args.json {
        println!("{}", serde_json::to_string(&summary)?);
        return Ok(ExitCode::SUCCESS);
    }
    let what = PROBES.iter().find(|probe| probe.name == summary.probe);
    println!("{}: {}", summary.probe, what.map_or("", |probe| probe.summary));
    println!("  {:<12} {}", "operations", summary.operations);
    for (name, value) in &summary.values {
        println!("  {name:<12} {value:.3}");
    }
    Ok(ExitCode::SUCCESS)
}

fn duration(text: &str) -> Result<Duration, String> {
    c10k_http::units::duration(text).ok_or_else(|| "give a duration such as 300ms".to_owned())
}
