//! `c10k monitor watch`.

use std::io::{IsTerminal as _, stdin, stdout};
use std::num::NonZeroU64;
use std::process::ExitCode;

use c10k_monitor::Stop;
use c10k_monitor::watch::{Until, Watcher, plain, screen};

use crate::Outcome;

/// Show the samples of many hosts: a table on a terminal, lines elsewhere.
///
/// It connects to the daemon of each host (c10k monitor serve) and connects again when a connection is lost. On a terminal, q ends it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The hosts, each with a port or without (7010).
    #[arg(value_name = "HOST[:PORT]", required = true)]
    hosts: Vec<String>,
    /// Print lines, also on a terminal: one for each sample and for each change of a connection.
    #[arg(long)]
    plain: bool,
    /// End after so many samples of all hosts together.
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU64>,
}

pub(super) fn run(args: &Args) -> Outcome {
    c10k_monitor::raise_descriptor_limit();
    let stop = Stop::new()?;
    let mut watcher = Watcher::open(&args.hosts, &stop)?;
    stop.on_signals()?;
    let until = args.count.map_or(Until::Stopped, Until::Samples);
    if args.plain || !stdout().is_terminal() || !stdin().is_terminal() {
        plain(&mut watcher, until, &stop, &mut stdout().lock())?;
    } else {
        screen(&mut watcher, until, &stop)?;
    }
    Ok(ExitCode::SUCCESS)
}
