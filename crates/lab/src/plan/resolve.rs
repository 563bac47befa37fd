//! Resolves an experiment into a plan: resolves levels and variants, filters cells, determines the number of blocks.

use std::collections::BTreeMap;

use c10k_record::Manifest;
use c10k_units::Filter;
use toml::Spanned;

use super::axis::{Axis, Level, combinations};
use super::cell::{Cell, cell, start_s};
use super::choices::{Budget, Choices, Unavailable};
use super::variant::{ExternalServer, Variant};
use super::{Expected, Plan};
use crate::LabError;
use crate::experiment::options::{self, Side};
use crate::experiment::value::{Kind, Value};
use crate::experiment::{Experiment, LevelFilter, Settings, VariantSpec, flag_text};

/// The most blocks that are planned for a budget. More would help little: intervals shrink with the square root of the number.
pub(super) const BLOCKS_MAX: u32 = 30;

/// The same for blocks of windows, which are short.
pub(super) const WINDOWS_MAX: u32 = 300;

impl Plan {
    /// The plan of a manifest, the same each time.
    ///
    /// # Errors
    /// As [`Plan::resolve`].
    pub(crate) fn of_manifest(experiment: &Experiment, manifest: &Manifest) -> Result<Self, LabError> {
        let saturation = manifest.saturation.as_ref();
        let rate = saturation.map(|saturation| saturation.rate);
        let mut plan = Self::resolve(experiment, &Choices::of_manifest(manifest), rate)?;
        let saturation_s = saturation.map_or(0.0, |saturation| saturation.seconds);
        let others_s = saturation_s
            + manifest.prepared_s
            + plan.expected.start_s
            + plan.expected.pass_s * f64::from(plan.call_passes);
        plan.blocks_s = manifest.budget_s.map(|budget_s| (budget_s - others_s).max(0.0));
        Ok(plan)
    }

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
        let filter = choices.only.as_deref().unwrap_or_default();
        let cells = selected(all, filter)?;
        let original = |variant: &Variant| {
            variant
                .control_of
                .map_or(variant.name.clone(), |of| variants[of].name.clone())
        };
        let unavailable: BTreeMap<usize, Unavailable> = (0..variants.len())
            .filter_map(|index| Some((index, choices.unavailable.get(&original(&variants[index]))?.clone())))
            .collect();
        // A probe has no server whose calls could be counted per request.
        let call_passes = match cells.iter().any(|cell| cell.probe.is_some()) {
            true => 0,
            false => choices.call_passes.unwrap_or(*experiment.call_passes.get_ref()),
        };
        let mut plan = Self {
            blocks: 0,
            call_passes,
            seed: choices.seed,
            saturation,
            experiment: experiment.clone(),
            axes,
            variants,
            cells,
            unavailable,
            interleaved: choices.can_interleave && experiment.interleaved.is_some(),
            looks: choices.looks.unwrap_or(*experiment.looks.get_ref()).max(1),
            blocks_s: None,
            expected: Expected::default(),
        };
        plan.expected = plan.expect();
        plan.blocks = plan.choose_blocks(choices);
        Ok(plan)
    }

    fn expect(&self) -> Expected {
        let available = || {
            let cells = self.cells.iter();
            cells.filter(|cell| !self.unavailable.contains_key(&cell.variant))
        };
        Expected {
            start_s: match self.interleaved {
                true => available().map(|cell| start_s(cell.connections)).sum(),
                false => 0.0,
            },
            block_s: available().map(|cell| self.cell_s(cell)).sum(),
            pass_s: available().map(|cell| cell.time.expected_s(cell.connections)).sum(),
        }
    }

    fn choose_blocks(&self, choices: &Choices) -> u32 {
        let repeats = *self.experiment.repeats.get_ref();
        let most = if self.interleaved { WINDOWS_MAX } else { BLOCKS_MAX };
        let (budget_s, most) = match choices.budget {
            Budget::None => return choices.repeats.unwrap_or(repeats),
            Budget::Asked(budget_s) => (budget_s, choices.repeats.unwrap_or(most)),
            Budget::Stated(budget_s) => (budget_s, repeats),
        };
        // The blocks become shorter with every claim that is settled, so the time alone says how many there are.
        if self.looks > 1 {
            return most;
        }
        let Expected {
            start_s,
            block_s,
            pass_s,
        } = self.expected;
        let left_s = budget_s - start_s - f64::from(self.call_passes) * pass_s;
        // A negative number becomes 0.
        let fit = (left_s / block_s.max(f64::MIN_POSITIVE)) as u32;
        fit.clamp(1, most)
    }

    /// The cell that measures the saturation of the reference variant; `None` if no rate is a percentage of it.
    pub(crate) fn saturation_cell(&self) -> Option<Cell> {
        let spec = self.experiment.saturation.as_ref()?;
        let resolver = Resolver {
            experiment: &self.experiment,
            saturation: None,
        };
        let index = self.variant(spec.variant.get_ref())?;
        let mut variant = self.variants[index].clone();
        variant.load.extend(resolver.settings(Side::Load, &spec.load));
        variant.load.insert("rate".to_owned(), "max".to_owned());
        variant.load.remove(options::OVERLOAD);
        Some(cell(&[], index, &variant, &[], None))
    }
}

struct Resolver<'a> {
    experiment: &'a Experiment,
    saturation: Option<f64>,
}

impl Resolver<'_> {
    /// `None` for a word. `check` has already refused every other value that does not fit its kind.
    fn value(&self, kind: Kind, text: &str) -> Option<Value> {
        let value = Value::parse(kind, text).ok()?;
        Some(value.resolved(self.saturation.unwrap_or_default()))
    }

    fn axes(&self) -> Vec<Axis> {
        let axes = self.experiment.axes.iter().filter_map(|(name, levels)| {
            let row = self.experiment.axis_option(name.get_ref())?;
            let levels = levels
                .iter()
                .filter_map(|level| {
                    let written = flag_text(level.get_ref())?;
                    let value = self.value(row.kind, &written)?;
                    Some(Level {
                        value: value.number(),
                        flag: value.flag(),
                        written,
                    })
                })
                .collect();
            Some(Axis {
                name: name.get_ref().clone(),
                row,
                levels,
            })
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
        let mut server = self.settings(Side::Server, &self.experiment.server);
        server.extend(self.settings(Side::Server, &spec.server));
        let mut load = self.settings(Side::Load, &self.experiment.load);
        load.extend(self.settings(Side::Load, &spec.load));
        let mut probe = self.settings(Side::Probe, &self.experiment.probe);
        probe.extend(self.settings(Side::Probe, &spec.probe));
        let find = |key: &str| {
            spec.server
                .get(key)
                .or_else(|| self.experiment.server.get(key))
                .map(Spanned::get_ref)
        };
        let external = find("command").zip(find("url")).map(|(command, url)| ExternalServer {
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
            external,
            control_of: None,
        }
    }

    fn settings(&self, side: Side, settings: &Settings) -> BTreeMap<String, String> {
        let texts = settings.iter().filter_map(|(name, value)| {
            let row = options::find(side, name.get_ref())?;
            let text = flag_text(value.get_ref())?;
            let text = self.value(row.kind, &text).map_or(text, Value::flag);
            Some((row.name.to_owned(), text))
        });
        texts.collect()
    }

    fn cells(&self, axes: &[Axis], variants: &[Variant]) -> Vec<Cell> {
        let everywhere = LevelFilter::new();
        let control = self.experiment.control.as_ref();
        let interleaved = self.experiment.interleaved.as_ref();
        let of_window = interleaved.map(|own| self.settings(Side::Load, own));
        let of_each = variants.iter().enumerate().flat_map(|(index, variant)| {
            let filter = match (variant.control_of, control) {
                (Some(_), Some(control)) => &control.filter,
                _ => &everywhere,
            };
            let levels = combinations(axes, None, filter).into_iter();
            let of_window = of_window.as_ref();
            levels.map(move |levels| cell(axes, index, variant, &levels, of_window))
        });
        of_each.collect()
    }
}

/// The cells that `--only` selects.
fn selected(all: Vec<Cell>, filter: &str) -> Result<Vec<Cell>, LabError> {
    let Ok(only) = filter.parse::<Filter>();
    let (count, first) = (all.len(), all.first().map(|cell| cell.id.clone()));
    let selected: Vec<Cell> = all.into_iter().filter(|cell| only.matches(&cell.id)).collect();
    if selected.is_empty() {
        return Err(LabError::NothingMatches {
            filter: filter.to_owned(),
            cells: count,
            first: first.unwrap_or_default(),
        });
    }
    Ok(selected)
}
