//! The `c10k` command: it turns flags into calls of the other crates, and prints what they return.
//!
//! A subcommand is one file with its `Args` and a `run`. The exit code is 0 if everything succeeded and 1 if a verdict or a
//! validity check failed. An error is printed as one line, with exit code 2.
#![forbid(unsafe_code)]

mod compare;
mod doctor;
mod inventory;
mod list;
mod load;
mod monitor;
mod outcome;
mod print;
mod probe;
mod report;
mod require;
mod resume;
mod serve;
mod study;
mod unavailable;
mod vm;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use outcome::Outcome;
use print::errln;

/// Which event mechanism and which concurrency model should a server use, what does each cost, where does each break?
#[derive(Parser)]
#[command(name = "c10k", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Doctor(doctor::Args),
    List(list::Args),
    Serve(serve::Args),
    Load(load::Args),
    Monitor(monitor::Args),
    #[command(hide = true)]
    Probe(probe::Args),
    Study(study::Args),
    Report(report::Args),
    Compare(compare::Args),
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse_usage(&error),
    };
    c10k_lab::register(inventory::lab_rows());
    let outcome = match cli.command {
        Command::Doctor(args) => doctor::run(&args),
        Command::List(args) => list::run(&args),
        Command::Serve(args) => unavailable::of_server(args.json, serve::run(&args)),
        Command::Load(args) => unavailable::of_generator(args.is_json(), load::run(args)),
        Command::Monitor(args) => monitor::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Study(args) => study::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Vm(args) => vm::run(args),
    };
    outcome.unwrap_or_else(|error| {
        errln!("c10k: {error}");
        ExitCode::from(2)
    })
}

/// Prints help and version unchanged, and every error as one line.
fn refuse_usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // If the reader has closed the pipe, there is nobody to report that to.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        errln!("c10k: no command given; start with `c10k study`, `c10k list` or `c10k --help`");
        return ExitCode::from(2);
    }
    errln!("c10k: {}", one_line(&error.render().to_string()));
    ExitCode::from(2)
}

/// The message before the usage text, as one line, with a reference to the help.
fn one_line(rendered: &str) -> String {
    let message = rendered
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .map(|line| line.strip_prefix("error: ").unwrap_or(line))
        .collect::<Vec<_>>()
        .join("; ");
    format!("{message}; see --help")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_on_the_command_line_is_one_line_with_a_remedy() {
        for arguments in [
            vec!["c10k", "frobnicate"],
            vec!["c10k", "serve", "--jason"],
            vec!["c10k", "load"],
        ] {
            let error = Cli::try_parse_from(&arguments).err().expect("refused");
            let line = one_line(&error.render().to_string());
            assert!(!line.contains('\n'), "{line}");
            assert!(line.ends_with("; see --help"), "{line}");
        }
    }

    #[test]
    fn the_flags_are_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
