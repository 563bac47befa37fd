//! Names of queueing disciplines.

use std::fmt;

/// A queueing discipline that testbeds use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// A token bucket, which bounds the rate (tc-tbf(8)).
    Tbf,
    /// A network emulator, which delays packets, and bounds the rate (tc-netem(8)).
    Netem,
}

impl Discipline {
    /// All.
    pub const ALL: [Discipline; 2] = [Discipline::Tbf, Discipline::Netem];

    /// The kernel's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Discipline::Tbf => "tbf",
            Discipline::Netem => "netem",
        }
    }

    /// What a specification needs it for.
    pub(crate) fn wanted_for(self) -> &'static str {
        match self {
            Discipline::Tbf => "the rate",
            Discipline::Netem => "the delay",
        }
    }
}

impl fmt::Display for Discipline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
