//! How a subcommand ends.

use std::error::Error;
use std::process::ExitCode;

/// An exit code, or an error that becomes one line on standard error and exit code 2.
pub(crate) type Outcome = Result<ExitCode, Box<dyn Error>>;
