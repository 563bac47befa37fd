//! A mix of requests: the other request and its share go together, and its measures need it.

use toml::Spanned;

use super::{Check, Checker};
use crate::experiment::options;
use crate::experiment::spec::Settings;
use crate::measure;

impl Checker<'_> {
    /// The path of the other request and its share are both given, fixed or by each variant, or neither is.
    pub(super) fn mix(&self) -> Check {
        let experiment = self.experiment;
        let [path, share] = options::OTHER;
        let axis = experiment.axes.keys().find(|name| name.get_ref() == share);
        for variant in &experiment.variants {
            let given = |name: &str| {
                let find = |settings: &Settings| settings.keys().find(|key| key.get_ref() == name).cloned();
                find(&variant.load).or_else(|| find(&experiment.load))
            };
            let share_of = given(share).or_else(|| axis.cloned());
            let (alone, missing) = match (given(path), share_of) {
                (Some(alone), None) => (alone, share),
                (None, Some(alone)) => (alone, path),
                (Some(_), Some(_)) | (None, None) => continue,
            };
            let name = variant.name.get_ref();
            return Err(self.source.error(
                &alone.span(),
                format!("'{}' without '{missing}' in variant '{name}'", alone.get_ref()),
                format!("a mix of two requests needs both: add {missing}"),
            ));
        }
        let mixed = |settings: &Settings| settings.keys().any(|key| key.get_ref() == path);
        if mixed(&experiment.load) || experiment.variants.iter().any(|variant| mixed(&variant.load)) {
            return Ok(());
        }
        match self
            .measures_named()
            .find(|name| measure::find(name.get_ref()).is_some_and(measure::Measure::is_of_a_row))
        {
            None => Ok(()),
            Some(name) => Err(self.source.error(
                &name.span(),
                format!(
                    "'{}' is of one of two requests, and there is one request",
                    name.get_ref()
                ),
                format!("add {path} and {share} to [load]"),
            )),
        }
    }

    /// The measures of the claims, of the control and of the figures.
    fn measures_named(&self) -> impl Iterator<Item = &Spanned<String>> {
        let experiment = self.experiment;
        let claims = experiment.claims.iter().map(|claim| &claim.measure);
        let control = experiment.control.iter().map(|control| &control.measure);
        let figures = experiment.figures.iter().map(|figure| &figure.y);
        claims.chain(control).chain(figures)
    }
}
