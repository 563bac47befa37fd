//! Two result folders, cell by cell: what is equivalent, better, worse or inconclusive.
//!
//! Each cell that both folders have gives a ratio of B to A with an interval over the blocks, corrected for the number of
//! comparisons. If both folders ran the same experiment with the same seed, block *n* of one had the same schedule and
//! order as block *n* of the other, and the blocks are compared in pairs; otherwise the folders are two independent
//! samples.

mod gate;
mod terminal;

use std::collections::BTreeMap;
use std::path::Path;

use c10k_record::{CellComparison, Change, ComparisonRecord, EnvironmentDifference, Manifest, Pairing, SCHEMA};

use crate::measure::{self, Measure};
use crate::results::{self, Results, StudyData};
use crate::stats::{self, Interval};
use crate::{LabError, set};

pub use gate::gate_text;
pub use terminal::comparison_text;

/// Error rate of all intervals of a comparison together.
const FAMILY_ERROR: f64 = 0.05;

/// How two folders are compared.
#[derive(Debug, Clone)]
pub struct CompareOptions {
    /// Names of measures. If empty: the first of CPU per request, the cost of an operation, … that a study has.
    pub measures: Vec<String>,
    /// The share by which B may be worse than A; smaller differences count as equivalent.
    pub bound: f64,
}

/// Compares two studies, or all studies that two sets have in common.
///
/// # Errors
/// When a folder holds no study or is damaged, a measure is unknown, or the two have no cell in common.
pub fn compare(a: &Path, b: &Path, options: &CompareOptions) -> Result<Vec<ComparisonRecord>, LabError> {
    let measures = options.measures.iter().map(|name| {
        measure::find(name).ok_or_else(|| LabError::Usage {
            option: "--measure",
            problem: format!("there is no measure '{name}'; there are {}", measure::names()),
        })
    });
    let measures: Vec<&'static Measure> = measures.collect::<Result<_, _>>()?;
    let mut comparisons = Vec::new();
    if set::is_set(a) && set::is_set(b) {
        let in_b: Vec<String> = set::begun(b)?;
        for study in set::begun(a)? {
            let (one, two) = (a.join(&study), b.join(&study));
            if !in_b.contains(&study) {
                comparisons.push(missing(study, &one, &two, options.bound));
                continue;
            }
            // Damage to one study does not lose the comparison of the others.
            match compare_two(&one, &two, &measures, options.bound) {
                Ok(comparison) => comparisons.extend(comparison),
                Err(error) => comparisons.push(ComparisonRecord {
                    missing_in_b: false,
                    unreadable: Some(error.to_string()),
                    ..missing(study, &one, &two, options.bound)
                }),
            }
        }
    } else {
        comparisons.extend(compare_two(a, b, &measures, options.bound)?);
    }
    if comparisons.iter().all(|comparison| comparison.cells.is_empty()) {
        return Err(LabError::NothingInCommon {
            a: a.to_owned(),
            b: b.to_owned(),
        });
    }
    Ok(comparisons)
}

/// A comparison without cells, for a study that B does not have.
fn missing(study: String, a: &Path, b: &Path, bound: f64) -> ComparisonRecord {
    ComparisonRecord {
        schema: SCHEMA,
        study,
        a: a.to_owned(),
        b: b.to_owned(),
        missing_in_b: true,
        unreadable: None,
        environment: Vec::new(),
        pairing: Pairing::Independent,
        bound,
        confidence: 1.0 - FAMILY_ERROR,
        cells: Vec::new(),
        only_in_a: Vec::new(),
        only_in_b: Vec::new(),
    }
}

/// The measure that is compared where none is asked for: the first of these that the study has.
fn usual(results: &Results, cells: &[&String]) -> Option<&'static Measure> {
    const USUAL: &[&str] = &[
        "cpu-us-per-request",
        "cost-us",
        "event-ns",
        "sample-us",
        "wake-us-p50",
        "daemon-us-per-line",
    ];
    let has = |measure: &&Measure| cells.iter().any(|cell| !results.values(cell, measure).is_empty());
    USUAL.iter().filter_map(|name| measure::find(name)).find(has)
}

/// `None` where the two have no cell in common.
fn compare_two(
    a: &Path,
    b: &Path,
    measures: &[&'static Measure],
    bound: f64,
) -> Result<Option<ComparisonRecord>, LabError> {
    let (one, two) = (results::read(a)?, results::read(b)?);
    let same = one.manifest.experiment == two.manifest.experiment && one.manifest.seed == two.manifest.seed;
    let pairing = if same { Pairing::Blocks } else { Pairing::Independent };
    let ids = |study: &StudyData| -> Vec<String> { study.plan.cells.iter().map(|cell| cell.id.clone()).collect() };
    let (ids_a, ids_b) = (ids(&one), ids(&two));
    let common: Vec<&String> = ids_a.iter().filter(|id| ids_b.contains(id)).collect();
    let only = |of: &[String], other: &[String]| -> Vec<String> {
        of.iter().filter(|id| !other.contains(id)).cloned().collect()
    };
    let results_a = Results::new(&one.plan, &one.records);
    let results_b = Results::new(&two.plan, &two.records);
    let usual: Vec<&'static Measure> = usual(&results_a, &common).into_iter().collect();
    let measures = if measures.is_empty() { &usual } else { measures };
    let confidence = 1.0 - FAMILY_ERROR / (common.len() * measures.len()).max(1) as f64;
    let pairs = common
        .iter()
        .flat_map(|id| measures.iter().map(move |measure| (*id, *measure)));
    let cells: Vec<CellComparison> = pairs
        .map(|(id, measure)| {
            let values = [results_a.values(id, measure), results_b.values(id, measure)];
            let found = ratio(pairing, &values[0], &values[1], confidence, one.manifest.seed);
            cell(id, measure, &values, found, bound)
        })
        .collect();
    Ok((!cells.is_empty()).then(|| ComparisonRecord {
        schema: SCHEMA,
        study: two.manifest.study.clone(),
        a: a.to_owned(),
        b: b.to_owned(),
        missing_in_b: false,
        unreadable: None,
        environment: differences(&one.manifest, &two.manifest),
        pairing,
        bound,
        confidence,
        cells,
        only_in_a: only(&ids_a, &ids_b),
        only_in_b: only(&ids_b, &ids_a),
    }))
}

fn cell(
    id: &str,
    measure: &Measure,
    [a, b]: &[BTreeMap<u32, f64>; 2],
    (ratio, interval): (Option<f64>, Option<Interval>),
    bound: f64,
) -> CellComparison {
    let median = |values: &BTreeMap<u32, f64>| stats::median(&values.values().copied().collect::<Vec<f64>>());
    CellComparison {
        cell: id.to_owned(),
        measure: measure.name.to_owned(),
        unit: measure.unit.to_owned(),
        a: median(a),
        b: median(b),
        ratio,
        ratio_low: interval.map(|interval| interval.low),
        ratio_high: interval.map(|interval| interval.high),
        blocks_a: a.len(),
        blocks_b: b.len(),
        verdict: if b.is_empty() && !a.is_empty() {
            Change::Lost
        } else {
            verdict(measure, ratio, interval, bound)
        },
        smallest_change: ratio
            .zip(interval)
            .map(|(ratio, interval)| smallest_change(measure, ratio, interval, bound)),
    }
}

/// B ÷ A with its interval, on logarithms.
fn ratio(
    pairing: Pairing,
    a: &BTreeMap<u32, f64>,
    b: &BTreeMap<u32, f64>,
    confidence: f64,
    seed: u64,
) -> (Option<f64>, Option<Interval>) {
    let logarithm = |value: f64| Some(value.ln()).filter(|value| value.is_finite());
    let exp = |interval: Interval| Interval {
        low: interval.low.exp(),
        high: interval.high.exp(),
    };
    match pairing {
        Pairing::Blocks => {
            let logarithms: Vec<f64> = a.iter().filter_map(|(block, a)| logarithm(b.get(block)? / a)).collect();
            let interval = stats::interval(&logarithms, confidence, seed);
            (stats::median(&logarithms).map(f64::exp), interval.map(exp))
        }
        Pairing::Independent => {
            let all = |values: &BTreeMap<u32, f64>| -> Vec<f64> {
                values.values().filter_map(|&value| logarithm(value)).collect()
            };
            let (a, b) = (all(a), all(b));
            let middle = stats::median(&a).zip(stats::median(&b));
            let interval = stats::difference(&a, &b, confidence, seed);
            (middle.map(|(a, b)| (b - a).exp()), interval.map(exp))
        }
    }
}

fn verdict(measure: &Measure, ratio: Option<f64>, interval: Option<Interval>, bound: f64) -> Change {
    let (Some(ratio), Some(interval)) = (ratio, interval) else {
        return Change::Inconclusive;
    };
    let (most, least) = (1.0 + bound, 1.0 / (1.0 + bound));
    let (more, less) = if more_is_better(measure) {
        (Change::Better, Change::Worse)
    } else {
        (Change::Worse, Change::Better)
    };
    if interval.low >= least && interval.high <= most {
        Change::Equivalent
    } else if interval.low > 1.0 && ratio > most {
        more
    } else if interval.high < 1.0 && ratio < least {
        less
    } else {
        Change::Inconclusive
    }
}

/// Of all other measures less is better.
fn more_is_better(measure: &Measure) -> bool {
    const MORE_IS_BETTER: &[&str] = &["reply-rate", "answered-share", "events-per-wait", "cpu-speed"];
    MORE_IS_BETTER.contains(&measure.name)
}

/// The smallest change that would have been called worse, a part of one: one beyond the bound whose interval, as wide as this
/// one, excludes equality.
fn smallest_change(measure: &Measure, ratio: f64, interval: Interval, bound: f64) -> f64 {
    if more_is_better(measure) {
        1.0 - 1.0 / (interval.high / ratio).max(1.0 + bound)
    } else {
        (ratio / interval.low).max(1.0 + bound) - 1.0
    }
}

fn differences(a: &Manifest, b: &Manifest) -> Vec<EnvironmentDifference> {
    let mut differences: Vec<EnvironmentDifference> = facts(a)
        .into_iter()
        .zip(facts(b))
        .filter(|((_, a), (_, b))| a != b)
        .map(|((what, a), (_, b))| EnvironmentDifference {
            what: what.to_owned(),
            a,
            b,
        })
        .collect();
    if a.experiment != b.experiment {
        differences.push(EnvironmentDifference {
            what: "experiment".to_owned(),
            a: a.experiment_file.clone(),
            b: format!("{}, with another text", b.experiment_file),
        });
    }
    differences
}

/// What the figures of a study depend on, by name.
fn facts(manifest: &Manifest) -> [(&'static str, String); 13] {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let host = &manifest.host;
    let saturation = manifest.saturation.as_ref();
    [
        ("c10k", manifest.version.clone()),
        ("executable, SHA-256", text(&manifest.executable_sha256)),
        ("kernel", host.kernel.clone()),
        ("processor", text(&host.cpu_model)),
        ("CPUs", format!("{:?}", host.cpus)),
        ("the server's CPU", format!("{:?}", manifest.server_cpu)),
        ("CPU accounting", text(&host.cpu_accounting)),
        ("clock source", text(&host.clock_source)),
        ("mitigations", format!("{:?}", host.mitigations)),
        ("limits", format!("{:?}", host.limits)),
        (
            "saturation to which rates in percent refer, per second",
            text(&saturation.map(|saturation| saturation.rate.to_string())),
        ),
        ("blocks", manifest.blocks.to_string()),
        ("seed", manifest.seed.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(values: &[f64]) -> BTreeMap<u32, f64> {
        (0..).zip(values.iter().copied()).collect()
    }

    fn judged(name: &str, pairing: Pairing, a: &[f64], b: &[f64]) -> Change {
        let (ratio, interval) = ratio(pairing, &blocks(a), &blocks(b), 0.95, 1);
        verdict(measure::find(name).expect("a measure"), ratio, interval, 0.05)
    }

    const BASE: [f64; 6] = [10.0, 10.1, 9.9, 10.05, 9.95, 10.0];

    #[test]
    fn a_verdict_needs_a_difference_beyond_noise_and_beyond_the_bound() {
        let times = |factor: f64| BASE.map(|value| value * factor);
        for pairing in [Pairing::Blocks, Pairing::Independent] {
            let cost = |b: &[f64]| judged("cpu-us-per-request", pairing, &BASE, b);
            assert_eq!(cost(&times(1.2)), Change::Worse, "{pairing:?}");
            assert_eq!(cost(&times(0.8)), Change::Better, "{pairing:?}");
            assert_eq!(cost(&times(1.01)), Change::Equivalent, "{pairing:?}");
            assert_eq!(
                cost(&[9.0, 14.0, 8.0, 13.0, 12.0, 10.0]),
                Change::Inconclusive,
                "{pairing:?}"
            );
            assert_eq!(cost(&[]), Change::Inconclusive);
            assert_eq!(
                judged("reply-rate", pairing, &BASE, &times(0.8)),
                Change::Worse,
                "less of it is worse"
            );
        }
    }

    #[test]
    fn a_change_is_seen_from_the_smallest_one_on_and_not_below() {
        let noisy = [10.0, 10.6, 9.5, 10.3, 9.8, 10.1];
        for name in ["cpu-us-per-request", "reply-rate"] {
            let measure = measure::find(name).expect("a measure");
            let (found, interval) = ratio(Pairing::Blocks, &blocks(&BASE), &blocks(&noisy), 0.95, 1);
            let (found, interval) = (found.expect("a ratio"), interval.expect("an interval"));
            let smallest = smallest_change(measure, found, interval, 0.01);
            assert!(smallest > 0.01, "{smallest}");
            let seen = |change: f64| {
                let factor = if more_is_better(measure) {
                    1.0 - change
                } else {
                    1.0 + change
                };
                judged(name, Pairing::Blocks, &BASE, &noisy.map(|value| value * factor / found))
            };
            // The bound of `judged` is 5%, below which nothing is worse.
            assert!(smallest > 0.05 || seen(smallest * 0.98) != Change::Worse);
            assert_eq!(seen(smallest.max(0.055) * 1.02), Change::Worse, "{name}: {smallest}");
            assert_ne!(seen(smallest.min(0.05) * 0.9), Change::Worse, "{name}: {smallest}");
        }
        let measure = measure::find("cpu-us-per-request").expect("a measure");
        let exact = Interval { low: 1.0, high: 1.0 };
        assert!(
            (smallest_change(measure, 1.0, exact, 0.05) - 0.05).abs() < 1e-12,
            "the bound"
        );
    }

    #[test]
    fn pairs_cancel_what_both_share() {
        let drift = [10.0, 14.0, 18.0, 22.0, 26.0, 30.0];
        let dearer = drift.map(|value| value * 1.1);
        assert_eq!(judged("cpu-percent", Pairing::Blocks, &drift, &dearer), Change::Worse);
        assert_eq!(
            judged("cpu-percent", Pairing::Independent, &drift, &dearer),
            Change::Inconclusive
        );
    }

    #[test]
    fn what_differs_in_the_environment_is_named() {
        let a = Manifest::default();
        let mut b = Manifest::default();
        assert!(differences(&a, &b).is_empty());
        b.host.kernel = "6.1".to_owned();
        b.experiment = "other".to_owned();
        let names: Vec<String> = differences(&a, &b)
            .into_iter()
            .map(|difference| difference.what)
            .collect();
        assert_eq!(names, ["kernel", "experiment"]);
    }
}
