//! The report: one self-contained page, the figures and tables as files, and the summary for a terminal.

mod answer;
mod axis;
mod crosstab;
mod figure;
mod page;
mod tables;
pub(crate) mod terminal;

use std::fmt::Write as _;

use crate::judge::significant;
use crate::run::{Ran, folder};
use crate::{LabError, Outcome};

pub(crate) use answer::answer;
pub(crate) use crosstab::tables;
pub(crate) use page::STYLE;

/// Writes `report.html`, one `*.csv` per table and one `*.svg` per figure into the study's folder.
pub(crate) fn write(ran: &Ran, outcome: &Outcome) -> Result<(), LabError> {
    let figures = figure::draw_all(&ran.plan, &ran.records)?;
    for figure in &figures {
        let name = format!("{}.svg", figure.file);
        folder::write_whole(&ran.folder.join(name), figure.wide.as_bytes())?;
    }
    let cells = tables::cells(&ran.plan, &ran.records);
    let proof = tables::proof(&ran.plan, &ran.records);
    for (name, text) in [
        ("cells.csv", tables::csv(&cells)),
        ("records.csv", tables::csv(&tables::records(&ran.plan, &ran.records))),
        ("verdicts.csv", tables::csv(&tables::verdicts(outcome))),
    ] {
        folder::write_whole(&ran.folder.join(name), text.as_bytes())?;
    }
    for table in &outcome.tables {
        let rows = tables::Table {
            heading: table.heading.clone(),
            rows: table.rows.clone(),
        };
        let name = format!("{}.csv", table.id);
        folder::write_whole(&ran.folder.join(name), tables::csv(&rows).as_bytes())?;
    }
    let calls = tables::calls(&ran.plan, &ran.records);
    if let Some(calls) = &calls {
        folder::write_whole(&ran.folder.join("calls.csv"), tables::csv(calls).as_bytes())?;
    }
    let page = page::render(ran, outcome, &figures, &cells, &proof, calls.as_ref())?;
    folder::write_whole(&outcome.report, page.as_bytes())
}

/// A number with a comma at every thousand.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 && digits != "0" {
        text.insert(0, '-');
    }
    text
}

/// A time in the unit that suits it.
pub(crate) fn duration(seconds: f64) -> String {
    let (number, unit) = match seconds.abs() {
        0.0 => return "0".to_owned(),
        size if size < 1e-3 => (seconds * 1e6, "µs"),
        size if size < 1.0 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    format!("{} {unit}", significant(number))
}

/// Text as it may stand in XML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            other => {
                // Writing to a string does not fail.
                let _ = escaped.write_char(other);
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (value, text) in [
            (0.0, "0"),
            (999.0, "999"),
            (1000.0, "1,000"),
            (-1_234_567.0, "-1,234,567"),
            (-0.2, "0"),
        ] {
            assert_eq!(thousands(value), text);
        }
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        let cases = [
            (0.0, "0"),
            (1e-6, "1 µs"),
            (0.03, "30 ms"),
            (2.5, "2.5 s"),
            (-0.008, "-8 ms"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn markup_in_a_label_stays_text() {
        assert_eq!(escape("a<b & \"c\""), "a&lt;b &amp; &quot;c&quot;");
    }
}
