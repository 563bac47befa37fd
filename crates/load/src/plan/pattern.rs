//! How requests are distributed over connections.

use std::num::NonZeroU64;
use std::time::Duration;

/// How requests are distributed over connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// A fixed number of connections; request k goes over connection k modulo their number. If that connection is
    /// busy, the request waits for it.
    RoundRobin {
        /// The number of connections.
        connections: NonZeroU64,
        /// The number of requests after which a connection is replaced by a new one. If absent, connections persist.
        per_connection: Option<NonZeroU64>,
    },
    /// A request takes a free connection, or opens a new one if none is free.
    OnDemand {
        /// The number of requests after which a connection is closed.
        per_connection: NonZeroU64,
    },
    /// The schedule starts sessions instead of requests. Each session has its own connection, which is reopened if the
    /// server closes it.
    Sessions(Sessions),
}

/// What every session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// The maximum number of sessions.
    pub total: NonZeroU64,
    /// The number of calls of a session.
    pub calls: NonZeroU64,
    /// The number of calls of a burst. The last burst of a session may be shorter.
    pub burst: NonZeroU64,
    /// The time from the last reply of a burst to the first call of the next.
    pub think: Duration,
}

impl Pattern {
    /// The number of connections that are kept open for requests; 0 if they are opened when needed.
    #[must_use]
    pub(crate) fn connections(self) -> u64 {
        match self {
            Self::RoundRobin { connections, .. } => connections.get(),
            Self::OnDemand { .. } | Self::Sessions(_) => 0,
        }
    }

    /// The number of requests after which a connection is closed.
    #[must_use]
    pub(crate) fn per_connection(self) -> Option<NonZeroU64> {
        match self {
            Self::RoundRobin { per_connection, .. } => per_connection,
            Self::OnDemand { per_connection } => Some(per_connection),
            Self::Sessions(_) => None,
        }
    }
}
