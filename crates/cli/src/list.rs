//! `c10k list`: the mechanisms, the models, the probes and the studies.

use std::process::ExitCode;

use crate::print::outln;
use crate::{Outcome, inventory};

/// List the mechanisms, the models, the probes and the studies
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let found = inventory::everything();
    if args.json {
        outln!("{}", serde_json::to_string(&found)?);
        return Ok(ExitCode::SUCCESS);
    }
    inventory::print_mechanisms(&found.mechanisms);
    inventory::print_models(&found.models);
    inventory::print_ring_options(&found.ring_options);
    inventory::print_monitor_models(&found.monitor_models);
    inventory::print_probes(&found.probes);
    outln!("\nstudies");
    for study in &found.studies {
        outln!("  {:<28} {} ({} s)", study.name, study.question, study.seconds);
    }
    outln!("\nstudies in the guest (c10k vm study NAME): instructions, one virtual CPU");
    for study in &found.guest_studies {
        outln!("  {:<28} {} ({} s)", study.name, study.question, study.seconds);
    }
    Ok(ExitCode::SUCCESS)
}
