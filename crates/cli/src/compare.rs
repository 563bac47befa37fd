//! `c10k compare`.

use std::path::PathBuf;
use std::process::ExitCode;

use c10k_lab::{CompareOptions, compare, comparison_text, gate_text};
use c10k_record::ComparisonRecord;

use crate::Outcome;
use crate::print::{errln, outln};

/// Compare two result folders cell by cell: what differs in the environment, then every cell with its verdict, at last a line
/// about all of them
///
/// As a regression gate: exit code 1 if a cell of B is worse than in A by more than the bound, if B lacks a cell or a study
/// that A has, or if nothing could be compared; 0 otherwise; 2 for folders that cannot be compared.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The baseline: the folder of a study, or of several
    a: PathBuf,
    /// The folder that is compared with the baseline
    b: PathBuf,
    /// The measure to compare; may be given several times [default: CPU per request; for a probe, the cost of its operation]
    #[arg(long = "measure", value_name = "NAME")]
    measures: Vec<String>,
    /// The largest difference that counts as equivalent, in percent
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
    bound: f64,
    /// Print one JSON object per study on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let options = CompareOptions {
        measures: args.measures.clone(),
        bound: args.bound,
    };
    let comparisons = compare(&args.a, &args.b, &options)?;
    for comparison in &comparisons {
        if args.json {
            outln!("{}", serde_json::to_string(comparison)?);
        } else {
            outln!("{}", comparison_text(comparison));
        }
    }
    let gate = gate_text(&comparisons);
    if args.json {
        errln!("{gate}");
    } else {
        outln!("{gate}");
    }
    let holds = comparisons.iter().all(ComparisonRecord::is_success);
    Ok(ExitCode::from(u8::from(!holds)))
}

/// A share in percent; the percent sign may be left out.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    c10k_units::share::parse(&format!("{number}%"))
        .ok()
        .filter(|share| *share < 10.0)
        .ok_or_else(|| "give a percentage such as 5%".to_owned())
}
