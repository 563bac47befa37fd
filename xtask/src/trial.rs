//! The lab on trial: twenty runs of `experiments/trial/aa.toml`, and how often it was right.
//!
//! Each run is a study of its own with a seed of its own; a run that is there already is not run again, so that the trial
//! can be done in pieces (`C10K_TRIAL_RUNS=5` does five more and stops). The results are below `target/trial`.
//!
//! `--simulate` runs no server. It prints how often a study holds a wrong verdict where the truth is known: the long form of a
//! test of the lab, which judges with the lab's own code.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const RUNS: u32 = 20;

/// Simulated studies behind each figure of the table.
const STUDIES: &str = "20000";

/// Of so many comparisons of a server with itself, at most one in twenty may call them different.
const CALLED_DIFFERENT_MAX: u64 = (RUNS / 20) as u64;

#[derive(Default)]
struct Score {
    runs: u64,
    comparisons: u64,
    called_different: u64,
    found: u64,
    floor_percent: Vec<f64>,
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
    let mut score = Score::default();
    for number in 1..=RUNS {
        let out = root.join("target/trial").join(number.to_string());
        let done = out.join("report.html").is_file();
        if !done && left == 0 {
            continue;
        }
        left -= u32::from(!done);
        let outcome = one(root, &tool, &out, number)?;
        count(&outcome, &mut score);
        let estimate = &outcome["claims"][0]["estimates"][0];
        let figure = |name: &str| estimate[name].as_f64().unwrap_or(f64::NAN);
        println!(
            "run {number:2}: {} of {} comparisons with itself called different ({:.1}% apart); 5% slower: {} {:.3} times \
             ({:.3} to {:.3})",
            outcome["noise_floor"]["called_different"],
            outcome["noise_floor"]["comparisons"],
            outcome["noise_floor"]["difference_percent"]
                .as_f64()
                .unwrap_or(f64::NAN),
            outcome["claims"][0]["verdict"].as_str().unwrap_or("none"),
            figure("value"),
            figure("low"),
            figure("high"),
        );
    }
    verdict(score)
}

/// Runs one study, or reads it where it is complete.
fn one(root: &Path, tool: &Path, out: &Path, seed: u32) -> Result<Value, String> {
    let output = Command::new(tool)
        .current_dir(root)
        .args(["study", "experiments/trial/aa.toml", "--resume", "--json"])
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

fn count(outcome: &Value, score: &mut Score) {
    let floor = &outcome["noise_floor"];
    score.runs += 1;
    score.comparisons += floor["comparisons"].as_u64().unwrap_or_default();
    score.called_different += floor["called_different"].as_u64().unwrap_or_default();
    score.floor_percent.extend(floor["difference_percent"].as_f64());
    score.found += u64::from(outcome["claims"][0]["verdict"] == "confirmed");
}

fn verdict(mut score: Score) -> Result<(), String> {
    score.floor_percent.sort_by(f64::total_cmp);
    let middle = score.floor_percent.get(score.floor_percent.len() / 2);
    println!(
        "{} runs: {} of {} comparisons with itself called different (at most {CALLED_DIFFERENT_MAX} of {RUNS} allowed); noise \
         floor {:.1}% (median over the runs); the slowdown of 5% found in {} of {}",
        score.runs,
        score.called_different,
        score.comparisons,
        middle.copied().unwrap_or(f64::NAN),
        score.found,
        score.runs,
    );
    if score.runs < u64::from(RUNS) {
        println!("{} runs are still to be done", u64::from(RUNS) - score.runs);
        return Ok(());
    }
    if score.comparisons < u64::from(RUNS) || score.called_different > CALLED_DIFFERENT_MAX || score.found < score.runs
    {
        return Err("the lab has not passed".to_owned());
    }
    Ok(())
}
