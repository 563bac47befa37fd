//! The report: one self-contained page, the figures and tables as files, and the summary for a terminal.

mod answer;
mod axis;
mod crosstab;
mod figure;
mod page;
mod tables;
mod terminal;

use crate::results::StudyData;
use crate::{LabError, Outcome, folder};

pub(crate) use answer::answer;
pub(crate) use crosstab::tables;
pub(crate) use page::STYLE;

/// Writes `report.html`, one `*.csv` per table and one `*.svg` per figure into the study's folder.
pub(crate) fn write(study: &StudyData, outcome: &Outcome) -> Result<(), LabError> {
    let figures = figure::draw_all(&study.plan, &study.records)?;
    for figure in &figures {
        let name = format!("{}.svg", figure.file);
        folder::write_whole(&study.folder.join(name), figure.wide.as_bytes())?;
    }
    let cells = tables::cells(&study.plan, &study.records);
    let proof = tables::proof(&study.plan, &study.records);
    for (name, text) in [
        ("cells.csv", tables::csv(&cells)),
        (
            "records.csv",
            tables::csv(&tables::records(&study.plan, &study.records)),
        ),
        ("verdicts.csv", tables::csv(&tables::verdicts(outcome))),
    ] {
        folder::write_whole(&study.folder.join(name), text.as_bytes())?;
    }
    for table in &outcome.tables {
        let rows = tables::Table {
            heading: table.heading.clone(),
            rows: table.rows.clone(),
        };
        let name = format!("{}.csv", table.id);
        folder::write_whole(&study.folder.join(name), tables::csv(&rows).as_bytes())?;
    }
    let calls = tables::calls(&study.plan, &study.records);
    if let Some(calls) = &calls {
        folder::write_whole(&study.folder.join("calls.csv"), tables::csv(calls).as_bytes())?;
    }
    let page = page::render(study, outcome, &figures, &cells, &proof, calls.as_ref())?;
    folder::write_whole(&outcome.report, page.as_bytes())
}
