//! What the guest of `c10k vm` sends over its second serial port, one object a line.

use serde::{Deserialize, Serialize};

/// One line from the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum GuestRecord {
    /// Process 1 has started.
    Booted {
        /// `uname -r` in the guest.
        kernel: String,
        /// `current_clocksource` in the guest.
        clock_source: Option<String>,
        /// The active security modules, in order, if securityfs reports them.
        lsm: Option<String>,
    },
    /// A step printed a line on its standard output or error.
    Output {
        /// Index of the step in the plan.
        step: usize,
        /// The line without its line break; bytes that are not UTF-8 are replaced.
        line: String,
    },
    /// A step ended.
    Exited {
        /// Index of the step in the plan.
        step: usize,
        /// Its exit code; `None` if a signal ended it.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
    },
    /// A step could not be started.
    Refused {
        /// Index of the step in the plan.
        step: usize,
        /// The error of the guest's kernel.
        reason: String,
    },
    /// The plan is done; the guest is about to power off.
    Done,
}
