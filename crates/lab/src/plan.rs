//! From an experiment to runs: every variant at every combination of levels, with the very commands.
//!
//! A plan is a function of the experiment, the choices on the command line and the measured saturation, and of nothing
//! else: planning again from a manifest gives the same cells in the same order.

mod beside;

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_pcg::Pcg64Mcg;
use toml::Spanned;

use crate::LabError;
use crate::experiment::options::{self, Kind, Number, OptionRow, Side};
use crate::experiment::{Experiment, Filter, Settings, VariantSpec, flag_text};
use crate::report::thousands;
pub(crate) use beside::Beside;

/// What the command line chose.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Choices {
    pub(crate) seed: u64,
    pub(crate) repeats: Option<u32>,
    /// The experiment's own where absent.
    pub(crate) call_passes: Option<u32>,
    pub(crate) budget: Budget,
    pub(crate) only: Option<String>,
    /// Names of variants that cannot run here.
    pub(crate) unavailable: BTreeSet<String>,
}

/// The time that a study may take, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum Budget {
    /// The number of blocks decides.
    #[default]
    None,
    /// As many blocks as fit.
    Asked(f64),
    /// As many as fit, at most those of the experiment.
    Stated(f64),
}

impl Budget {
    pub(crate) fn seconds(self) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Asked(seconds) | Self::Stated(seconds) => Some(seconds),
        }
    }
}

/// Everything that will run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) experiment: Experiment,
    pub(crate) axes: Vec<Axis>,
    pub(crate) variants: Vec<Variant>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) blocks: u32,
    /// Passes in which system calls are counted, after the blocks.
    pub(crate) call_passes: u32,
    pub(crate) seed: u64,
    /// Variants that cannot run here: their cells are skipped, no time is planned for them, and nothing is judged of them.
    pub(crate) unavailable: BTreeSet<usize>,
    /// Expected duration of one block, seconds.
    pub(crate) block_s: f64,
}

/// An option that is varied.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) row: &'static OptionRow,
    pub(crate) levels: Vec<Level>,
}

/// One value on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Level {
    /// As the experiment has it.
    pub(crate) written: String,
    /// In the unit of the option, with fractions of the saturation resolved.
    pub(crate) value: f64,
}

/// One subject.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) server: BTreeMap<String, String>,
    pub(crate) load: BTreeMap<String, String>,
    pub(crate) probe: BTreeMap<String, String>,
    /// A server that is not ours.
    pub(crate) outside: Option<Outside>,
    /// The variant that this one repeats, for the A/A control.
    pub(crate) control_of: Option<usize>,
}

/// A server that is not ours.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outside {
    pub(crate) command: Vec<String>,
    pub(crate) url: String,
}

/// One variant at one combination of levels.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    /// The variant's name and the levels as written: the cell's identity in the records.
    pub(crate) id: String,
    pub(crate) variant: usize,
    /// Index of the level on each axis, in the order of [`Plan::axes`].
    pub(crate) levels: Vec<usize>,
    /// Flags of `c10k serve`, without `--listen` and `--json`.
    pub(crate) server_flags: Vec<String>,
    /// Flags of `c10k load`, without the URL, `--seed`, `--json`, `--phases` and `--hold`.
    pub(crate) load_flags: Vec<String>,
    pub(crate) path: String,
    /// The requests of a second generator, which disturb and are not measured.
    pub(crate) beside: Option<Beside>,
    /// The probe that runs in place of a server and a generator.
    pub(crate) probe: Option<String>,
    /// Flags of the probe, without `--json` and `--cpus`.
    pub(crate) probe_flags: Vec<String>,
    /// Connections that are open at once.
    pub(crate) connections: u64,
    /// Requests that are due at once.
    pub(crate) burst: u64,
    /// Warm-up, measured time and time limit, seconds.
    pub(crate) time: CellTime,
}

/// How long the parts of a cell take, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct CellTime {
    pub(crate) warmup_s: f64,
    pub(crate) duration_s: f64,
    pub(crate) timeout_s: f64,
}

/// Connections that the generator opens per second, cautiously: for the expected duration only.
const CONNECTS_PER_S: f64 = 12_000.0;

/// Starting and stopping two processes and reading the meters, seconds: for the expected duration only.
const CELL_OVERHEAD_S: f64 = 0.2;

/// Processes or threads that a probe starts and ends per second: for the expected duration only.
const BLOCKED_PER_S: f64 = 6_000.0;

/// How long a probe measures unless told, seconds.
const PROBE_TIME_S: f64 = 0.3;

/// More blocks than this are not planned into a budget: intervals shrink with the square root only.
const BLOCKS_MAX: u32 = 30;

impl CellTime {
    /// Expected duration of a cell with that many connections.
    pub(crate) fn expected_s(&self, connections: u64) -> f64 {
        CELL_OVERHEAD_S + connections as f64 / CONNECTS_PER_S + self.warmup_s + self.duration_s
    }
}

impl Plan {
    /// Resolves `experiment`. `saturation` is the measured rate that levels in percent are fractions of.
    ///
    /// # Errors
    /// [`LabError::NothingMatches`] when the filter leaves no cell.
    pub(crate) fn resolve(
        experiment: &Experiment,
        choices: &Choices,
        saturation: Option<f64>,
    ) -> Result<Self, LabError> {
        let resolver = Resolver { experiment, saturation };
        let axes = resolver.axes();
        let variants = resolver.variants();
        let all = resolver.cells(&axes, &variants);
        let cells = match &choices.only {
            None => all,
            Some(filter) => {
                let kept: Vec<Cell> = all.iter().filter(|cell| matches(filter, &cell.id)).cloned().collect();
                if kept.is_empty() {
                    return Err(LabError::NothingMatches {
                        filter: filter.clone(),
                        cells: all.len(),
                        first: all.first().map(|cell| cell.id.clone()).unwrap_or_default(),
                    });
                }
                kept
            }
        };
        let original = |variant: &Variant| {
            variant
                .control_of
                .map_or(variant.name.clone(), |of| variants[of].name.clone())
        };
        let unavailable: BTreeSet<usize> = (0..variants.len())
            .filter(|&index| choices.unavailable.contains(&original(&variants[index])))
            .collect();
        let available = cells.iter().filter(|cell| !unavailable.contains(&cell.variant));
        let block_s: f64 = available.map(|cell| cell.time.expected_s(cell.connections)).sum();
        // A probe is no server whose calls would be those of its requests.
        let call_passes = match cells.iter().any(|cell| cell.probe.is_some()) {
            true => 0,
            false => choices.call_passes.unwrap_or(experiment.call_passes),
        };
        Ok(Self {
            blocks: blocks(choices, experiment.repeats, call_passes, block_s),
            call_passes,
            seed: choices.seed,
            experiment: experiment.clone(),
            axes,
            variants,
            cells,
            unavailable,
            block_s,
        })
    }

    /// The cell that drives the reference variant to its limit; `None` where no rate is a fraction of it.
    pub(crate) fn saturation_cell(&self) -> Option<Cell> {
        let spec = self.experiment.saturation.as_ref()?;
        let resolver = Resolver {
            experiment: &self.experiment,
            saturation: None,
        };
        let index = self.variant(spec.variant.get_ref())?;
        let mut variant = self.variants[index].clone();
        variant.load.extend(resolver.settings(&spec.load));
        variant.load.insert("rate".to_owned(), "max".to_owned());
        Some(cell(&[], index, &variant, &[]))
    }

    /// The cells of a block in the order in which they run: the combinations of levels in a random order, and at each of
    /// them its variants in one. What is compared most, one variant with another at the same levels, runs within seconds.
    pub(crate) fn order(&self, block: u32) -> Vec<usize> {
        let mut random = Pcg64Mcg::seed_from_u64(self.seed.wrapping_add(u64::from(block)));
        let mut by_levels: BTreeMap<&[usize], Vec<usize>> = BTreeMap::new();
        for (index, cell) in self.cells.iter().enumerate() {
            by_levels.entry(&cell.levels).or_default().push(index);
        }
        let mut groups: Vec<Vec<usize>> = by_levels.into_values().collect();
        groups.shuffle(&mut random);
        groups.iter_mut().for_each(|group| group.shuffle(&mut random));
        groups.concat()
    }

    /// What all blocks and passes are expected to take, seconds.
    pub(crate) fn expected_s(&self) -> f64 {
        self.block_s * f64::from(self.blocks + self.call_passes)
    }

    /// The cell of `variant` at `levels`, where the plan has it.
    pub(crate) fn cell(&self, variant: usize, levels: &[usize]) -> Option<&Cell> {
        self.cells
            .iter()
            .find(|cell| cell.variant == variant && cell.levels == levels)
    }

    /// The variant of that name.
    pub(crate) fn variant(&self, name: &str) -> Option<usize> {
        self.variants.iter().position(|variant| variant.name == name)
    }

    /// The axis of that name.
    pub(crate) fn axis(&self, name: &str) -> Option<usize> {
        self.axes.iter().position(|axis| axis.row.name == name)
    }

    /// Every combination of level indices that `filter` lets through, with `along` (if any) left at 0.
    pub(crate) fn combinations(&self, along: Option<usize>, filter: &Filter) -> Vec<Vec<usize>> {
        combinations(&self.axes, along, filter)
    }

    /// The levels of a combination in words, without the axis `along`; empty where nothing is left to say.
    pub(crate) fn levels_text(&self, levels: &[usize], along: Option<usize>) -> String {
        let words: Vec<String> = self
            .axes
            .iter()
            .zip(levels)
            .enumerate()
            .filter(|(index, (axis, _))| Some(*index) != along && axis.levels.len() > 1)
            .map(|(_, (axis, &level))| axis.describe(level))
            .collect();
        words.join(", ")
    }
}

impl Axis {
    /// A level in words: `6,000 idle connections`, `10 ms of work per request`, `rate 6.67% (5,300/s)`.
    pub(crate) fn describe(&self, level: usize) -> String {
        let level = &self.levels[level];
        match self.row.kind {
            Kind::Count => format!("{} {}", thousands(level.value), self.row.label),
            Kind::Rate if level.written.ends_with('%') => {
                format!("{} {} ({}/s)", self.row.name, level.written, thousands(level.value))
            }
            Kind::Rate => format!("{} requests/s", thousands(level.value)),
            Kind::Size => format!("{} bytes", thousands(level.value)),
            Kind::Duration => format!("{} of {}", self.row.kind.text(level.value), self.row.label),
            Kind::Word => format!("{} {}", self.row.name, level.written),
        }
    }
}

struct Resolver<'a> {
    experiment: &'a Experiment,
    saturation: Option<f64>,
}

impl Resolver<'_> {
    /// `check` has refused whatever is not a number of its kind, so that nothing is lost by the default.
    fn value(&self, kind: Kind, text: &str) -> f64 {
        match options::number(kind, text) {
            Ok(Number::Absolute(value)) => value,
            Ok(Number::OfSaturation(share)) => (share * self.saturation.unwrap_or_default()).round(),
            Err(_) => 0.0,
        }
    }

    fn axes(&self) -> Vec<Axis> {
        let axes = self.experiment.axes.iter().filter_map(|(name, levels)| {
            let row = options::find(name.get_ref())?;
            let levels = levels
                .iter()
                .filter_map(|level| flag_text(level.get_ref()))
                .map(|written| Level {
                    value: self.value(row.kind, &written),
                    written,
                })
                .collect();
            Some(Axis { row, levels })
        });
        axes.collect()
    }

    fn variants(&self) -> Vec<Variant> {
        let mut variants: Vec<Variant> = self.experiment.variants.iter().map(|spec| self.variant(spec)).collect();
        if let Some(control) = &self.experiment.control {
            let original = variants
                .iter()
                .position(|variant| variant.name == *control.variant.get_ref());
            if let Some(original) = original {
                let mut again = variants[original].clone();
                again.name.push_str("-again");
                again.label.push_str(" (again)");
                again.control_of = Some(original);
                variants.push(again);
            }
        }
        variants
    }

    fn variant(&self, spec: &VariantSpec) -> Variant {
        let mut server = self.settings(&self.experiment.server);
        server.extend(self.settings(&spec.server));
        let mut load = self.settings(&self.experiment.load);
        load.extend(self.settings(&spec.load));
        let mut probe = self.settings(&self.experiment.probe);
        probe.extend(self.settings(&spec.probe));
        let find = |key: &str| {
            spec.server
                .get(key)
                .or_else(|| self.experiment.server.get(key))
                .map(Spanned::get_ref)
        };
        let outside = find("command").zip(find("url")).map(|(command, url)| Outside {
            command: command
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|word| word.as_str().map(str::to_owned))
                .collect(),
            url: url.as_str().unwrap_or_default().to_owned(),
        });
        let name = spec.name.get_ref().clone();
        Variant {
            label: spec.label.clone().unwrap_or_else(|| name.clone()),
            name,
            server,
            load,
            probe,
            outside,
            control_of: None,
        }
    }

    fn settings(&self, settings: &Settings) -> BTreeMap<String, String> {
        let texts = settings.iter().filter_map(|(name, value)| {
            let row = options::find(name.get_ref())?;
            let text = flag_text(value.get_ref())?;
            let text = match options::number(row.kind, &text) {
                Ok(_) if row.kind == Kind::Rate || row.kind == Kind::Size => {
                    options::as_flag(row.kind, self.value(row.kind, &text))
                }
                _ => text,
            };
            Some((row.name.to_owned(), text))
        });
        texts.collect()
    }

    fn cells(&self, axes: &[Axis], variants: &[Variant]) -> Vec<Cell> {
        let everywhere = Filter::new();
        let control = self.experiment.control.as_ref();
        let of_each = variants.iter().enumerate().flat_map(|(index, variant)| {
            let filter = match (variant.control_of, control) {
                (Some(_), Some(control)) => &control.filter,
                _ => &everywhere,
            };
            let levels = combinations(axes, None, filter).into_iter();
            levels.map(move |levels| cell(axes, index, variant, &levels))
        });
        of_each.collect()
    }
}

/// Every combination of level indices that `filter` lets through, with `along` (if any) left at 0.
fn combinations(axes: &[Axis], along: Option<usize>, filter: &Filter) -> Vec<Vec<usize>> {
    let mut combinations = vec![Vec::new()];
    for (index, axis) in axes.iter().enumerate() {
        let wanted = filter.get(axis.row.name).and_then(|value| flag_text(value.get_ref()));
        let levels: Vec<usize> = if along == Some(index) {
            vec![0]
        } else {
            (0..axis.levels.len())
                .filter(|&level| wanted.as_ref().is_none_or(|text| *text == axis.levels[level].written))
                .collect()
        };
        combinations = combinations
            .iter()
            .flat_map(|before: &Vec<usize>| {
                levels.iter().map(move |&level| {
                    let mut longer = before.clone();
                    longer.push(level);
                    longer
                })
            })
            .collect();
    }
    combinations
}

fn cell(axes: &[Axis], index: usize, variant: &Variant, levels: &[usize]) -> Cell {
    let mut server = variant.server.clone();
    let mut load = variant.load.clone();
    let mut probe = variant.probe.clone();
    let mut id = variant.name.clone();
    for (axis, &level) in axes.iter().zip(levels) {
        let level = &axis.levels[level];
        id.push_str(&format!(" {}={}", axis.row.name, level.written));
        let side = match axis.row.side {
            Side::Server => &mut server,
            Side::Load => &mut load,
            Side::Probe => &mut probe,
        };
        side.insert(axis.row.name.to_owned(), options::as_flag(axis.row.kind, level.value));
    }
    let beside = beside::take_from(&mut load);
    let path = match (load.remove("path"), load.remove("reply")) {
        (Some(path), _) => path,
        (None, Some(bytes)) => format!("/bytes/{bytes}"),
        (None, None) => "/bytes/1".to_owned(),
    };
    let count = |name: &str| number(&load, name) as u64;
    let seconds = |of: &BTreeMap<String, String>, name: &str, default: f64| {
        of.get(name)
            .and_then(|text| options::duration_s(text))
            .unwrap_or(default)
    };
    let name = probe.remove("name");
    let time = match name {
        None => CellTime {
            warmup_s: seconds(&load, "warmup", 0.0),
            duration_s: seconds(&load, "duration", 1.0),
            timeout_s: seconds(&load, "timeout", 5.0),
        },
        Some(_) => CellTime {
            warmup_s: number(&probe, "blocked") / BLOCKED_PER_S,
            duration_s: seconds(&probe, "time", PROBE_TIME_S),
            timeout_s: 0.0,
        },
    };
    Cell {
        id,
        variant: index,
        levels: levels.to_vec(),
        connections: count("connections") + count("idle"),
        burst: count("burst").max(1),
        time,
        server_flags: flags(&server),
        load_flags: flags(&load),
        path,
        beside,
        probe: name,
        probe_flags: flags(&probe),
    }
}

/// The number that an option has; 0 where it is not given.
fn number(settings: &BTreeMap<String, String>, name: &str) -> f64 {
    let text = settings.get(name);
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn flags(settings: &BTreeMap<String, String>) -> Vec<String> {
    settings
        .iter()
        .flat_map(|(name, value)| [format!("--{name}"), value.clone()])
        .collect()
}

/// A filter is alternatives with commas between; an alternative is words, all of which the cell's name contains.
fn matches(filter: &str, cell: &str) -> bool {
    filter
        .split(',')
        .any(|alternative| alternative.split_whitespace().all(|word| cell.contains(word)))
}

/// A pass takes about as long as a block.
fn blocks(choices: &Choices, repeats: u32, call_passes: u32, block_s: f64) -> u32 {
    let (budget_s, most) = match choices.budget {
        Budget::None => return choices.repeats.unwrap_or(repeats).max(1),
        Budget::Asked(budget_s) => (budget_s, choices.repeats.unwrap_or(BLOCKS_MAX)),
        Budget::Stated(budget_s) => (budget_s, repeats),
    };
    let fit = (budget_s / block_s.max(f64::MIN_POSITIVE)) as u32;
    fit.saturating_sub(call_passes).clamp(1, most.max(1))
}

#[cfg(test)]
mod tests;
