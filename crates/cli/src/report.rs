//! `c10k report`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::Outcome;
use crate::study;

/// Judge the records of a study again and draw its report again, running nothing
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of a study, finished or not
    folder: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let drawn = c10k_lab::redraw(&args.folder)?;
    study::print(&drawn, args.json)?;
    Ok(ExitCode::SUCCESS)
}
