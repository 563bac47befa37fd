//! What an overload needs: a rate before and after it, and a measured time of its own.

use toml::Spanned;

use super::{Check, Checker};
use crate::experiment::{VariantSpec, flag_text, options};

impl Checker<'_> {
    /// An overload interrupts a load that has a rate and an end.
    pub(super) fn overload(&self) -> Check {
        let experiment = self.experiment;
        let names = |settings: &'static str| move |name: &&Spanned<String>| name.get_ref() == settings;
        let common = experiment.load.keys().chain(experiment.axes.keys());
        let own = experiment.variants.iter().flat_map(|variant| variant.load.keys());
        let Some(overload) = common.chain(own).find(names(options::OVERLOAD)) else {
            return Ok(());
        };
        let refuse = |problem: String, remedy: &str| Err(self.source.error(&overload.span(), problem, remedy));
        for needed in ["rate", "duration"] {
            let is_varied = experiment.axes.keys().any(|name| name.get_ref() == needed);
            let has = |variant: &VariantSpec| {
                let value = variant.load.get(needed).or_else(|| experiment.load.get(needed));
                value.is_some_and(|value| flag_text(value.get_ref()).as_deref() != Some("max"))
            };
            if !is_varied && !experiment.variants.iter().all(has) {
                return refuse(
                    format!("'{}' without a {needed} of the load around it", options::OVERLOAD),
                    "add rate = \"50%\" and duration = \"2s\" to [load]; the rate is not \"max\"",
                );
            }
        }
        if experiment.interleaved.is_some() {
            return refuse(
                format!("[interleaved] has no '{}'", options::OVERLOAD),
                "leave out one of the two",
            );
        }
        Ok(())
    }
}
