//! The report: one self-contained page, the figures and tables as files, and the summary for a terminal.

mod answer;
mod crosstab;
mod csv;
mod exact;
mod figure;
mod page;
mod tables;
mod terminal;
mod views;
mod words;

use c10k_record::StudyRecord;

use crate::results::StudyData;
use crate::{LabError, folder};

pub(crate) use answer::answer;
pub(crate) use crosstab::tables;
pub(crate) use exact::by_instructions;
pub(crate) use page::STYLE;
pub use terminal::study_text;
pub(crate) use words::cells as cell_words;

/// Writes `report.html`, one `*.csv` per table and one `*.svg` per figure into the study's folder.
pub(crate) fn write(study: &StudyData, outcome: &StudyRecord) -> Result<(), LabError> {
    let write = |name: &str, text: &str| folder::write_whole(&study.folder.join(name), text.as_bytes());
    let figures = figure::draw_all(&study.plan, &study.records)?;
    for figure in &figures {
        write(&format!("{}.svg", figure.file), &figure.wide)?;
    }
    write("cells.csv", &csv::cells(&study.plan, &study.records)?)?;
    write("records.csv", &csv::records(&study.plan, &study.records)?)?;
    write("verdicts.csv", &csv::verdicts(outcome)?)?;
    for table in &outcome.tables {
        write(&format!("{}.csv", table.table), &csv::table(table)?)?;
    }
    if let Some(calls) = csv::calls(&study.plan, &study.records) {
        write("calls.csv", &calls?)?;
    }
    let page = page::render(study, outcome, &figures)?;
    folder::write_whole(&outcome.report, page.as_bytes())
}
