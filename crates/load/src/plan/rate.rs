//! How fast requests are due.

use std::sync::Arc;

/// How fast requests are due.
#[derive(Debug, Clone, PartialEq)]
pub enum Rate {
    /// Open loop: this many requests per second, whatever the server does.
    PerSecond(f64),
    /// Open loop: the rate changes linearly from the first value to the second over the measured time. The warm-up has
    /// the first value.
    Ramp(f64, f64),
    /// Open loop: these rates for equal parts of the measured time. The warm-up has the first one.
    Steps(Vec<f64>),
    /// Open loop: requests are due at these instants, nanoseconds from the start, in ascending order.
    Trace(Arc<[u64]>),
    /// Closed loop: each connection sends its next request when it has received the last reply.
    Max,
}

/// The distribution of the gaps between requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrival {
    /// Equal gaps.
    #[default]
    Constant,
    /// Exponentially distributed gaps, as independent users cause them.
    Poisson,
}

impl Rate {
    /// The highest rate, requests per second; `None` if it is unknown.
    pub(super) fn highest(&self) -> Option<f64> {
        match self {
            Self::PerSecond(rate) => Some(*rate),
            Self::Ramp(from, to) => Some(from.max(*to)),
            Self::Steps(rates) => rates.iter().copied().reduce(f64::max),
            Self::Trace(_) | Self::Max => None,
        }
    }
}
