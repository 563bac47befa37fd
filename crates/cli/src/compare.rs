//! `c10k compare`.

use std::path::PathBuf;
use std::process::ExitCode;

use c10k_lab::{CompareOptions, Comparison, compare};

use crate::Outcome;

/// Compare two result folders cell by cell: what differs in the environment, then every cell with its verdict
///
/// As a regression gate: exit code 1 when a cell of B is worse than in A by more than the bound, when a cell or a study that A
/// has is missing in B, or when nothing could be compared; 0 otherwise; 2 for folders that cannot be compared.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder that is measured against: of a study, or of several
    a: PathBuf,
    /// The folder that is judged
    b: PathBuf,
    /// What is compared; may be given several times [default: CPU per request; of a probe, what its operation costs]
    #[arg(long = "measure", value_name = "NAME")]
    measures: Vec<String>,
    /// By how much B may be worse, percent; smaller differences are equivalence
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
            println!("{}", serde_json::to_string(comparison)?);
        } else {
            println!("{}", comparison.summary());
        }
    }
    let holds = comparisons.iter().all(Comparison::is_success);
    Ok(ExitCode::from(u8::from(!holds)))
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>();
    number
        .ok()
        .filter(|percent| (0.0..1000.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "give a percentage such as 5%".to_owned())
}
