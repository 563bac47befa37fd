//! An experiment as its file states it: the question, the variants and axes, the load, the claims, figures and tables.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Spanned, Value};

use super::options::{self, OptionRow, Side};
use super::value::Kind;

/// One question.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Experiment {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) question: String,
    /// Where the question is from.
    pub(crate) source: Option<String>,
    /// Expected duration of the whole study on the machine it was written on.
    pub(crate) seconds: Spanned<u64>,
    /// Blocks, where no budget says otherwise.
    #[serde(default = "default_repeats")]
    pub(crate) repeats: Spanned<u32>,
    /// Passes in which system calls are counted, after the blocks; 0 is none.
    #[serde(default = "default_call_passes")]
    pub(crate) call_passes: Spanned<u32>,
    /// How often the claims are judged, at equal parts of the time of the blocks.
    #[serde(default = "default_looks")]
    pub(crate) looks: Spanned<u32>,
    /// If given, the servers of all cells run for the whole study and are measured in turn, one window each in every block.
    /// These are the options of the load that differ in a window.
    pub(crate) interleaved: Option<Settings>,
    /// What ratios of CPU per request are adjusted for.
    pub(crate) covariate: Option<Spanned<Covariate>>,
    /// Fixed conditions of the server.
    #[serde(default)]
    pub(crate) server: Settings,
    /// Fixed conditions of the load.
    #[serde(default)]
    pub(crate) load: Settings,
    /// Which probe runs in place of a server and a generator, and its fixed conditions.
    #[serde(default)]
    pub(crate) probe: Settings,
    /// What is varied apart from the variants: options and their levels.
    #[serde(default)]
    pub(crate) axes: BTreeMap<Spanned<String>, Vec<Spanned<Value>>>,
    /// How the saturation that rates are fractions of is measured.
    pub(crate) saturation: Option<SaturationSpec>,
    #[serde(rename = "variant")]
    pub(crate) variants: Vec<VariantSpec>,
    /// The variant that runs twice under two names.
    pub(crate) control: Option<ControlSpec>,
    #[serde(default, rename = "claim")]
    pub(crate) claims: Vec<ClaimSpec>,
    /// What to take for which workload, if the claims get the required verdicts.
    #[serde(default)]
    pub(crate) advice: Vec<AdviceSpec>,
    #[serde(default, rename = "figure")]
    pub(crate) figures: Vec<FigureSpec>,
    /// Measures of one variant laid out over two axes, as a table of the source is.
    #[serde(default, rename = "table")]
    pub(crate) tables: Vec<TableSpec>,
    /// Numbers that the source publishes, listed next to ours.
    #[serde(default, rename = "published")]
    pub(crate) published: Vec<PublishedSpec>,
}

/// What varies from cell to cell and changes what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Covariate {
    /// The speed of the server's CPU, as the idle counter measures it in the cell.
    CpuSpeed,
}

fn default_repeats() -> Spanned<u32> {
    Spanned::new(0..0, 5)
}

fn default_call_passes() -> Spanned<u32> {
    Spanned::new(0..0, 1)
}

fn default_looks() -> Spanned<u32> {
    Spanned::new(0..0, 1)
}

/// Options by name. `command` and `url` make the server any program.
pub(crate) type Settings = BTreeMap<Spanned<String>, Spanned<Value>>;

/// Axes and the level of each that counts, as written.
pub(crate) type LevelFilter = BTreeMap<Spanned<String>, Spanned<Value>>;

/// One thing to be compared: a server with its options.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct VariantSpec {
    pub(crate) name: Spanned<String>,
    /// What it is called in figures; its name where absent.
    pub(crate) label: Option<String>,
    #[serde(default)]
    pub(crate) server: Settings,
    #[serde(default)]
    pub(crate) load: Settings,
    #[serde(default)]
    pub(crate) probe: Settings,
}

/// Which variant is driven to its limit first.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SaturationSpec {
    pub(crate) variant: Spanned<String>,
    /// Options of the load that differ from those of the study.
    #[serde(default)]
    pub(crate) load: Settings,
    /// How often; the median counts.
    #[serde(default = "default_tries")]
    pub(crate) tries: Spanned<u32>,
}

fn default_tries() -> Spanned<u32> {
    Spanned::new(0..0, 3)
}

/// The A/A control.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ControlSpec {
    pub(crate) variant: Spanned<String>,
    /// The measure that is compared.
    pub(crate) measure: Spanned<String>,
    /// Only at these levels, as written.
    #[serde(default, rename = "where")]
    pub(crate) filter: LevelFilter,
}

/// A claim and the test that judges it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ClaimSpec {
    pub(crate) id: Spanned<String>,
    /// The claim as a sentence.
    pub(crate) text: String,
    /// Figure, table or sentence that makes it.
    pub(crate) source: String,
    /// Name of a statistic.
    pub(crate) statistic: Spanned<String>,
    /// Name of a measure.
    pub(crate) measure: Spanned<String>,
    /// The variants that it is about.
    pub(crate) variants: Vec<Spanned<String>>,
    /// The variant that they are compared with, for statistics that compare.
    pub(crate) against: Option<Spanned<String>>,
    /// The axis, for statistics along one.
    pub(crate) along: Option<Spanned<String>>,
    /// Only these levels, as written.
    #[serde(default, rename = "where")]
    pub(crate) filter: LevelFilter,
    /// The statistic has to be at least this.
    pub(crate) at_least: Option<f64>,
    /// The statistic has to be at most this.
    pub(crate) at_most: Option<f64>,
    /// The sentence of the answer where it is confirmed; `{}` is the statistic.
    pub(crate) confirmed: Option<String>,
    /// The sentence of the answer where it is refuted.
    pub(crate) refuted: Option<String>,
    /// The same question, answered by instructions.
    pub(crate) exact: Option<ExactSpec>,
}

/// Cells of a table of the guest that answer the question of a claim.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ExactSpec {
    /// The study of the guest.
    pub(crate) table: Spanned<String>,
    /// For each variant of the claim, the pairs of cells that give its statistic: the lower level and the higher one, or the
    /// variant that is compared with and the variant.
    pub(crate) cells: BTreeMap<Spanned<String>, Vec<Spanned<CellPair>>>,
    /// What the cells are, and how they differ from what is measured.
    pub(crate) why: Spanned<String>,
}

/// Two names of cells, as far as the file has no mistake.
pub(crate) type CellPair = Vec<Spanned<String>>;

/// A recommendation, which is given only if the claims that it rests on get the required verdicts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AdviceSpec {
    /// For which workload, after "where".
    pub(crate) when: Spanned<String>,
    /// What to take.
    pub(crate) take: String,
    /// Claims that have to be confirmed.
    #[serde(default)]
    pub(crate) confirmed: Vec<Spanned<String>>,
    /// Claims that have to be refuted.
    #[serde(default)]
    pub(crate) refuted: Vec<Spanned<String>>,
}

/// One figure; one panel for each combination of the levels that are not on its x axis.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct FigureSpec {
    pub(crate) id: Spanned<String>,
    pub(crate) title: String,
    /// The axis across.
    pub(crate) x: Spanned<String>,
    /// The measure up.
    pub(crate) y: Spanned<String>,
    #[serde(default)]
    pub(crate) scale: Scale,
    /// What to see in it, and what it reproduces.
    pub(crate) caption: String,
    /// Only these variants; all where empty.
    #[serde(default)]
    pub(crate) variants: Vec<Spanned<String>>,
}

/// How the y axis of a figure is divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scale {
    /// From zero.
    #[default]
    Linear,
    /// By decades.
    Log,
}

/// Measures of one variant laid out over two axes, next to the table that the source published.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TableSpec {
    pub(crate) id: Spanned<String>,
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) variant: Spanned<String>,
    /// The axis down.
    pub(crate) rows: Spanned<String>,
    /// The axis across; each of its levels has a column for each measure.
    pub(crate) columns: Spanned<String>,
    pub(crate) measures: Vec<Spanned<String>>,
    /// What the measures are called in the source, in the same order.
    pub(crate) heads: Vec<String>,
    /// What the source's rows are labelled with.
    pub(crate) published_as: String,
    /// The source's rows in the order of the levels: the label, then the numbers, column by column.
    pub(crate) published: Vec<Spanned<Vec<String>>>,
}

/// A number that the source states.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PublishedSpec {
    /// What it is a number of.
    pub(crate) what: String,
    /// The number with its unit, as published.
    pub(crate) value: String,
    /// Where it is published.
    pub(crate) source: String,
    /// Ours: the median of this measure …
    pub(crate) measure: Spanned<String>,
    /// … of this variant …
    pub(crate) variant: Spanned<String>,
    /// … over these levels.
    #[serde(default, rename = "where")]
    pub(crate) filter: LevelFilter,
}

impl Experiment {
    /// Whether a probe runs in place of a server and a generator.
    pub(crate) fn is_probe(&self) -> bool {
        !self.probe.is_empty()
    }

    /// The options that can be axes: they have numbers, and are of the processes that run.
    pub(crate) fn axis_options(&self) -> impl Iterator<Item = &'static OptionRow> {
        let sides = if self.is_probe() {
            &[Side::Probe][..]
        } else {
            &[Side::Server, Side::Load]
        };
        sides
            .iter()
            .flat_map(|&side| options::of(side))
            .filter(|row| row.kind != Kind::Word)
    }

    /// The option that an axis of this name varies.
    pub(crate) fn axis_option(&self, name: &str) -> Option<&'static OptionRow> {
        self.axis_options().find(|row| row.name == options::current(name))
    }

    pub(crate) fn variant(&self, name: &str) -> Option<&VariantSpec> {
        self.variants.iter().find(|variant| variant.name.get_ref() == name)
    }
}

/// A TOML value as the text that a flag takes: strings without their quotes, lists not at all.
pub(crate) fn flag_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}
