//! What the types of an experiment cannot say: names that must exist, values that must fit, tests that can be decided.

mod amounts;
mod exact;
mod interleaved;
mod mix;
mod overload;

use std::collections::BTreeSet;

use c10k_record::OptionKind;
use toml::Spanned;

use super::authority::Authority;
use super::options::{self, OptionRow, Side};
use super::source::Source;
use super::spec::{AdviceSpec, ClaimSpec, Experiment, LevelFilter, Settings, TableSpec, flag_text};
use super::value::{Kind, Value};
use crate::error::LabError;
use crate::measure::{self, Measure};
use crate::{rows, statistic};

/// Keys of `[server]` that are not options of `c10k serve`: they replace it.
const EXTERNAL: &[&str] = &["command", "url"];

type Check = Result<(), LabError>;

/// Looks at everything and returns the first mistake.
pub(super) fn check(source: &Source, experiment: &Experiment) -> Check {
    let checker = Checker { source, experiment };
    checker.amounts()?;
    checker.settings(Side::Server, &experiment.server)?;
    checker.settings(Side::Load, &experiment.load)?;
    checker.settings(Side::Probe, &experiment.probe)?;
    checker.subject()?;
    checker.variants()?;
    checker.axes()?;
    checker.cells()?;
    checker.mix()?;
    checker.saturation()?;
    checker.interleaved()?;
    checker.overload()?;
    if let Some(control) = &experiment.control {
        checker.variant(&control.variant)?;
        checker.measure(&control.measure)?;
        checker.filter(&control.filter)?;
    }
    for claim in &experiment.claims {
        checker.claim(claim)?;
    }
    checker.covariate()?;
    experiment.advice.iter().try_for_each(|advice| checker.advice(advice))?;
    for figure in &experiment.figures {
        checker.axis(&figure.x)?;
        checker.measure(&figure.y)?;
        figure.variants.iter().try_for_each(|name| checker.variant(name))?;
    }
    experiment.tables.iter().try_for_each(|table| checker.table(table))?;
    for published in &experiment.published {
        checker.measure(&published.measure)?;
        checker.variant(&published.variant)?;
        checker.filter(&published.filter)?;
    }
    Ok(())
}

struct Checker<'a> {
    source: &'a Source,
    experiment: &'a Experiment,
}

impl Checker<'_> {
    /// A covariate is for ratios, and there is one.
    fn covariate(&self) -> Check {
        let Some(covariate) = &self.experiment.covariate else {
            return Ok(());
        };
        let mut claims = self.experiment.claims.iter();
        if claims.any(|claim| *claim.measure.get_ref() == measure::ADJUSTED && *claim.statistic.get_ref() == "ratio") {
            return Ok(());
        }
        Err(self.source.error(
            &covariate.span(),
            format!("no claim is a ratio of {}, which alone is adjusted", measure::ADJUSTED),
            "leave out covariate",
        ))
    }

    fn settings(&self, side: Side, settings: &Settings) -> Check {
        for (name, value) in settings {
            if side == Side::Server && EXTERNAL.contains(&name.get_ref().as_str()) {
                self.external(name, value)?;
                continue;
            }
            let row = options::find(side, name.get_ref()).ok_or_else(|| {
                self.source.error(
                    &name.span(),
                    format!("unknown option '{}'", name.get_ref()),
                    format!("known here: {}", options::names(side)),
                )
            })?;
            let text = self.text(value)?;
            if row.kind != Kind::Word && !row.words.contain(&text) {
                self.number(row, value)?;
            }
        }
        Ok(())
    }

    /// A server and its load, or a probe: not both, and not neither.
    fn subject(&self) -> Check {
        let Experiment {
            server,
            load,
            probe,
            variants,
            ..
        } = self.experiment;
        if probe.is_empty() {
            let probed = variants.iter().find_map(|variant| variant.probe.first_key_value());
            return match (probed, load.is_empty()) {
                (Some((name, _)), _) => Err(self.source.error(
                    &name.span(),
                    "a variant of a probe where there is none",
                    "name it: [probe] with name = \"…\"",
                )),
                (None, true) => Err(self.source.error(
                    &(0..0),
                    "nothing says what runs",
                    "add [load] for a server, or [probe] with a name",
                )),
                (None, false) => Ok(()),
            };
        }
        let sides = variants.iter().flat_map(|variant| [&variant.server, &variant.load]);
        let served = sides.chain([server, load]).find_map(|side| side.first_key_value());
        if let Some((name, _)) = served {
            return Err(self.source.error(
                &name.span(),
                format!(
                    "'{}' is an option of a server or of its load, and the study has a probe",
                    name.get_ref()
                ),
                "a study has either [server] and [load], or [probe]",
            ));
        }
        variants.iter().try_for_each(|variant| self.probed(&variant.probe))
    }

    /// The probe of a variant exists and takes the options that it gets.
    fn probed(&self, own: &Settings) -> Check {
        let common = &self.experiment.probe;
        let Some((key, value)) = own.get_key_value("name").or_else(|| common.get_key_value("name")) else {
            let first = common.first_key_value().map_or(0..0, |(name, _)| name.span());
            let remedy = format!("add name = \"…\": {}", rows::probe_names());
            return Err(self.source.error(&first, "[probe] has no name", remedy));
        };
        let Some(row) = value.get_ref().as_str().and_then(rows::probe) else {
            return Err(self.source.error(
                &key.span(),
                format!("no probe is called {}", value.get_ref()),
                format!("there are: {}", rows::probe_names()),
            ));
        };
        for (name, level) in self
            .experiment
            .axes
            .iter()
            .flat_map(|(name, levels)| levels.iter().map(move |level| (name, level)))
        {
            self.probe_count(&row.name, name.get_ref(), level)?;
        }
        let settings = common.iter().chain(own).map(|(name, value)| (name, Some(value)));
        let axes = self.experiment.axes.keys().map(|name| (name, None));
        for (name, value) in settings.chain(axes).filter(|(name, _)| name.get_ref() != "name") {
            let Some(option) = row.options.iter().find(|option| option.name == *name.get_ref()) else {
                let known: Vec<&str> = row.options.iter().map(|option| option.name.as_str()).collect();
                return Err(self.source.error(
                    &name.span(),
                    format!("the probe {} has no option '{}'", row.name, name.get_ref()),
                    format!("it has: {}", known.join(", ")),
                ));
            };
            if let Some(value) = value {
                self.probe_count(&row.name, &option.name, value)?;
            }
            let word = value.and_then(|value| value.get_ref().as_str());
            if option.kind == OptionKind::Word && !option.values.iter().any(|known| Some(known.as_str()) == word) {
                return Err(self.source.error(
                    &name.span(),
                    format!("'{}' of the probe {} has another value", option.name, row.name),
                    format!("it is one of: {}", option.values.join(", ")),
                ));
            }
        }
        Ok(())
    }

    fn external(&self, name: &Spanned<String>, value: &Spanned<toml::Value>) -> Check {
        let right = match name.get_ref().as_str() {
            "url" => value
                .get_ref()
                .as_str()
                .is_some_and(|url| Authority::of_url(url).is_some()),
            _ => value
                .get_ref()
                .as_array()
                .is_some_and(|words| !words.is_empty() && words.iter().all(toml::Value::is_str)),
        };
        if right {
            return Ok(());
        }
        Err(self.source.error(
            &value.span(),
            format!("'{}' is not of the right form", name.get_ref()),
            "write command = [\"program\", \"argument\"] and url = \"http://127.0.0.1:8080\"; the path is an option of [load]",
        ))
    }

    fn text(&self, value: &Spanned<toml::Value>) -> Result<String, LabError> {
        flag_text(value.get_ref()).ok_or_else(|| {
            self.source.error(
                &value.span(),
                format!("a {} is no value of an option", value.get_ref().type_str()),
                "write a number or a string",
            )
        })
    }

    fn number(&self, row: &OptionRow, value: &Spanned<toml::Value>) -> Check {
        let text = self.text(value)?;
        let number = Value::parse(row.kind, &text).map_err(|problem| {
            self.source
                .error(&value.span(), problem, "write one, in quotes if it has a unit")
        })?;
        if matches!(number, Value::OfSaturation(_)) && self.experiment.saturation.is_none() {
            return Err(self.source.error(
                &value.span(),
                format!("'{text}' is a fraction of a saturation that nothing measures"),
                "add [saturation] with the variant to be driven to its limit",
            ));
        }
        self.in_range(row, number, value)
    }

    fn variants(&self) -> Check {
        let mut seen = BTreeSet::new();
        for variant in &self.experiment.variants {
            self.settings(Side::Server, &variant.server)?;
            self.settings(Side::Load, &variant.load)?;
            self.settings(Side::Probe, &variant.probe)?;
            let name = variant.name.get_ref();
            if !seen.insert(name) {
                return Err(self.source.error(
                    &variant.name.span(),
                    format!("two variants are called '{name}'"),
                    "give each its own name",
                ));
            }
            let external = |key: &str| {
                [&variant.server, &self.experiment.server]
                    .iter()
                    .any(|settings| settings.contains_key(key))
            };
            if external("command") != external("url") {
                return Err(self.source.error(
                    &variant.name.span(),
                    format!("variant '{name}' has only one of 'command' and 'url'"),
                    "an outside server needs both: how it is started, and where it answers",
                ));
            }
        }
        if self.experiment.variants.is_empty() {
            return Err(self
                .source
                .error(&(0..0), "there is no variant", "add [[variant]] with a name"));
        }
        Ok(())
    }

    fn axes(&self) -> Check {
        for (name, levels) in &self.experiment.axes {
            let row = self.experiment.axis_option(name.get_ref()).ok_or_else(|| {
                let known: Vec<&str> = self.experiment.axis_options().map(|row| row.name).collect();
                self.source.error(
                    &name.span(),
                    format!("unknown axis '{}'", name.get_ref()),
                    format!("axes are: {}", known.join(", ")),
                )
            })?;
            if levels.is_empty() {
                return Err(self
                    .source
                    .error(&name.span(), "an axis without levels", "list at least one"));
            }
            for level in levels {
                self.number(row, level)?;
            }
            let fixed = [&self.experiment.server, &self.experiment.load, &self.experiment.probe]
                .iter()
                .any(|settings| settings.contains_key(name));
            if fixed {
                return Err(self.source.error(
                    &name.span(),
                    format!("'{}' is an axis and a fixed condition", name.get_ref()),
                    "leave it out of [server], [load] and [probe]",
                ));
            }
        }
        Ok(())
    }

    fn saturation(&self) -> Check {
        let Some(saturation) = &self.experiment.saturation else {
            return Ok(());
        };
        self.variant(&saturation.variant)?;
        if self.experiment.is_probe() {
            return Err(self.source.error(
                &saturation.variant.span(),
                "a probe has no saturation",
                "leave out [saturation]",
            ));
        }
        self.settings(Side::Load, &saturation.load)
    }

    fn claim(&self, claim: &ClaimSpec) -> Check {
        let statistic = statistic::find(claim.statistic.get_ref()).ok_or_else(|| {
            self.source.error(
                &claim.statistic.span(),
                format!("unknown statistic '{}'", claim.statistic.get_ref()),
                format!("known: {}", statistic::names()),
            )
        })?;
        self.measure(&claim.measure)?;
        self.counted(&claim.measure)?;
        claim.variants.iter().try_for_each(|name| self.variant(name))?;
        claim.against.iter().try_for_each(|name| self.variant(name))?;
        claim.along.iter().try_for_each(|name| self.axis(name))?;
        self.filter(&claim.filter)?;
        let impossible = |problem: &str, remedy: &str| Err(self.source.error(&claim.id.span(), problem, remedy));
        if claim.variants.is_empty() {
            return impossible("a claim about no variant", "list some in 'variants'");
        }
        if statistic.needs_axis && claim.along.is_none() {
            return impossible("this statistic runs along an axis", "name it in 'along'");
        }
        if statistic.needs_other && claim.against.is_none() {
            return impossible("this statistic compares", "name the other variant in 'against'");
        }
        self.bounds(claim)?;
        self.exact(claim, statistic)
    }

    fn advice(&self, advice: &AdviceSpec) -> Check {
        let claims: Vec<&str> = self
            .experiment
            .claims
            .iter()
            .map(|claim| claim.id.get_ref().as_str())
            .collect();
        let named = || advice.confirmed.iter().chain(&advice.refuted);
        if named().next().is_none() {
            return Err(self.source.error(
                &advice.when.span(),
                "advice that rests on no claim",
                "name claims in 'confirmed' or 'refuted'",
            ));
        }
        match named().find(|id| !claims.contains(&id.get_ref().as_str())) {
            None => Ok(()),
            Some(unknown) => Err(self.source.error(
                &unknown.span(),
                format!("no claim is called '{}'", unknown.get_ref()),
                format!("there are: {}", claims.join(", ")),
            )),
        }
    }

    fn table(&self, table: &TableSpec) -> Check {
        self.variant(&table.variant)?;
        self.axis(&table.rows)?;
        self.axis(&table.columns)?;
        table.measures.iter().try_for_each(|name| self.measure(name))?;
        let levels = |axis: &Spanned<String>| self.experiment.axes.get(axis).map_or(0, Vec::len);
        if table.heads.len() != table.measures.len() {
            return Err(self.source.error(
                &table.id.span(),
                format!("{} measures and {} heads", table.measures.len(), table.heads.len()),
                "give each measure its head",
            ));
        }
        if table.published.len() != levels(&table.rows) {
            return Err(self.source.error(
                &table.id.span(),
                format!(
                    "{} published rows for {} levels",
                    table.published.len(),
                    levels(&table.rows)
                ),
                "give each level of the rows its published row",
            ));
        }
        let width = 1 + levels(&table.columns) * table.measures.len();
        match table.published.iter().find(|row| row.get_ref().len() != width) {
            Some(row) => Err(self.source.error(
                &row.span(),
                format!(
                    "a published row of {} fields where {width} are due",
                    row.get_ref().len()
                ),
                "write its label, then a number for each measure at each level of the columns",
            )),
            None => Ok(()),
        }
    }

    fn filter(&self, filter: &LevelFilter) -> Check {
        for (name, wanted) in filter {
            self.axis(name)?;
            let text = self.text(wanted)?;
            let levels = &self.experiment.axes[name];
            if !levels
                .iter()
                .any(|level| flag_text(level.get_ref()).as_ref() == Some(&text))
            {
                return Err(self.source.error(
                    &wanted.span(),
                    format!("'{text}' is no level of '{}'", name.get_ref()),
                    "write a level as it stands in [axes]",
                ));
            }
        }
        Ok(())
    }

    fn variant(&self, name: &Spanned<String>) -> Check {
        if self.experiment.variant(name.get_ref()).is_some() {
            return Ok(());
        }
        let known: Vec<&str> = self
            .experiment
            .variants
            .iter()
            .map(|variant| variant.name.get_ref().as_str())
            .collect();
        Err(self.source.error(
            &name.span(),
            format!("no variant is called '{}'", name.get_ref()),
            format!("there are: {}", known.join(", ")),
        ))
    }

    fn axis(&self, name: &Spanned<String>) -> Check {
        if self.experiment.axes.contains_key(name) {
            return Ok(());
        }
        Err(self.source.error(
            &name.span(),
            format!("'{}' is no axis of this experiment", name.get_ref()),
            "add it to [axes], or name one that is there",
        ))
    }

    /// One pass gives no interval.
    fn counted(&self, name: &Spanned<String>) -> Check {
        if !measure::find(name.get_ref()).is_some_and(Measure::is_per_pass)
            || *self.experiment.call_passes.get_ref() >= 2
        {
            return Ok(());
        }
        let problem = format!("a claim about '{}' needs two counting passes at least", name.get_ref());
        Err(self
            .source
            .error(&name.span(), problem, "write call-passes = 3 at the top"))
    }

    fn measure(&self, name: &Spanned<String>) -> Check {
        if measure::find(name.get_ref()).is_some() {
            return Ok(());
        }
        Err(self.source.error(
            &name.span(),
            format!("unknown measure '{}'", name.get_ref()),
            format!("known: {}", measure::names()),
        ))
    }
}

#[cfg(test)]
mod tests;
