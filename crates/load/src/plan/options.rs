//! Options with a few values.

/// Whether a test request is sent before the run and another one after the connections are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Probe {
    /// A server that refuses the first request or does not speak HTTP ends the run at once. A reply to the second
    /// request proves that the server has accepted all earlier connections.
    #[default]
    Ask,
    /// Only the load itself is sent.
    Skip,
}

/// How this side closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Close {
    /// With a FIN. If this side closes first, the port stays in TIME_WAIT for a minute.
    #[default]
    Orderly,
    /// With a RST (SO_LINGER with a time of 0, socket(7)). The port is free at once; the server sees a reset.
    Reset,
}

/// What is checked of the bodies of replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bodies {
    /// Their length.
    #[default]
    Length,
    /// Their length, and that they are equal to the body of the test request's reply.
    LikeTheFirst,
}

/// A range of local ports (`IP_LOCAL_PORT_RANGE`, Linux 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The first port, at least 1.
    pub first: u16,
    /// The last port, not less than the first.
    pub last: u16,
}

impl Ports {
    /// The number of ports.
    #[must_use]
    pub(crate) fn count(self) -> u64 {
        u64::from(self.last.saturating_sub(self.first)) + 1
    }
}
