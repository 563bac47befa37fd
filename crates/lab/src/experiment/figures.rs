//! Studies by the figures of their source that they draw.

use super::builtin::BUILT_IN;
use super::source::Source;
use super::spec::Experiment;
use crate::LabError;

/// The built-in study or the file called `name`, or the built-in study that draws the figure of this name: `figure-7` and
/// `figure-7a` are both `figure-7a-reply-rate`.
pub(crate) fn study_of(name: &str) -> Result<Source, LabError> {
    let drawn = || BUILT_IN.iter().find(|study| draws(study.name, name));
    match name.starts_with("figure-").then(drawn).flatten() {
        Some(study) => Source::find(study.name),
        None => Source::find(name),
    }
}

fn draws(study: &str, figure: &str) -> bool {
    let experiment = Source::find(study).and_then(|source| Experiment::read(&source));
    experiment.is_ok_and(|experiment| {
        let mut ids = experiment.figures.iter().map(|figure| figure.id.get_ref());
        ids.any(|id| {
            let rest = id.strip_prefix(figure);
            rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_of_the_paper_names_the_study_that_draws_it() {
        let file = |name: &str| study_of(name).expect("it is drawn").file;
        assert!(file("figure-4").contains("idle-connections"));
        assert!(file("figure-7").contains("throughput-6000-idle-1b"));
        assert!(file("figure-9c").contains("throughput-6000-idle-6k"));
        assert!(file("quick").contains("quick"));
    }

    #[test]
    fn a_figure_that_no_study_draws_is_refused() {
        assert!(study_of("figure-1").is_err() && study_of("figure-70").is_err());
    }
}
