//! The table of probes, and what runs one. A probe is one file here and one row of the table.

mod blocked_tasks;
mod daemon_cost;
mod disk_speed;
mod fan_out;
mod library_cost;
mod process_cost;
mod switch_cost;

#[cfg(feature = "fake-rows")]
mod fake;

use c10k_record::{ProbeSummary, SCHEMA};

use crate::error::ProbeError;
use crate::row::Probe;
use crate::task::pin;
use crate::values::Values;

/// Every probe, in the order in which lists show them.
pub static PROBES: &[Probe] = &[
    process_cost::ROW,
    switch_cost::ROW,
    blocked_tasks::ROW,
    library_cost::ROW,
    fan_out::ROW,
    disk_speed::ROW,
    daemon_cost::ROW,
    #[cfg(feature = "fake-rows")]
    fake::ROW,
];

/// The probe called `name`.
///
/// # Errors
/// [`ProbeError::Unknown`], which lists the names that there are.
pub fn named(name: &str) -> Result<&'static Probe, ProbeError> {
    PROBES.iter().find(|probe| probe.name == name).ok_or_else(|| {
        let known: Vec<&str> = PROBES.iter().map(|probe| probe.name).collect();
        ProbeError::Unknown {
            name: name.to_owned(),
            known: known.join(", "),
        }
    })
}

/// Runs a probe. `cpus` are those that it may use, the most important first; none leaves the process where it is.
/// `options` are names of the row's options and their values; the others have their defaults.
///
/// # Errors
/// [`ProbeError`]: an option or a value that the row does not have, something that this machine cannot do, or a call that
/// failed.
pub fn run(probe: &'static Probe, cpus: &[usize], options: &[(String, String)]) -> Result<ProbeSummary, ProbeError> {
    let values = Values::read(probe.name, probe.options, cpus, options)?;
    pin(cpus.first().copied())?;
    let figures = (probe.run)(&values)?;
    let values = figures.values.into_iter().map(|(key, value)| (key.to_owned(), value));
    Ok(ProbeSummary {
        schema: SCHEMA,
        probe: probe.name.to_owned(),
        operations: figures.operations,
        values: values.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::option::Kind;

    fn options(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// The ways that a probe measures: the words of its `--by`, or one way without that option.
    fn ways(probe: &Probe) -> Vec<Option<&'static str>> {
        let by = probe.options.iter().find(|option| option.name == "by");
        match by.map(|option| option.kind) {
            Some(Kind::Word(words)) => words.iter().copied().map(Some).collect(),
            _ => vec![None],
        }
    }

    #[test]
    fn every_way_of_every_probe_has_figures_of_its_row() {
        for (probe, by) in PROBES
            .iter()
            .flat_map(|probe| ways(probe).into_iter().map(move |by| (probe, by)))
        {
            if by == Some("libevent")
                && let Err(reason) = c10k_competitors::Libevent::load()
            {
                assert!(!c10k_testkit::required::is_required(&["libevent"]), "{reason}");
                eprintln!("{} --by libevent: skipped: {reason}", probe.name);
                continue;
            }
            // Small values, so that the whole table takes well under a second.
            let small = [
                ("time", "5ms"),
                ("parent-mib", "1"),
                ("blocked", "3"),
                ("sources", "4"),
                ("active", "2"),
                ("period", "5ms"),
                ("array-mib", "1"),
            ];
            let small = small.into_iter().chain(by.map(|by| ("by", by)));
            let small = small.filter(|(name, _)| probe.options.iter().any(|option| option.name == *name));
            let name = probe.name;
            let summary = match run(probe, &[], &options(&small.collect::<Vec<_>>())) {
                Ok(summary) => summary,
                // This test program has no `monitor serve`: `crates/cli/tests/probe.rs` runs these probes.
                Err(error @ ProbeError::NoDaemon(_)) => {
                    eprintln!("{name} {by:?}: skipped: {error}");
                    continue;
                }
                Err(error) => panic!("{name} {by:?}: {error}"),
            };
            assert!(summary.operations > 0 && !summary.values.is_empty(), "{name} {by:?}");
            for (key, value) in &summary.values {
                assert!(value.is_finite() && *value >= 0.0, "{name} {by:?}: {key} is {value}");
                assert!(
                    probe.figures.iter().any(|figure| figure.key == key),
                    "{name} has no figure {key}"
                );
            }
        }
    }

    #[test]
    fn every_default_is_a_value_of_its_option() {
        for probe in PROBES {
            for option in probe.options {
                let default = option.default.map(|default| option.kind.read(default));
                assert!(!matches!(default, Some(None)), "{} --{}", probe.name, option.name);
            }
        }
    }

    #[test]
    fn an_unknown_value_is_refused_with_those_that_there_are() {
        let refused = |name, pairs: &[(&str, &str)]| {
            let error = run(named(name).expect("in the table"), &[], &options(pairs));
            error.expect_err("refused").to_string()
        };
        assert_eq!(
            refused("blocked-tasks", &[("by", "magic")]),
            "--by 'magic' is not process or thread"
        );
        assert_eq!(
            refused("process-cost", &[]),
            "--by is missing; give fork, spawn, thread, pool or switch"
        );
        assert_eq!(
            refused("switch-cost", &[("by", "pipe"), ("tasks", "1")]),
            "--tasks '1' is not a whole number from 2 to 1000"
        );
        assert_eq!(
            refused("fan-out", &[("by", "shared"), ("tasks", "2")]),
            "fan-out has no option --tasks; it takes --time, --by, --subscribers, --sample"
        );
        let error = named("nap").expect_err("unknown").to_string();
        assert!(error.contains("process-cost, switch-cost"), "{error}");
    }

    #[test]
    fn a_second_cpu_is_required_where_tasks_take_turns_on_two() {
        let cross = options(&[("by", "pipe"), ("place", "cross")]);
        let error = run(named("switch-cost").expect("in the table"), &[], &cross);
        let error = error.expect_err("there is no second CPU").to_string();
        assert!(error.contains("--cpus"), "{error}");
    }
}
