//! `c10k load`.

mod live;
mod options;
mod outputs;
mod values;

use std::cell::RefCell;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use c10k_load::{
    Criterion, LoadPlan, Moment, RunEvent, Stop, find_max, run_until, run_windows, search_text, use_server_clock,
};
use c10k_record::{LoadPhase, LoadRecord};
use serde::Serialize;

use crate::Outcome;
use crate::print::unless_closed;
use live::Live;
use options::{ClockName, Options};

/// Load an HTTP server with an open loop and idle connections, and account for every request
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Boxed because of their size.
    #[command(flatten)]
    options: Box<Options>,
}

impl Args {
    /// Whether the results are for programs.
    pub(crate) fn is_json(&self) -> bool {
        self.options.json
    }
}

pub(crate) fn run(args: Args) -> Outcome {
    let options = *args.options;
    let files = options.outputs.create_files()?;
    let plan = options.plan()?;
    if options.clock == ClockName::Server {
        use_server_clock()?;
    }
    if options.windows {
        return windows(&plan);
    }
    let stop = Stop::default();
    stop.on_signals()?;
    if let Some(criterion) = options.criterion() {
        return search(&plan, criterion, &stop, options.json);
    }
    let mut live = Live::new(&plan);
    let mut printed = Ok(());
    let report = run_until(&plan, &stop, |event| {
        live.show(event);
        if let RunEvent::Phase(phase, at) = event
            && options.phases
            && printed.is_ok()
        {
            printed = print_json(&phase_record(phase, at));
            if options.hold && phase == LoadPhase::Closing {
                // An error means that the other side has ended, so nobody holds the run any longer.
                let _ = io::stdin().read_line(&mut String::new());
            }
        }
    })?;
    drop(live);
    printed?;
    files.write(&report)?;
    print_text(options.json, |out| options.outputs.write_summary(&report, out))?;
    let code = exit_code(report.summary.valid);
    if options.json {
        print_json(&LoadRecord::Summary(Box::new(report.summary)))?;
    }
    Ok(code)
}

/// Measures a window for each seed on standard input. A signal ends the process at once: what was printed is whole.
fn windows(plan: &LoadPlan) -> Outcome {
    let mut lines = io::stdin().lines();
    let mut seed = || -> Result<Option<u64>, Box<dyn Error>> {
        let Some(line) = lines.next().transpose()? else {
            return Ok(None);
        };
        let seed = line.trim().parse();
        Ok(Some(seed.map_err(|_| {
            format!(
                "reading the seed of a window: '{line}' is no number from 0 to {}: write one on each line",
                u64::MAX
            )
        })?))
    };
    // The first failure ends the run; the windows before it have been printed.
    let failure = RefCell::new(None::<Box<dyn Error>>);
    let note = |result: Result<(), Box<dyn Error>>| {
        if let Err(error) = result {
            failure.borrow_mut().get_or_insert(error);
        }
    };
    let mut all_valid = true;
    run_windows(
        plan,
        &Stop::default(),
        |event| {
            if let RunEvent::Phase(phase, at) = event {
                note(print_json(&phase_record(phase, at)).map_err(Into::into));
            }
        },
        || {
            let next = if failure.borrow().is_some() { Ok(None) } else { seed() };
            next.unwrap_or_else(|error| {
                note(Err(error));
                None
            })
        },
        |report| {
            all_valid &= report.summary.valid;
            note(print_json(&LoadRecord::Summary(Box::new(report.summary))).map_err(Into::into));
        },
    )?;
    match failure.into_inner() {
        Some(error) => Err(error),
        None => Ok(exit_code(all_valid)),
    }
}

fn phase_record(phase: LoadPhase, at: Moment) -> LoadRecord {
    LoadRecord::Phase {
        schema: c10k_record::SCHEMA,
        phase,
        monotonic_ns: at.0,
    }
}

fn search(plan: &LoadPlan, criterion: &Criterion, stop: &Stop, json: bool) -> Outcome {
    let mut live = None;
    let found = find_max(plan, criterion, stop, |plan, event| {
        if matches!(event, RunEvent::Phase(LoadPhase::Connecting, _)) {
            live = Some(Live::new(plan));
        }
        live.iter_mut().for_each(|live| live.show(event));
    })?;
    drop(live);
    print_text(json, |out| search_text(&found, out))?;
    if json {
        print_json(&found)?;
    }
    Ok(exit_code(
        found.rate_max.is_some() && !found.interrupted && !found.by_generator,
    ))
}

/// Prints text for people: on standard error if standard output is for programs.
fn print_text(json: bool, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut text = Vec::new();
    write(&mut text)?;
    if json {
        // A closed standard error is no reason to lose the result.
        let _ = io::stderr().write_all(&text);
        return Ok(());
    }
    let mut out = io::stdout().lock();
    unless_closed(out.write_all(&text).and_then(|()| out.flush()))
}

/// Prints a record as one line on standard output.
fn print_json(record: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    unless_closed(out.write_all(&line).and_then(|()| out.flush()))
}

fn exit_code(has_succeeded: bool) -> ExitCode {
    if has_succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}
