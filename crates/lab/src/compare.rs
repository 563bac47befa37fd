//! Two result folders, cell by cell: what is equivalent, better, worse, or not settled.
//!
//! The ratio of B to A is taken in each cell that both have, with an interval over the blocks, corrected for the number of
//! comparisons. Where both folders ran the same experiment with the same seed, block *n* of one had the same schedule and
//! order as block *n* of the other, and the two are compared in pairs; otherwise the folders are two independent samples.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use c10k_record::Manifest;
use serde::Serialize;

use crate::measure::{self, Measure};
use crate::results::{self, Results, StudyData};
use crate::statistic::{Form, number};
use crate::stats::{self, Interval};
use crate::{LabError, set};

/// Error rate of all intervals of a comparison together.
const FAMILY_ERROR: f64 = 0.05;

/// How two folders are compared.
#[derive(Debug, Clone)]
pub struct CompareOptions {
    /// Names of measures; none is the first of CPU per request, the cost of an operation, … that a study has.
    pub measures: Vec<String>,
    /// The share by which B may be worse than A; differences below it are equivalence.
    pub bound: f64,
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The study.
    pub study: String,
    /// The first folder, which B is measured against.
    pub a: PathBuf,
    /// The second folder.
    pub b: PathBuf,
    /// What differs between the two beside the figures; to be read first.
    pub environment: Vec<Difference>,
    /// How blocks were compared.
    pub pairing: Pairing,
    /// The bound, as a share.
    pub bound: f64,
    /// One for each cell and measure that both have.
    pub cells: Vec<CellComparison>,
    /// Cells that only one of the two has.
    pub only_in_one: Vec<String>,
}

/// One fact that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is.
    pub what: &'static str,
    /// In A.
    pub a: String,
    /// In B.
    pub b: String,
}

/// How the blocks of the two folders were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Block by block: the same experiment with the same seed.
    Blocks,
    /// As two independent samples.
    Independent,
}

/// One cell in both folders.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellComparison {
    /// The cell.
    pub cell: String,
    /// The measure.
    pub measure: &'static str,
    /// Median in A, with its unit.
    pub a: String,
    /// Median in B, with its unit.
    pub b: String,
    /// B ÷ A; absent where one has no valid block.
    pub ratio: Option<f64>,
    /// The interval of the ratio; absent where there are fewer than two blocks to compare.
    pub interval: Option<[f64; 2]>,
    /// Blocks in A and in B.
    pub blocks: [usize; 2],
    /// The verdict.
    pub verdict: Change,
}

/// How B compares with A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The interval excludes no difference, and the difference is larger than the bound: for the better.
    Better,
    /// The same for the worse.
    Worse,
    /// The whole interval lies within the bound.
    Equivalent,
    /// None of the three.
    Inconclusive,
    /// A has it, and B has no valid block of it.
    Lost,
}

impl Change {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Equivalent => "equivalent",
            Self::Inconclusive => "inconclusive",
            Self::Lost => "lost",
        }
    }
}

impl Comparison {
    /// Whether the gate holds: something could be compared, and nothing is worse beyond the bound or lost.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.cells.iter().any(|cell| cell.interval.is_some())
            && self
                .cells
                .iter()
                .all(|cell| !matches!(cell.verdict, Change::Worse | Change::Lost))
    }

    /// The comparison for a terminal: what differs in the environment first.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut lines = vec![format!(
            "{}: B = {} against A = {}",
            self.study,
            self.b.display(),
            self.a.display()
        )];
        if self.environment.is_empty() {
            lines.push("The environments are the same as far as they are known.".to_owned());
        }
        for difference in &self.environment {
            lines.push(format!(
                "The environments differ: {}: A {}; B {}",
                difference.what, difference.a, difference.b
            ));
        }
        lines.push(format!(
            "{}; {} comparisons hold together with 95% (Bonferroni); the bound is {:.1}%.",
            match self.pairing {
                Pairing::Blocks => "Compared block by block (same experiment, same seed)",
                Pairing::Independent => "Compared as independent samples (another seed or another experiment)",
            },
            self.cells.len(),
            100.0 * self.bound
        ));
        let width = self.cells.iter().map(|cell| cell.cell.len()).max().unwrap_or_default();
        for cell in &self.cells {
            let factor = |value: f64| number(Form::Factor, "", value);
            let ratio = match (cell.ratio, cell.interval) {
                (Some(ratio), Some([low, high])) => {
                    format!("{} ({} … {})", factor(ratio), factor(low), factor(high))
                }
                (Some(ratio), None) => format!("{} (too few blocks)", factor(ratio)),
                (None, _) => "no valid block in one of them".to_owned(),
            };
            lines.push(format!(
                "{:12}  {:width$}  {}: {} → {}, {ratio}",
                cell.verdict.word(),
                cell.cell,
                cell.measure,
                cell.a,
                cell.b
            ));
        }
        for cell in &self.only_in_one {
            lines.push(format!("only in one   {cell}"));
        }
        lines.join("\n")
    }
}

/// Compares two studies, or all studies that two sets have in common.
///
/// # Errors
/// When a folder holds no study or is damaged, a measure is unknown, or the two have no cell in common.
pub fn compare(a: &Path, b: &Path, options: &CompareOptions) -> Result<Vec<Comparison>, LabError> {
    let measures = options.measures.iter().map(|name| {
        measure::find(name).ok_or_else(|| LabError::Usage {
            option: "--measure",
            problem: format!("there is no measure '{name}'; there are {}", measure::names()),
        })
    });
    let measures: Vec<&'static Measure> = measures.collect::<Result<_, _>>()?;
    let mut comparisons = Vec::new();
    if set::is_set(a) && set::is_set(b) {
        let there: Vec<String> = set::begun(b)?;
        for study in set::begun(a)? {
            let (one, two) = (a.join(&study), b.join(&study));
            if there.contains(&study) {
                comparisons.extend(compare_two(&one, &two, &measures, options.bound)?);
            } else {
                comparisons.push(lost(study, one, two, options.bound));
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

/// A study that B lacks.
fn lost(study: String, a: PathBuf, b: PathBuf, bound: f64) -> Comparison {
    Comparison {
        study,
        a,
        b,
        environment: Vec::new(),
        pairing: Pairing::Independent,
        bound,
        cells: Vec::new(),
        only_in_one: vec!["the whole study (A)".to_owned()],
    }
}

/// What is compared of a study where nothing is asked for: the first of these that it has.
fn usual(results: &Results, cells: &[&String]) -> Option<&'static Measure> {
    const USUAL: &[&str] = &["cpu-us-per-request", "cost-us", "event-ns", "sample-us", "wake-us-p50"];
    let has = |measure: &&Measure| cells.iter().any(|cell| !results.values(cell, measure).is_empty());
    USUAL.iter().filter_map(|name| measure::find(name)).find(has)
}

/// `None` where the two have no cell in common.
fn compare_two(a: &Path, b: &Path, measures: &[&'static Measure], bound: f64) -> Result<Option<Comparison>, LabError> {
    let (one, two) = (results::read(a)?, results::read(b)?);
    let same = one.manifest.experiment == two.manifest.experiment && one.manifest.seed == two.manifest.seed;
    let pairing = if same { Pairing::Blocks } else { Pairing::Independent };
    let ids = |study: &StudyData| -> Vec<String> { study.plan.cells.iter().map(|cell| cell.id.clone()).collect() };
    let (ids_a, ids_b) = (ids(&one), ids(&two));
    let common: Vec<&String> = ids_a.iter().filter(|id| ids_b.contains(id)).collect();
    let only_in_one = ids_a
        .iter()
        .filter(|id| !ids_b.contains(id))
        .map(|id| format!("{id} (A)"))
        .chain(
            ids_b
                .iter()
                .filter(|id| !ids_a.contains(id))
                .map(|id| format!("{id} (B)")),
        )
        .collect();
    let (results_a, results_b) = (
        Results::new(&one.plan, &one.records),
        Results::new(&two.plan, &two.records),
    );
    let usual: Vec<&'static Measure> = usual(&results_a, &common).into_iter().collect();
    let measures = if measures.is_empty() { &usual } else { measures };
    let confidence = 1.0 - FAMILY_ERROR / (common.len() * measures.len()).max(1) as f64;
    let pairs = common
        .iter()
        .flat_map(|id| measures.iter().map(move |measure| (*id, *measure)));
    let cells: Vec<CellComparison> = pairs
        .map(|(id, measure)| {
            let (values_a, values_b) = (results_a.values(id, measure), results_b.values(id, measure));
            let (ratio, interval) = ratio(pairing, &values_a, &values_b, confidence, one.manifest.seed);
            let middle = |values: &BTreeMap<u32, f64>| {
                let values: Vec<f64> = values.values().copied().collect();
                stats::median(&values)
                    .map_or_else(|| "none".to_owned(), |value| number(Form::Plain, measure.unit, value))
            };
            CellComparison {
                cell: id.clone(),
                measure: measure.name,
                a: middle(&values_a),
                b: middle(&values_b),
                ratio,
                interval: interval.map(|interval| [interval.low, interval.high]),
                blocks: [values_a.len(), values_b.len()],
                verdict: if values_b.is_empty() && !values_a.is_empty() {
                    Change::Lost
                } else {
                    verdict(measure, ratio, interval, bound)
                },
            }
        })
        .collect();
    Ok((!cells.is_empty()).then(|| Comparison {
        study: two.manifest.study.clone(),
        a: a.to_owned(),
        b: b.to_owned(),
        environment: differences(&one.manifest, &two.manifest),
        pairing,
        bound,
        cells,
        only_in_one,
    }))
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
    /// Measures of which more is better; of all others less is.
    const MORE_IS_BETTER: &[&str] = &["reply-rate", "answered-share", "events-per-wait", "cpu-speed"];
    let (Some(ratio), Some(interval)) = (ratio, interval) else {
        return Change::Inconclusive;
    };
    let (most, least) = (1.0 + bound, 1.0 / (1.0 + bound));
    let (more, less) = if MORE_IS_BETTER.contains(&measure.name) {
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

fn differences(a: &Manifest, b: &Manifest) -> Vec<Difference> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "not told".to_owned());
    let facts = |manifest: &Manifest| {
        let host = &manifest.host;
        let rate = manifest
            .saturation
            .as_ref()
            .map(|saturation| saturation.rate.to_string());
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
            ("saturation that rates are fractions of, per second", text(&rate)),
            ("blocks", manifest.blocks.to_string()),
            ("seed", manifest.seed.to_string()),
        ]
    };
    let mut differences: Vec<Difference> = facts(a)
        .into_iter()
        .zip(facts(b))
        .filter(|((_, a), (_, b))| a != b)
        .map(|((what, a), (_, b))| Difference { what, a, b })
        .collect();
    if a.experiment != b.experiment {
        differences.push(Difference {
            what: "experiment",
            a: a.experiment_file.clone(),
            b: format!("{}, with another text", b.experiment_file),
        });
    }
    differences
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
        let names: Vec<&str> = differences(&a, &b).iter().map(|difference| difference.what).collect();
        assert_eq!(names, ["kernel", "experiment"]);
    }
}
