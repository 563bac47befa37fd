//! The options of probes: what each is called, and which values it takes.

use std::path::PathBuf;
use std::time::Duration;

use c10k_record::{OptionKind, ProbeOption};
use c10k_units::duration;

/// An option of a probe: a flag of `c10k probe`, and a key of `[probe]` in an experiment.
#[derive(Debug)]
pub struct OptionRow {
    /// Its name, without the dashes.
    pub name: &'static str,
    /// One line for the help text.
    pub summary: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Its value where none is given; `None` if one must be given.
    pub default: Option<&'static str>,
    /// Its label where it is the axis of a figure.
    pub label: &'static str,
    /// Time that a unit of its value takes to set up and to clean up, microseconds. For expected durations only.
    pub setup_us: u64,
}

/// What the values of an option are.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number from the first to the second.
    Count(u64, u64),
    /// A duration, as [`c10k_units::duration`] reads it.
    Duration,
    /// A directory that exists.
    Directory,
}

/// A value that fits its option.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Word(&'static str),
    Count(u64),
    Duration(Duration),
    Directory(PathBuf),
}

/// The measured time: every probe has this option.
pub(crate) const TIME: OptionRow = OptionRow {
    name: "time",
    summary: "Measured time",
    kind: Kind::Duration,
    default: Some("300ms"),
    label: "measured time",
    setup_us: 0,
};

impl OptionRow {
    /// The option `--by`, which chooses among the ways that a probe measures.
    pub(crate) const fn by(ways: &'static [&'static str], summary: &'static str) -> Self {
        Self {
            name: "by",
            summary,
            kind: Kind::Word(ways),
            default: None,
            label: "by",
            setup_us: 0,
        }
    }

    pub(crate) fn row(&self) -> ProbeOption {
        let (kind, values, least, most) = match self.kind {
            Kind::Word(words) => (OptionKind::Word, words, None, None),
            Kind::Count(least, most) => (OptionKind::Count, &[][..], Some(least), Some(most)),
            Kind::Duration => (OptionKind::Duration, &[][..], None, None),
            Kind::Directory => (OptionKind::Directory, &[][..], None, None),
        };
        ProbeOption {
            name: self.name.to_owned(),
            summary: self.summary.to_owned(),
            kind,
            values: values.iter().map(|&word| word.to_owned()).collect(),
            least,
            most,
            default: self.default.map(str::to_owned),
            label: self.label.to_owned(),
            setup_us: self.setup_us,
        }
    }
}

impl Kind {
    /// What a value must be, as the end of a sentence.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Word(words) => match words {
                [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
                _ => words.concat(),
            },
            Self::Count(least, most) => format!("a whole number from {least} to {most}"),
            Self::Duration => "a duration such as 300ms".to_owned(),
            Self::Directory => "a directory that exists".to_owned(),
        }
    }

    /// The value that `text` is, if it fits.
    pub(crate) fn read(self, text: &str) -> Option<Value> {
        match self {
            Self::Word(words) => words.iter().find(|word| **word == text).map(|word| Value::Word(word)),
            Self::Count(least, most) => {
                let count = text.parse().ok();
                count.filter(|count| (least..=most).contains(count)).map(Value::Count)
            }
            Self::Duration => duration::parse(text).ok().map(Value::Duration),
            Self::Directory => Some(PathBuf::from(text))
                .filter(|path| path.is_dir())
                .map(Value::Directory),
        }
    }
}

/// The names of a table of ways, for [`OptionRow::by`].
pub(crate) const fn names<T, const N: usize>(ways: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut index = 0;
    while index < N {
        names[index] = ways[index].0;
        index += 1;
    }
    names
}
