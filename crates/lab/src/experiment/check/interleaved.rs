//! What an experiment whose servers run for the whole study cannot ask for.

use toml::Spanned;

use super::{Check, Checker};
use crate::experiment::options::{self, Side};
use crate::measure::{self, Measure};

/// The options of the load that a window has its own value of.
const OF_A_WINDOW: [&str; 2] = ["duration", "warmup"];

impl Checker<'_> {
    /// The windows have their times, and nothing is asked for that a window does not have.
    pub(super) fn interleaved(&self) -> Check {
        let Some(own) = &self.experiment.interleaved else {
            return Ok(());
        };
        let other = own.keys().find(|name| !OF_A_WINDOW.contains(&name.get_ref().as_str()));
        if let Some(name) = other {
            let problem = format!("'{}' is no option of a window", name.get_ref());
            return Err(self.source.error(&name.span(), problem, "write duration and warmup"));
        }
        self.settings(Side::Load, own)?;
        if let Some(missing) = OF_A_WINDOW.into_iter().find(|name| !own.contains_key(*name)) {
            let first = own.first_key_value().map_or(0..0, |(name, _)| name.span());
            let problem = format!("[interleaved] does not say the {missing} of a window");
            return Err(self.source.error(&first, problem, format!("add {missing} = \"100ms\"")));
        }
        self.has_windows()?;
        let experiment = self.experiment;
        let control = experiment.control.iter().map(|control| &control.measure);
        let claims = experiment.claims.iter().map(|claim| &claim.measure);
        let figures = experiment.figures.iter().map(|figure| &figure.y);
        let tables = experiment.tables.iter().flat_map(|table| &table.measures);
        let published = experiment.published.iter().map(|published| &published.measure);
        let measures = control.chain(claims).chain(figures).chain(tables).chain(published);
        measures.into_iter().try_for_each(|name| self.is_of_a_window(name))
    }

    /// A generator with windows has one load, and its times are not varied.
    fn has_windows(&self) -> Check {
        let experiment = self.experiment;
        if let Some((name, _)) = experiment.probe.first_key_value() {
            let problem = "a probe has no windows";
            return Err(self.source.error(&name.span(), problem, "leave out [interleaved]"));
        }
        let varied = experiment
            .axes
            .keys()
            .find(|name| OF_A_WINDOW.contains(&name.get_ref().as_str()));
        let loads = std::iter::once(&experiment.load).chain(experiment.variants.iter().map(|variant| &variant.load));
        let background = loads
            .flat_map(|load| load.keys())
            .chain(experiment.axes.keys())
            .find(|name| options::BACKGROUND.contains(&options::current(name.get_ref())));
        let servers =
            std::iter::once(&experiment.server).chain(experiment.variants.iter().map(|variant| &variant.server));
        let network = servers
            .flat_map(|server| server.keys())
            .chain(experiment.axes.keys())
            .find(|name| options::NETWORK.iter().any(|(setting, _)| name.get_ref() == setting));
        match varied.or(background).or(network) {
            None => Ok(()),
            Some(name) => Err(self.source.error(
                &name.span(),
                format!(
                    "[interleaved] gives every window the same times and network and no background load, and '{}' varies them",
                    name.get_ref()
                ),
                "leave out one of the two",
            )),
        }
    }

    /// What a server counts until it ends, and the memory that it takes, are not of a window.
    fn is_of_a_window(&self, name: &Spanned<String>) -> Check {
        if !measure::find(name.get_ref()).is_some_and(Measure::is_of_the_whole_run) {
            return Ok(());
        }
        let problem = format!(
            "'{}' is read at the end of a server, and [interleaved] has none in a block",
            name.get_ref()
        );
        Err(self.source.error(
            &name.span(),
            problem,
            "leave out [interleaved], or take another measure",
        ))
    }
}
