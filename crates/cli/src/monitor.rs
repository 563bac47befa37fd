//! `c10k monitor`: a monitoring daemon and its viewer.

mod serve;
mod watch;

use crate::Outcome;

/// Monitor hosts: a daemon for each host, and a viewer for many of them
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Serve(serve::Args),
    Watch(watch::Args),
}

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Serve(args) => serve::run(args),
        Command::Watch(args) => watch::run(args),
    }
}
