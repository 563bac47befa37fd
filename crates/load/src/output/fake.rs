//! A format for tests. It shows that a format needs only its file and its row.

use std::io;

use super::format::{Destination, OutputFormat};
use crate::report::LoadReport;

pub(super) const ROW: OutputFormat = OutputFormat {
    flag: "fake-output",
    help: "Write the number of requests to FILE (for tests)",
    conflicts: &["find-max"],
    destination: Destination::File,
    write,
};

fn write(report: &LoadReport, out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "{}", report.summary.intended)
}
