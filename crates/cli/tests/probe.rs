//! `c10k probe daemon-cost`, which starts the daemon of this executable: its figures in every model, and what it refuses.

use std::process::{Command, Output};

use c10k_monitor::MODELS;
use c10k_record::{ProbeSummary, read};

const C10K: &str = env!("CARGO_BIN_EXE_c10k");

/// Runs the probe with small values and these arguments in addition.
fn daemon_cost(arguments: &[&str]) -> Output {
    let mut command = Command::new(C10K);
    command.args([
        "probe",
        "daemon-cost",
        "--json",
        "--time",
        "20ms",
        "--period",
        "10ms",
        "--array-mib",
        "1",
    ]);
    command.args(arguments).output().expect("the executable starts")
}

fn measured(arguments: &[&str]) -> ProbeSummary {
    let output = daemon_cost(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    read::object(output.stdout.trim_ascii()).unwrap_or_else(|damage| panic!("{arguments:?}: {}", damage.cause))
}

#[test]
fn every_model_of_the_daemon_has_figures_with_and_without_a_job() {
    let cpus = match c10k_host::facts::read().cpus[..] {
        [one, other, ..] => Some(format!("{one},{other}")),
        _ => None,
    };
    for model in MODELS.iter().map(|row| row.name) {
        let by = ["--by", model, "--subscribers", "3"];
        let alone = measured(&by);
        assert!(alone.operations > 0, "{model}: no line came");
        for key in [
            "sample_cpu_us",
            "line_cpu_us",
            "cpu_percent",
            "lines_share",
            "subscriber_kib",
        ] {
            let value = alone.values.get(key).copied();
            assert!(
                value.is_some_and(|value| value.is_finite() && value >= 0.0),
                "{model}: {key} is {value:?}"
            );
        }
        let (sample, line) = (alone.values["sample_cpu_us"], alone.values["line_cpu_us"]);
        assert!(
            line > 0.0 && (sample / line - 3.0).abs() < 1e-6,
            "{model}: {sample} is not that of three lines of {line}"
        );
        assert!(!alone.values.contains_key("slowdown"), "{model}: there was no job");
        let Some(cpus) = &cpus else {
            eprintln!("{model} next to a job: skipped: this machine has one CPU");
            continue;
        };
        let loaded = measured(&[&by[..], &["--job", "triad", "--cpus", cpus]].concat());
        for key in ["slowdown", "slowdown_by_cpu", "job_cpu_ratio", "job_alone_us"] {
            assert!(
                loaded.values.get(key).is_some_and(|value| *value > 0.0),
                "{model}: {key}"
            );
        }
    }
}

#[test]
fn what_it_cannot_measure_is_refused_with_the_reason() {
    for (arguments, wanted) in [
        (&["--by", "fork", "--subscribers", "4001"][..], "4,000 processes"),
        (&["--by", "pool", "--subscribers", "1001"], "the model pool"),
        (&["--by", "loop", "--cpus", "0"], "give two with --cpus A,B"),
        (&["--by", "loop", "--job", "triad"], "give two with --cpus A,B"),
    ] {
        let output = daemon_cost(arguments);
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(
            said.contains(wanted) && said.lines().count() == 1,
            "{arguments:?}: {said}"
        );
    }
}
