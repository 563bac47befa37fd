//! `c10k study`.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use c10k_host::guard::{WorkEnd, end_by, guarded};
use c10k_lab::{Start, StudyOptions, is_begun, run_set, run_study, set_folder, set_text, study_folder, study_text};
use c10k_record::{SetEntry, StudyEnd, StudyRecord};

use crate::print::{errln, outln};
use crate::require::{self, Requirement};
use crate::{Outcome, resume};

/// Run experiments: measure, give a verdict on each claim, draw a report
///
/// Without a name, 'quick' runs, which takes two minutes. With 'all' or several names, each study gets a folder, and there is
/// an overview of all; if one fails, the others still run. Exit code 1: a claim was refuted, a server or a study failed,
/// nothing could be measured, or what --require asks for was not met.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Built-in studies (see `c10k list`), experiment files, or 'all'
    #[arg(value_name = "NAME|FILE", default_value = "quick")]
    studies: Vec<String>,
    /// Where the results go; several studies get a folder each below it [default: c10k-results/NAME, for several
    /// c10k-results/all]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where servers have their files, in studies of a disk: a directory is made there and removed at the end [default: the
    /// folder of the results]
    #[arg(long, value_name = "DIR")]
    disk: Option<PathBuf>,
    /// Time for all studies together; decides how many blocks run
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    budget: Option<Duration>,
    /// Number of blocks; every cell runs once per block. With --budget: the largest number
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeats: Option<u32>,
    /// Seed of the order, the schedules and the resampling [default: a new one, recorded]
    #[arg(long)]
    seed: Option<u64>,
    /// Run only the cells whose name has all these words, such as 'epoll idle=10'; commas separate alternatives
    #[arg(long, value_name = "FILTER")]
    only: Option<String>,
    /// End as soon as no claim is open, and at the latest when the budget is spent: the claims are then judged several times
    #[arg(long, value_name = "STATE", value_enum)]
    until: Option<Until>,
    /// Resume an interrupted study: run only the cells that its folder lacks
    #[arg(long)]
    resume: bool,
    /// Exit with code 1 unless every claim is confirmed, except those that this machine cannot run or that --only excludes
    #[arg(long, value_name = "VERDICT", value_enum)]
    require: Option<Requirement>,
    /// Print one JSON object per study on standard output
    #[arg(long)]
    json: bool,
}

/// Until when a study runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Until {
    /// No claim is open that this machine can settle
    Settled,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if let Some(name) = args
        .studies
        .iter()
        .find(|name| c10k_vm::study::Study::named(name).is_some_and(|study| study.name == **name))
    {
        return Err(format!("{name} runs in the guest: c10k vm study {name}").into());
    }
    if args.until.is_some() && args.budget.is_none() && !args.resume {
        return Err("--until settled: a claim may stay open for ever; give the longest time with --budget".into());
    }
    let tool = std::env::current_exe().map_err(|error| {
        format!("cannot find this executable, which the study starts as server and generator: {error}")
    })?;
    let options = StudyOptions {
        tool,
        out: args.out.clone(),
        disk: args.disk.clone(),
        budget: args.budget,
        repeats: args.repeats,
        seed: args.seed,
        only: args.only.clone(),
        until_settled: args.until.is_some(),
        ends_when_settled: false,
        start: if args.resume { Start::Resume } else { Start::New },
    };
    // Chosen before the work begins, so that an interrupted study can be named.
    let folder = match args.one() {
        Some(name) => study_folder(name, &options)?,
        None => set_folder(&options)?,
    };
    let options = StudyOptions {
        out: Some(folder.clone()),
        ..options
    };
    let end = guarded(|| match carry_out(args, &options) {
        Ok(success) => u8::from(!success),
        Err(error) => {
            errln!("c10k: {error}");
            2
        }
    });
    match end.map_err(|error| format!("starting the guard of the study: {error}"))? {
        WorkEnd::Returned(code) => Ok(ExitCode::from(code)),
        WorkEnd::Killed(signal) => Err(format!(
            "the study was killed by signal {signal}; {}",
            how_to_resume(args, &folder)
        )
        .into()),
        WorkEnd::Interrupted(signal) => {
            // A live line may stand there.
            let line_end = if io::stderr().is_terminal() { "\n" } else { "" };
            errln!(
                "{line_end}c10k: interrupted by signal {signal}; {}",
                how_to_resume(args, &folder)
            );
            end_by(signal)?;
            Ok(ExitCode::from(2))
        }
    }
}

impl Args {
    /// The study, if it is one and not a set of several.
    fn one(&self) -> Option<&str> {
        match self.studies.as_slice() {
            [name] if name != "all" => Some(name),
            _ => None,
        }
    }
}

/// The command that resumes what has ended early.
fn how_to_resume(args: &Args, folder: &Path) -> String {
    if !is_begun(folder) {
        return "nothing was measured yet".to_owned();
    }
    let program = std::env::args_os().next().unwrap_or_else(|| "c10k".into());
    let mut more = Vec::new();
    if let Some(disk) = &args.disk {
        more.extend([OsStr::new("--disk"), disk.as_os_str()]);
    }
    if args.require.is_some() {
        more.extend(["--require", "confirmed"].map(OsStr::new));
    }
    if args.json {
        more.push(OsStr::new("--json"));
    }
    format!(
        "resume with: {}",
        resume::command(&program, &args.studies, folder, &more)
    )
}

/// Runs the studies, in a process of its own. Returns whether they succeeded.
fn carry_out(args: &Args, options: &StudyOptions) -> Result<bool, Box<dyn Error>> {
    match args.one() {
        Some(name) => {
            let study = run_study(name, options)?;
            print(&study, args.json)?;
            Ok(require::is_met(args.require, &[&study]) && study.is_success())
        }
        None => {
            let set = run_set(&args.studies, options, |entry| print_entry(entry, args.json))?;
            if !args.json {
                outln!("{}", set_text(&set));
            }
            let studies: Vec<&StudyRecord> = set.outcomes().collect();
            Ok(require::is_met(args.require, &studies) && set.is_success())
        }
    }
}

/// Prints what a study came to: as JSON for programs, as a table for people.
pub(crate) fn print(study: &StudyRecord, json: bool) -> Result<(), serde_json::Error> {
    if json {
        outln!("{}", serde_json::to_string(study)?);
    } else {
        outln!("{}", study_text(study));
    }
    Ok(())
}

/// Prints one study of a set as it ends: an object for programs, its answer for people.
pub(crate) fn print_entry(entry: &SetEntry, json: bool) {
    match (json, &entry.ended) {
        // Serialising these types cannot fail: they hold no map with other keys than text.
        (true, _) => outln!("{}", serde_json::to_string(entry).unwrap_or_default()),
        (false, StudyEnd::Concluded { outcome }) => outln!("{}\n", study_text(outcome)),
        (false, StudyEnd::Failed { .. } | StudyEnd::NotRun { .. }) => {}
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match c10k_units::duration::parse(text) {
        Ok(duration) if duration.is_zero() => Err("give a duration above 0, such as 2m".to_owned()),
        parsed => parsed.map_err(|error| error.to_string()),
    }
}
