//! What a figure shows.

use super::*;
use crate::experiment::{BUILT_IN, Experiment, Source};
use crate::plan::Choices;
use crate::testing;

fn drawn(steep_last: f64) -> Vec<Figure> {
    let plan = Plan::resolve(&testing::experiment(), &Choices::default(), Some(1000.0)).expect("it resolves");
    let mut records = Vec::new();
    for cell in &plan.cells {
        let share = match (cell.variant, cell.levels[0]) {
            (1, 0) => 0.05,
            (1, _) => steep_last,
            _ => 0.1,
        };
        records.extend((0..3).map(|block| testing::record(&cell.id, block, share)));
    }
    draw_all(&plan, &records).expect("it draws")
}

#[test]
fn a_figure_has_a_line_for_each_variant_and_none_for_the_control() {
    let figures = drawn(0.4);
    assert_eq!(figures.len(), 1);
    assert_eq!(figures[0].title, "CPU");
    assert_eq!(
        figures[0].crossovers,
        ["flat passes below steep between 10 and 20 idle connections"]
    );
    for (svg, id) in [(&figures[0].wide, "cpu-wide"), (&figures[0].narrow, "cpu-narrow")] {
        assert!(svg.contains(&format!("<title id=\"{id}-title\">CPU</title>")), "{svg}");
        assert!(svg.contains("steep: 5 at 10, 40 at 20"), "{svg}");
        assert!(!svg.contains("(again)"), "the control is drawn");
    }
}

#[test]
fn lines_that_do_not_change_places_are_not_named() {
    assert!(drawn(0.06)[0].crossovers.is_empty());
}

#[test]
fn the_label_of_every_built_in_figure_fits_a_narrow_chart() {
    for built_in in BUILT_IN {
        let experiment = Experiment::read(&Source::find(built_in.name).expect("built in")).expect("it is read");
        // The measures of probes are not known here.
        let known = experiment.figures.iter();
        for measure in known.filter_map(|figure| measure::find(figure.y.get_ref())) {
            let label = measure.label_with_unit();
            assert!(
                label.chars().count() <= c10k_chart::Y_LABEL_MAX,
                "{}: '{label}'",
                built_in.name
            );
        }
    }
}
