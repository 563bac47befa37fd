//! From the text of an experiment to a checked [`Experiment`].

use super::check::check;
use super::source::Source;
use super::spec::Experiment;
use crate::error::LabError;

impl Experiment {
    /// Reads and checks an experiment.
    ///
    /// # Errors
    /// The first mistake, with file, line and remedy.
    pub(crate) fn parse(source: &Source) -> Result<Self, LabError> {
        let experiment = Self::read(source)?;
        check(source, &experiment)?;
        Ok(experiment)
    }

    /// Reads an experiment without a check of its names and values.
    ///
    /// # Errors
    /// The first mistake of its syntax, with file, line and remedy.
    pub(crate) fn read(source: &Source) -> Result<Self, LabError> {
        toml::from_str(&source.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let problem = error.message().lines().collect::<Vec<_>>().join(" ");
            source.error(&span, problem, "docs/method.md describes every field of an experiment")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::builtin::BUILT_IN;

    #[test]
    fn every_built_in_experiment_is_read_and_named_as_its_row() {
        for built_in in BUILT_IN {
            let source = Source::find(built_in.name).expect(built_in.name);
            let experiment = Experiment::read(&source).expect(built_in.name);
            // The program's tests check those of probes, whose rows are not known here.
            if !experiment.is_probe() {
                Experiment::parse(&source).expect(built_in.name);
            }
            assert_eq!(experiment.name, built_in.name);
            assert!(!experiment.claims.is_empty(), "{} judges nothing", built_in.name);
            assert!(!experiment.figures.is_empty(), "{} shows nothing", built_in.name);
            assert!(experiment.control.is_some(), "{} has no noise floor", built_in.name);
            assert!(!experiment.advice.is_empty(), "{} advises nothing", built_in.name);
        }
    }
}
