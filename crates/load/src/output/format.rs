//! The type of a row of [`FORMATS`](super::FORMATS).

use std::io;

use crate::report::LoadReport;

/// An output format: a row of [`FORMATS`](super::FORMATS).
#[derive(Debug, Clone, Copy)]
pub struct OutputFormat {
    /// The long option that selects it, without the dashes.
    pub flag: &'static str,
    /// The help text of the option.
    pub help: &'static str,
    /// The long options that cannot be combined with it, without the dashes.
    pub conflicts: &'static [&'static str],
    /// Where the output goes.
    pub destination: Destination,
    /// Writes the report in this format.
    pub write: fn(&LoadReport, &mut dyn io::Write) -> io::Result<()>,
}

/// Where the output of a format goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To a file, whose path is the value of the option.
    File,
    /// To the terminal, as the summary for people. The first format with this destination is the default.
    Summary,
}
