//! What a chart shows, and that it can be read.

use super::*;
use crate::{Point, X};

fn chart<'a>(x: X<'a>, series: Vec<Series>) -> Chart<'a> {
    Chart {
        title: "CPU <all>".to_owned(),
        x,
        y: "CPU used by the server, %".to_owned(),
        scale: Scale::Linear,
        series,
    }
}

fn line(label: &str, look: usize, places: &[f64]) -> Series {
    Series {
        label: label.to_owned(),
        look,
        points: places.iter().map(|&place| Point::exact(place, 5.0)).collect(),
        crosses: Vec::new(),
    }
}

fn levels(text: fn(f64) -> String, levels: &[f64]) -> Chart<'static> {
    chart(X::levels("connections", text), vec![line("one", 0, levels)])
}

#[test]
fn a_chart_is_whole_svg_with_a_title_a_description_and_a_legend() {
    let x = X::levels("connections", |level| format!("{level}"));
    let chart = chart(x, vec![line("flat", 0, &[10.0, 20.0]), line("steep", 1, &[10.0, 20.0])]);
    for (size, id) in [(Size::Wide, "cpu-wide"), (Size::Narrow, "cpu-narrow")] {
        let svg = chart.draw(size, id).expect("it draws");
        assert!(svg.starts_with("<svg role=\"img\""), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"));
        assert!(
            svg.contains(&format!("<title id=\"{id}-title\">CPU &lt;all&gt;</title>")),
            "{svg}"
        );
        assert!(svg.contains("steep: 5 at 10, 5 at 20"), "{svg}");
        assert!(svg.contains(">\nflat\n<") && svg.contains(">\nsteep\n<"));
        assert!(svg.contains("stroke-dasharray"));
    }
}

#[test]
fn no_label_runs_into_the_next() {
    // Decades apart: each level has its place, and those that have no room have no label.
    let work = levels(
        |level| format!("{} µs", level * 1e6),
        &[1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 1e-2],
    );
    let svg = work.draw(Size::Wide, "work").expect("it draws");
    for label in ["10 µs", "30 µs", "100 µs", "300 µs", "1000 µs", "10000 µs"] {
        assert!(svg.contains(&format!(">\n{label}\n<")), "{label}: {svg}");
    }
    let (wide, narrow) = (Size::Wide.pixels().0, Size::Narrow.pixels().0);
    assert_eq!(work.axis(narrow).ticks, [1e-2, 1e-3, 1e-4, 1e-5]);
    // From 0 otherwise, which has a label where there is room.
    let idle = levels(thousands, &[250.0, 1000.0, 3000.0, 15000.0]);
    assert_eq!(idle.axis(wide).ticks, [15000.0, 3000.0, 1000.0, 0.0]);
    assert_eq!(idle.axis(narrow).ticks, [15000.0, 3000.0, 250.0]);
}

#[test]
fn names_stand_at_equal_distances() {
    let names = chart(
        X::names("kernel", ["6.1", "6.12", "7.3"]),
        vec![line("epoll", 2, &[0.0, 1.0, 2.0])],
    );
    let svg = names.draw(Size::Narrow, "kernels").expect("it draws");
    for label in ["6.1", "6.12", "7.3"] {
        assert!(svg.contains(&format!(">\n{label}\n<")), "{label}: {svg}");
    }
    assert!(svg.contains("over kernel. epoll: 5 at 6.1, 5 at 7.3."), "{svg}");
}

#[test]
fn the_longest_y_label_fits_a_narrow_chart() {
    let height = Size::Narrow.pixels().1 - 4 * LEGEND_ROW - 6;
    let chart = Chart {
        y: "x".repeat(Y_LABEL_MAX),
        ..levels(thousands, &[1.0])
    };
    let length = DESCRIPTION_LETTER * Y_LABEL_MAX as f64 * chart.description_size(height);
    assert!(length <= f64::from(height - X_LABELS_HEIGHT), "{length}");
}

#[test]
fn a_value_that_is_not_finite_is_refused() {
    let error = levels(thousands, &[f64::NAN])
        .draw(Size::Wide, "x")
        .expect_err("refused");
    assert!(error.to_string().contains("'CPU <all>'"), "{error}");
}

#[test]
fn a_chart_of_changes_has_room_for_negative_values_and_for_zero() {
    let range = |values: &[f64]| {
        let points = values.iter().map(|&value| Point::exact(0.0, value));
        let series = Series {
            points: points.collect(),
            ..line("one", 0, &[])
        };
        let range = chart(X::names("kernel", ["a"]), vec![series]).with_zero();
        (range.start.round(), range.end.round())
    };
    assert_eq!(range(&[-100.0, -50.0]), (-108.0, 8.0));
    assert_eq!(range(&[50.0, 100.0]), (-8.0, 108.0));
    assert_eq!(range(&[0.0]), (-1.0, 1.0));
}

#[test]
fn a_series_of_crosses_has_no_line_in_the_legend() {
    let mut published = line("published", 1, &[]);
    published.crosses = vec![(10.0, 4.0)];
    let x = X::levels("connections", |level| format!("{level}"));
    let svg = chart(x, vec![line("own", 0, &[10.0, 20.0]), published])
        .draw(Size::Wide, "cpu")
        .expect("it draws");
    assert!(svg.contains(">\npublished\n<"), "{svg}");
    let RGBColor(red, green, blue) = look::of(1).colour;
    assert!(!svg.contains(&format!("#{red:02X}{green:02X}{blue:02X}")), "{svg}");
}
