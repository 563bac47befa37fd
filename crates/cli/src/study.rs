//! `c10k study`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use c10k_lab::{LabError, Outcome as Study, Start, StudyOptions, run_study, studies};

use crate::Outcome;

/// Answer a question by experiment: measure, judge the claims, draw the report
///
/// With no name: quick, the two-minute tour. Exit code 1: a claim was refuted, or nothing could be measured.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Built-in studies (see `c10k list`), experiment files, or 'all'
    #[arg(value_name = "NAME|FILE", default_value = "quick")]
    studies: Vec<String>,
    /// Where the results go; several studies get a folder each below it [default: c10k-results/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Time for all studies together; decides how many blocks run
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    budget: Option<Duration>,
    /// Blocks: every cell runs once per block. With --budget: at most that many
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: Option<u32>,
    /// Seed of the order, the schedules and the resampling [default: a new one, recorded]
    #[arg(long)]
    seed: Option<u64>,
    /// Only cells whose name has all these words; alternatives between commas
    #[arg(long, value_name = "FILTER")]
    only: Option<String>,
    /// Go on with what the folder holds
    #[arg(long)]
    resume: bool,
    /// Print one JSON object per study on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Outcome {
    let names: Vec<String> = if args.studies.iter().any(|name| name == "all") {
        studies().into_iter().map(|row| row.name).collect()
    } else {
        args.studies
    };
    let tool = std::env::current_exe()
        .map_err(|error| format!("cannot find this executable, which is to serve and to load: {error}"))?;
    let mut all_well = true;
    for name in &names {
        let options = StudyOptions {
            tool: tool.clone(),
            out: match (&args.out, names.len()) {
                (Some(out), 2..) => Some(out.join(folder_name(name))),
                (out, _) => out.clone(),
            },
            budget: args.budget.map(|budget| share(budget, name, &names)),
            repeats: args.repeats,
            seed: args.seed,
            only: args.only.clone(),
            start: if args.resume { Start::Resume } else { Start::Afresh },
        };
        let study = match run_study(name, &options) {
            // A filter that is meant for some of several studies leaves the others empty.
            Err(LabError::NothingMatches { .. }) if names.len() > 1 => continue,
            outcome => outcome?,
        };
        print(&study, args.json)?;
        all_well &= study.is_success();
    }
    Ok(ExitCode::from(u8::from(!all_well)))
}

/// Prints what a study came to: as JSON for programs, as a table for people.
pub(crate) fn print(study: &Study, json: bool) -> Result<(), serde_json::Error> {
    if json {
        println!("{}", serde_json::to_string(study)?);
    } else {
        println!("{}", study.summary());
    }
    Ok(())
}

/// An experiment file `a/b.toml` gets the folder `b`.
fn folder_name(name: &str) -> &Path {
    let path = Path::new(name);
    match path.extension() {
        Some(_) => path.file_stem().map_or(path, Path::new),
        None => path,
    }
}

/// The part of the budget of one study: in proportion to the durations that the studies state; equal parts for files.
fn share(budget: Duration, name: &str, names: &[String]) -> Duration {
    let rows = studies();
    let seconds = |name: &str| {
        let row = rows.iter().find(|row| row.name == name);
        row.map_or(60.0, |row| row.seconds as f64)
    };
    let total: f64 = names.iter().map(|name| seconds(name)).sum();
    budget.mul_f64(seconds(name) / total.max(1.0))
}

fn duration(text: &str) -> Result<Duration, String> {
    c10k_http::units::duration(text).ok_or_else(|| "give a duration such as 90s, 2m or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_divided_by_the_stated_durations() {
        let names = ["quick".to_owned(), "paper/idle-connections".to_owned()];
        let parts: Vec<Duration> = names
            .iter()
            .map(|name| share(Duration::from_secs(300), name, &names))
            .collect();
        assert!(parts[0] < parts[1]);
        let sum: Duration = parts.iter().sum();
        assert!(sum.abs_diff(Duration::from_secs(300)) < Duration::from_millis(1));
    }

    #[test]
    fn a_file_gives_its_stem_to_its_folder() {
        assert_eq!(folder_name("experiments/mine.toml"), Path::new("mine"));
        assert_eq!(
            folder_name("paper/idle-connections"),
            Path::new("paper/idle-connections")
        );
    }
}
