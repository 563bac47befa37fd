//! Text for people that is the lab's own: numbers come from [`c10k_units::display`].

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One line on standard error. A closed standard error is no reason to end a measurement.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A duration to the second: `90 s`, `2 min 5 s`.
pub(crate) fn rough_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    match seconds {
        0..120 => format!("{seconds} s"),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// The option `--disk`, quoted for a shell.
pub(crate) fn disk_option(directory: &Path) -> String {
    format!("--disk '{}'", directory.display().to_string().replace('\'', r"'\''"))
}

/// This instant as the records have it.
pub(crate) fn now_rfc3339() -> String {
    let now = OffsetDateTime::now_utc();
    let now = now.replace_nanosecond(0).unwrap_or(now);
    // Formatting fails only for years beyond four digits.
    now.format(&Rfc3339).unwrap_or_default()
}
