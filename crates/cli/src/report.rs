//! `c10k report`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::Outcome;
use crate::print::outln;
use crate::study;

/// Draw the report of a study, or of several, again from the records; nothing is measured
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder of a study or of a set, finished or not
    folder: PathBuf,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if c10k_lab::is_set(&args.folder) {
        let set = c10k_lab::redraw_set(&args.folder)?;
        if args.json {
            set.studies.iter().for_each(|entry| study::print_entry(entry, true));
        } else {
            outln!("{}", c10k_lab::set_text(&set));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let drawn = c10k_lab::redraw(&args.folder)?;
    study::print(&drawn, args.json)?;
    Ok(ExitCode::SUCCESS)
}
