//! Output formats. A format is one file and one row of [`FORMATS`].

mod csv;
#[cfg(feature = "fake-rows")]
mod fake;
mod format;
mod hgrm;
mod httperf;
mod openmetrics;
mod text;

pub use format::{Destination, OutputFormat};
pub use text::search as search_text;

/// All output formats. The command line takes its options from this table.
pub const FORMATS: &[OutputFormat] = &[
    text::ROW,
    httperf::ROW,
    csv::ROW,
    hgrm::ROW,
    openmetrics::ROW,
    #[cfg(feature = "fake-rows")]
    fake::ROW,
];
