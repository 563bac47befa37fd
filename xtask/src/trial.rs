//! The lab on trial: twenty runs of `experiments/trial/aa.toml`, and how often it was right.
//!
//! Each run is a study of its own with a seed of its own; a run that is there already is not run again, so that the trial
//! can be done in pieces (`C10K_TRIAL_RUNS=5` does five more and stops). A run ends when both slowdowns are found, after five
//! minutes at the latest. The results are below `target/trial`.
//!
//! `--simulate` runs no server. It prints how often a study holds a wrong verdict where the truth is known: the long form of a
//! test of the lab, which judges with the lab's own code.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const RUNS: u32 = 20;

/// Simulated studies behind each figure of the table.
const STUDIES: &str = "20000";

/// Of so many comparisons of a server with itself, at most one in twenty may call them different.
const CALLED_DIFFERENT_MAX: u64 = (RUNS / 20) as u64;

/// The slowdowns of the experiment: its claim, and the time within which each run should find it, seconds.
const SLOWDOWNS: [(&str, f64); 2] = [("2%-found", 120.0), ("1%-found", 300.0)];

/// What is read from a run.
struct Outcome {
    comparisons: u64,
    called_different: u64,
    floor_percent: Option<f64>,
    /// For each slowdown.
    slowdowns: Vec<Found>,
}

struct Found {
    /// After how many seconds of measurement, if it was.
    after_s: Option<f64>,
    verdict: String,
    value: f64,
    low: f64,
    high: f64,
}

pub(crate) fn run(root: &Path) -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    match arguments.as_slice() {
        [] => twenty(root),
        [flag] if flag == "--simulate" => simulate(root),
        _ => Err("the only argument is --simulate".to_owned()),
    }
}

/// Runs the simulation and prints its table.
fn simulate(root: &Path) -> Result<(), String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["test", "--release", "--quiet", "--package", "c10k-lab", "--lib", "--"])
        .args([
            "--nocapture",
            "--exact",
            "judge::simulation::the_table_has_a_row_for_each_shape",
        ])
        .env("C10K_SIMULATE", STUDIES)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("running cargo test: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    if !output.status.success() || table.is_empty() {
        return Err(format!("the simulation ended with {} and no table", output.status));
    }
    println!("{}", table.join("\n"));
    Ok(())
}

fn twenty(root: &Path) -> Result<(), String> {
    let tool = root.join("target/release/c10k");
    if !tool.is_file() {
        return Err("build it first: cargo build --release".to_owned());
    }
    let mut left: u32 = match std::env::var("C10K_TRIAL_RUNS") {
        Ok(text) => text
            .parse()
            .map_err(|_| "C10K_TRIAL_RUNS is a number of runs".to_owned())?,
        Err(_) => RUNS,
    };
    let mut outcomes = Vec::new();
    for number in 1..=RUNS {
        let out = root.join("target/trial").join(number.to_string());
        let done = out.join("report.html").is_file();
        if !done && left == 0 {
            continue;
        }
        left -= u32::from(!done);
        let outcome = read(&one(root, &tool, &out, number)?, &out)?;
        print(number, &outcome);
        outcomes.push(outcome);
    }
    verdict(&outcomes)
}

/// Runs one study until its claims are settled, or reads it where it is complete.
fn one(root: &Path, tool: &Path, out: &Path, seed: u32) -> Result<Value, String> {
    let output = Command::new(tool)
        .current_dir(root)
        .args(["study", "experiments/trial/aa.toml", "--resume", "--json"])
        .args(["--until", "settled", "--budget", "300s"])
        .args(["--seed", &seed.to_string(), "--out"])
        .arg(out)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("cannot start {}: {error}", tool.display()))?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let words = String::from_utf8_lossy(&output.stderr);
        format!(
            "{} ended with {} and no result: {}",
            tool.display(),
            output.status,
            words.lines().last().unwrap_or_default()
        )
    })
}

fn read(study: &Value, out: &Path) -> Result<Outcome, String> {
    let seconds = seconds_of_blocks(out)?;
    let floor = &study["noise_floor"];
    let claims = study["claims"].as_array().ok_or("a study without claims")?;
    let slowdowns = SLOWDOWNS.iter().map(|(id, _)| {
        let claim = claims.iter().find(|claim| claim["claim"] == *id);
        let claim = claim.ok_or_else(|| format!("a study without the claim {id}"))?;
        let estimate = &claim["estimates"][0];
        let figure = |name: &str| estimate[name].as_f64().unwrap_or(f64::NAN);
        let blocks = claim["settled_after"].as_u64().unwrap_or(u64::MAX);
        let before = seconds.iter().filter(|(block, _)| **block < blocks);
        let verdict = claim["verdict"].as_str().unwrap_or("none").to_owned();
        Ok::<Found, String>(Found {
            after_s: (verdict == "confirmed").then(|| before.map(|(_, seconds)| seconds).sum()),
            verdict,
            value: figure("value"),
            low: figure("low"),
            high: figure("high"),
        })
    });
    Ok(Outcome {
        comparisons: floor["comparisons"].as_u64().unwrap_or_default(),
        called_different: floor["called_different"].as_u64().unwrap_or_default(),
        floor_percent: floor["difference_percent"].as_f64(),
        slowdowns: slowdowns.collect::<Result<_, _>>()?,
    })
}

/// What each block took.
fn seconds_of_blocks(out: &Path) -> Result<BTreeMap<u64, f64>, String> {
    let path = out.join("records.ndjson");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("reading {}: {error}", path.display()))?;
    let mut seconds = BTreeMap::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).map_err(|error| format!("{}: {error}", path.display()))?;
        if let (Some(block), Some(own)) = (record["block"].as_u64(), record["seconds"].as_f64()) {
            *seconds.entry(block).or_default() += own;
        }
    }
    Ok(seconds)
}

fn print(number: u32, outcome: &Outcome) {
    let slowdowns = outcome.slowdowns.iter().zip(SLOWDOWNS).map(|(found, (id, _))| {
        let after = found.after_s.map_or_else(String::new, |s| format!(" after {s:.0} s"));
        format!(
            "{id}: {}{after}, {:.3} times ({:.3} to {:.3})",
            found.verdict, found.value, found.low, found.high
        )
    });
    println!(
        "run {number:2}: {} of {} comparisons with itself called different ({:.2}% apart); {}",
        outcome.called_different,
        outcome.comparisons,
        outcome.floor_percent.unwrap_or(f64::NAN),
        slowdowns.collect::<Vec<_>>().join("; "),
    );
}

fn verdict(outcomes: &[Outcome]) -> Result<(), String> {
    let runs = outcomes.len();
    let comparisons: u64 = outcomes.iter().map(|outcome| outcome.comparisons).sum();
    let called_different: u64 = outcomes.iter().map(|outcome| outcome.called_different).sum();
    let mut floors: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.floor_percent).collect();
    floors.sort_by(f64::total_cmp);
    println!(
        "{runs} runs: {called_different} of {comparisons} comparisons with itself called different (at most \
         {CALLED_DIFFERENT_MAX} of {RUNS} allowed); noise floor {:.2}% (median over the runs)",
        floors.get(floors.len() / 2).copied().unwrap_or(f64::NAN),
    );
    let mut is_passed = comparisons >= u64::from(RUNS) && called_different <= CALLED_DIFFERENT_MAX;
    for (index, (id, within_s)) in SLOWDOWNS.iter().enumerate() {
        let mut times: Vec<f64> = outcomes
            .iter()
            .filter_map(|outcome| outcome.slowdowns[index].after_s)
            .collect();
        times.sort_by(f64::total_cmp);
        // A look comes after the block in which its time ends.
        let in_time = times.iter().filter(|after_s| **after_s < within_s + 1.0).count();
        println!(
            "{id} within {within_s} s in {in_time} of {runs}, at all in {}; after {:.0} s (median of those)",
            times.len(),
            times.get(times.len() / 2).copied().unwrap_or(f64::NAN),
        );
        is_passed &= in_time == runs;
    }
    if runs < RUNS as usize {
        println!("{} runs are still to be done", RUNS as usize - runs);
        return Ok(());
    }
    match is_passed {
        true => Ok(()),
        false => Err("the lab has not passed".to_owned()),
    }
}
