//! What a figure shows, and that it can be read.

use super::*;
use crate::experiment::{BUILT_IN, Experiment, Source, options};
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
fn a_figure_is_whole_svg_with_a_title_a_description_and_a_legend() {
    let figures = drawn(0.4);
    assert_eq!(figures.len(), 1);
    for svg in [&figures[0].wide, &figures[0].narrow] {
        assert!(svg.starts_with("<svg role=\"img\""), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("<title id=\"cpu-wide-title\">CPU</title>") || svg.contains("cpu-narrow-title"));
        assert!(svg.contains("steep: 5 at 10, 40 at 20"), "{svg}");
        assert!(svg.contains(">\nflat\n<") && svg.contains(">\nsteep\n<"));
        assert!(svg.contains("stroke-dasharray"));
        assert!(!svg.contains("(again)"), "the control is drawn");
    }
}

#[test]
fn levels_are_labelled_in_their_unit_and_no_label_runs_into_the_next() {
    let experiment = testing::experiment();
    let panel = |option, levels: &[f64]| Panel {
        spec: &experiment.figures[0],
        measure: measure::find("cpu-percent").expect("it is a measure"),
        x: options::find_any(option).expect("it is an option"),
        title: String::new(),
        series: vec![Series {
            label: "one",
            look: &LOOKS[0],
            points: levels.iter().map(|&level| (level, 1.0, 1.0, 1.0)).collect(),
            invalid: Vec::new(),
        }],
    };
    // Decades apart: each level has its place, and those that have no room have no label.
    let work = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 1e-2];
    let svg = panel("work", &work).draw(WIDE, "work").expect("it draws");
    for label in ["10 µs", "30 µs", "100 µs", "300 µs", "1 ms", "10 ms"] {
        assert!(svg.contains(&format!(">\n{label}\n<")), "{label}: {svg}");
    }
    assert_eq!(panel("work", &work).axis(NARROW.0).ticks, [1e-2, 1e-3, 1e-4, 1e-5]);
    // From 0 otherwise, which has a label where there is room.
    let idle = [250.0, 1000.0, 3000.0, 15000.0];
    assert_eq!(panel("idle", &idle).axis(WIDE.0).ticks, [15000.0, 3000.0, 1000.0, 0.0]);
    assert_eq!(panel("idle", &idle).axis(NARROW.0).ticks, [15000.0, 3000.0, 250.0]);
}

#[test]
fn the_label_of_every_built_in_figure_fits_a_narrow_chart() {
    for built_in in BUILT_IN {
        let experiment = Experiment::read(&Source::find(built_in.name).expect("built in")).expect("it is read");
        for spec in &experiment.figures {
            // Those of probes are not known here.
            let Some(measure) = measure::find(spec.y.get_ref()) else {
                continue;
            };
            let panel = Panel {
                spec,
                measure,
                x: options::find_any(spec.x.get_ref()).expect("it was checked"),
                title: String::new(),
                series: Vec::new(),
            };
            // With four rows of legend.
            let height = NARROW.1 - 4 * LEGEND_ROW - 6;
            let letters = measure.label_with_unit().chars().count() as f64;
            let length = DESCRIPTION_LETTER * letters * panel.description_size(height);
            assert!(
                length <= f64::from(height - X_LABELS_HEIGHT),
                "{}: '{}'",
                built_in.name,
                measure.label_with_unit()
            );
        }
    }
}

#[test]
fn lines_that_change_places_are_named() {
    assert_eq!(
        drawn(0.4)[0].crossovers,
        ["flat passes below steep between 10 and 20 idle connections"]
    );
    assert!(drawn(0.06)[0].crossovers.is_empty());
}
