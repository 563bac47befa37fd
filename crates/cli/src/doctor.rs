//! `c10k doctor`: what this machine can run, and what would lift each limit.

use std::process::ExitCode;

use c10k_record::DoctorReport;

use crate::print::outln;
use crate::{Outcome, inventory};

/// Show what this machine can run, and which command lifts each limit
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let report = DoctorReport {
        schema: c10k_record::SCHEMA,
        checks: c10k_host::doctor::examine(&c10k_host::facts::read()),
        mechanisms: inventory::mechanisms(),
        models: inventory::models(),
    };
    if args.json {
        outln!("{}", serde_json::to_string(&report)?);
        return Ok(ExitCode::SUCCESS);
    }
    outln!("machine");
    for check in &report.checks {
        let answer = if check.ok { "ok" } else { "!!" };
        outln!("  {answer}   {:<22} {}", check.name, check.found);
        if let Some(remedy) = &check.remedy {
            outln!("       {:22} {remedy}", "");
        }
    }
    outln!();
    inventory::print_mechanisms(&report.mechanisms);
    inventory::print_models(&report.models);
    Ok(ExitCode::SUCCESS)
}
