//! `cargo xtask fuzz [TARGET]… [--minutes M] [--merge]`: fuzzing with coverage, on the project's own compiler.
//!
//! libFuzzer needs only what LLVM puts in: counters and traced comparisons, asked for by [`FLAGS`]. A target runs until
//! it has used M minutes of CPU (10 by default), beginning with its committed corpus; what it finds is kept in
//! `fuzz/target/corpus/TARGET`. `--merge` adds to the committed corpus what covers something new.

use std::{fs, io::Read as _, path::Path, process::Command};

/// Coverage for libFuzzer, without a sanitizer: the fuzzed code is safe Rust.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions=on --cfg fuzzing";

/// Bytes of an input at most: every cap of the targets is within reach.
const INPUT_MAX: u32 = 1024;

/// What the command line asks for.
struct Order {
    targets: Vec<String>,
    cpu_s: f64,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Report,
    Merge,
}

/// Builds the targets and runs them one after the other.
///
/// # Errors
/// One line: what could not be built, or which target failed and where its log is.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let folder = root.join("fuzz");
    let order = order(&folder)?;
    let host = host()?;
    println!("building fuzz/ with coverage, {host}");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--target", &host, "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .env("RUSTFLAGS", FLAGS)
        .status()
        .map_err(|error| format!("running cargo build: {error}"))?;
    if !status.success() {
        return Err("fuzz/ does not build: see above".to_owned());
    }
    for target in &order.targets {
        let program = folder.join("target").join(&host).join("release").join(target);
        fuzz(&folder, target, &program, &order)?;
    }
    Ok(())
}

/// Every target is a file; all of them unless some are named.
fn order(folder: &Path) -> Result<Order, String> {
    const USAGE: &str = "usage: cargo xtask fuzz [TARGET]… [--minutes M] [--merge]";
    let sources = fs::read_dir(folder.join("fuzz_targets")).map_err(|error| format!("fuzz/fuzz_targets: {error}"))?;
    let mut known: Vec<String> = sources
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    known.sort();
    let mut order = Order {
        targets: Vec::new(),
        cpu_s: 600.0,
        end: End::Report,
    };
    let mut words = std::env::args().skip(2);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--merge" => order.end = End::Merge,
            "--minutes" => {
                let minutes: Option<f64> = words.next().and_then(|word| word.parse().ok());
                let minutes = minutes.filter(|minutes| minutes.is_finite() && *minutes > 0.0);
                order.cpu_s = 60.0 * minutes.ok_or("--minutes wants a number above 0")?;
            }
            name if known.iter().any(|target| target == name) => order.targets.push(word),
            _ => {
                return Err(format!(
                    "no target is called '{word}': {USAGE}, with a TARGET of {}",
                    known.join(", ")
                ));
            }
        }
    }
    if order.targets.is_empty() {
        order.targets = known;
    }
    Ok(order)
}

/// The compiler's own target: named, so that the flags are for the targets and not for build scripts.
fn host() -> Result<String, String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .map_err(|error| format!("running rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "rustc -vV names no host".to_owned())
}

fn fuzz(folder: &Path, target: &str, program: &Path, order: &Order) -> Result<(), String> {
    let (committed, work) = (folder.join("corpus").join(target), folder.join("target"));
    let (found, log) = (work.join("corpus").join(target), work.join(format!("{target}.log")));
    let artifacts = folder.join("artifacts");
    for path in [&committed, &found, &artifacts] {
        fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let run = |arguments: &[String], inputs: &[&Path]| -> Result<String, String> {
        let output = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        // Programs of the standard library ignore SIGPIPE; libFuzzer's main does not, and the standard library would take
        // an ignored one back for its children.
        let status = Command::new("sh")
            .args(["-c", "trap '' PIPE; exec \"$@\"", "sh"])
            .arg(program)
            .args(arguments)
            .arg(format!("-max_len={INPUT_MAX}"))
            .arg(format!("-artifact_prefix={}/{target}-", artifacts.display()))
            .args(inputs)
            .stderr(output)
            .status()
            .map_err(|error| format!("running {}: {error}", program.display()))?;
        let mut text = Vec::new();
        let read = fs::File::open(&log).and_then(|mut file| file.read_to_end(&mut text));
        read.map_err(|error| format!("{}: {error}", log.display()))?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        Err(format!(
            "{target} failed ({status}): the reason is in {}, the input in {}",
            log.display(),
            artifacts.display()
        ))
    };
    let start_s = children_cpu_s()?;
    let (mut runs, mut coverage) = (0, None);
    // On a busy machine a second of CPU takes longer than a second: what is missing is made up for.
    loop {
        let used_s = children_cpu_s()? - start_s;
        if used_s >= order.cpu_s {
            break;
        }
        let seconds = (order.cpu_s - used_s).ceil();
        let text = run(&[format!("-max_total_time={seconds}")], &[&found, &committed])?;
        let (first, last) =
            covered(&text).ok_or_else(|| format!("{target} reports no coverage: it was built without"))?;
        coverage = Some((coverage.map_or(first, |(first, _)| first), last));
        runs += number_after(&text, "Done ").unwrap_or(0);
    }
    let (first, last) = coverage.unwrap_or_default();
    let used_s = children_cpu_s()? - start_s;
    println!(
        "{target}: {runs} runs in {used_s:.0} s of CPU, clean; {first} edges covered by the corpus, {last} at the end"
    );
    if order.end == End::Merge {
        run(&["-merge=1".to_owned()], &[&committed, &found])?;
    }
    Ok(())
}

/// Edges covered by the corpus, and at the end.
fn covered(log: &str) -> Option<(u64, u64)> {
    let mut counts = log.lines().filter_map(|line| number_after(line, " cov: "));
    let first = counts.next()?;
    let last = counts.next_back().unwrap_or(first);
    (first > 0).then_some((first, last))
}

fn number_after(text: &str, mark: &str) -> Option<u64> {
    let rest = &text[text.find(mark)? + mark.len()..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}

/// CPU time of the children that have ended (proc_pid_stat(5): cutime and cstime, in ticks of 10 ms).
fn children_cpu_s() -> Result<f64, String> {
    let text = fs::read_to_string("/proc/self/stat").map_err(|error| format!("/proc/self/stat: {error}"))?;
    // The name, in parentheses, may hold anything; what follows it starts with field 3.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(ticks as f64 / 100.0)
}
