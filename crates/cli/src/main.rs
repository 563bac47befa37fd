//! The `c10k` command: flags to calls, no logic.
//!
//! One subcommand is one file with its `Args` and a `run`. A run ends in an exit code (0 done, 1 ran but the judgement
//! or the validity failed) or in an error, which is printed as one line and ends the process with 2.
#![forbid(unsafe_code)]

mod load;
mod serve;
mod study;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// How a subcommand ends: an exit code, or an error that becomes one line on standard error and exit code 2.
type Outcome = Result<ExitCode, Box<dyn Error>>;

/// Which event mechanism and which concurrency model should a server use, what does each cost, where does each break?
#[derive(Parser)]
#[command(name = "c10k", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Args),
    Load(load::Args),
    Study(study::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Load(args) => load::run(args),
        Command::Study(args) => study::run(args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("c10k: {error}");
        ExitCode::from(2)
    })
}
