//! The viewer: connects to daemons, and shows their samples as lines or as a table.

mod client;
mod decoder;
mod host;
mod plain;
mod screen;
mod table;

pub use client::Watcher;
pub use plain::plain;
pub use screen::screen;

use std::num::NonZeroU64;

/// When a viewer ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Never.
    Stopped,
    /// After so many samples of all hosts together.
    Samples(NonZeroU64),
}

impl Until {
    /// Whether so many samples are enough.
    pub(crate) fn is_over(self, samples: u64) -> bool {
        match self {
            Until::Stopped => false,
            Until::Samples(most) => samples >= most.get(),
        }
    }
}
