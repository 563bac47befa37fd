//! A chart in words: what a screen reader says, and where lines change places.

use c10k_units::display::significant;

use crate::{Chart, Point, Series};

impl Chart<'_> {
    /// The ends of every line in words.
    pub(crate) fn description(&self) -> String {
        let lines = self.series.iter().filter_map(|series| {
            let (first, last) = (series.points.first()?, series.points.last()?);
            let end = |point: &Point| format!("{} at {}", significant(point.middle), self.x.text(point.x));
            Some(format!("{}: {}, {}", series.label, end(first), end(last)))
        });
        let lines: Vec<String> = lines.collect();
        format!("{} over {}. {}.", self.y, self.x.label, lines.join("; "))
    }

    /// Pairs of lines that change places between two neighbouring points, by more than their error bars: a sentence for each.
    #[must_use]
    pub fn crossovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (index, one) in self.series.iter().enumerate() {
            for two in &self.series[index + 1..] {
                self.add_crossovers(one, two, &mut found);
            }
        }
        found
    }

    fn add_crossovers(&self, one: &Series, two: &Series, found: &mut Vec<String>) {
        let same_place = |a: &Point| two.points.iter().find(|b| (b.x - a.x).abs() < f64::EPSILON);
        let mut before: Option<(bool, f64)> = None;
        for (a, b) in one.points.iter().filter_map(|a| Some((a, same_place(a)?))) {
            let is_one_below = a.high < b.low;
            if !is_one_below && b.high >= a.low {
                continue;
            }
            if let Some((was_one_below, x)) = before
                && was_one_below != is_one_below
            {
                let (low, high) = if is_one_below { (one, two) } else { (two, one) };
                found.push(format!(
                    "{} passes below {} between {} and {} {}",
                    low.label,
                    high.label,
                    self.x.text(x),
                    self.x.text(a.x),
                    self.x.label
                ));
            }
            before = Some((is_one_below, a.x));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Chart, Point, Scale, Series, X};

    fn chart(last: f64) -> Chart<'static> {
        let series = |label: &str, look, values: [f64; 2]| Series {
            label: label.to_owned(),
            look,
            points: vec![Point::exact(10.0, values[0]), Point::exact(20.0, values[1])],
            crosses: Vec::new(),
        };
        Chart {
            title: "CPU".to_owned(),
            x: X::levels("idle connections", |level| format!("{level}")),
            y: "CPU used, %".to_owned(),
            scale: Scale::Linear,
            series: vec![series("flat", 0, [10.0, 10.0]), series("steep", 1, [5.0, last])],
        }
    }

    #[test]
    fn lines_that_change_places_are_named() {
        let found = chart(40.0).crossovers();
        assert_eq!(found, ["flat passes below steep between 10 and 20 idle connections"]);
        assert_eq!(chart(6.0).crossovers(), [""; 0]);
    }

    #[test]
    fn error_bars_that_overlap_are_no_change_of_places() {
        let mut chart = chart(40.0);
        chart.series[1].points[1].low = 9.0;
        assert_eq!(chart.crossovers(), [""; 0]);
    }

    #[test]
    fn the_description_has_the_ends_of_each_line() {
        assert_eq!(
            chart(40.0).description(),
            "CPU used, % over idle connections. flat: 10 at 10, 10 at 20; steep: 5 at 10, 40 at 20."
        );
    }
}
