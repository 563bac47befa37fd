//! The values of a run's options, checked against the rows of the options.

use std::time::Duration;

use crate::error::ProbeError;
use crate::option::{OptionRow, Value};

/// The values of a run's options, one for each option of the probe, and the CPUs that the run may use.
#[derive(Debug)]
pub(crate) struct Values {
    options: &'static [OptionRow],
    /// In the order of `options`.
    values: Vec<Value>,
    /// The most important first; empty leaves the process where it is.
    pub(crate) cpus: Vec<usize>,
}

impl Values {
    /// Reads the given values, and the defaults of the options that are not given.
    pub(crate) fn read(
        probe: &'static str,
        options: &'static [OptionRow],
        cpus: &[usize],
        given: &[(String, String)],
    ) -> Result<Self, ProbeError> {
        let is_known = |name: &str| options.iter().any(|option| option.name == name);
        if let Some((name, _)) = given.iter().find(|(name, _)| !is_known(name)) {
            let known: Vec<String> = options.iter().map(|option| format!("--{}", option.name)).collect();
            return Err(ProbeError::UnknownOption {
                probe,
                option: name.clone(),
                known: known.join(", "),
            });
        }
        let values = options.iter().map(|option| {
            let given = given.iter().find(|(name, _)| name == option.name);
            let text = given.map(|(_, text)| text.as_str()).or(option.default);
            let text = text.ok_or_else(|| ProbeError::Missing {
                option: option.name,
                expected: option.kind.expected(),
            })?;
            option.kind.read(text).ok_or_else(|| ProbeError::Value {
                option: option.name,
                value: text.to_owned(),
                expected: option.kind.expected(),
            })
        });
        Ok(Self {
            options,
            values: values.collect::<Result<_, _>>()?,
            cpus: cpus.to_vec(),
        })
    }

    /// What the table `ways` has for the word that the option `name` has.
    ///
    /// # Panics
    /// Like [`count`](Self::count) and [`duration`](Self::duration): if the row has no such option. A test runs every row.
    pub(crate) fn choice<T: Copy>(&self, name: &str, ways: &[(&str, T)]) -> T {
        let Value::Word(word) = self.value(name) else {
            panic!("--{name} is not a word");
        };
        let way = ways.iter().find(|(name, _)| *name == word);
        way.unwrap_or_else(|| panic!("--{name} has the word {word} in its row only"))
            .1
    }

    /// The count that the option `name` has.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let Value::Count(count) = self.value(name) else {
            panic!("--{name} is not a count");
        };
        count
    }

    /// The duration that the option `name` has.
    pub(crate) fn duration(&self, name: &str) -> Duration {
        let Value::Duration(duration) = self.value(name) else {
            panic!("--{name} is not a duration");
        };
        duration
    }

    /// The measured time.
    pub(crate) fn time(&self) -> Duration {
        self.duration("time")
    }

    fn value(&self, name: &str) -> Value {
        let index = self.options.iter().position(|option| option.name == name);
        let index = index.unwrap_or_else(|| panic!("there is no row for --{name}"));
        self.values[index]
    }
}
