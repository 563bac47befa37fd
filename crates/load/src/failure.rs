//! How a request can fail: httperf's kinds, and what a reply can be wrong in.

use c10k_http::reply::ReplyError;
use rustix::io::Errno;

/// Why a request that was sent has no good reply. A request without any reply within the time limit is not here: it is
/// counted as timed out (httperf's `client-timo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// The kernel gave the connection up (`ETIMEDOUT`).
    SocketTimeout,
    /// Nothing listens, or the listener refused (`ECONNREFUSED`).
    ConnectionRefused,
    /// The server reset the connection (`ECONNRESET`, `EPIPE`).
    ConnectionReset,
    /// This process or this machine is out of descriptors (`EMFILE`, `ENFILE`).
    NoDescriptor,
    /// No local port is free towards the server (`EADDRNOTAVAIL`).
    NoAddress,
    /// Any other error of a system call.
    Other,
    /// The status is not 2xx.
    BadStatus,
    /// The body is shorter or longer than it should be.
    BadLength,
    /// The body's hash is not the expected one.
    BadBody,
    /// The connection ended inside the reply, or before its first byte.
    Truncated,
    /// The bytes are not an HTTP/1.x reply, or exceed the limits set to one.
    Malformed,
}

/// Who is to blame for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The server or the way to it: a result.
    Server,
    /// The generator's own limits: the run is invalid.
    Client,
}

/// One row of the table of failures.
#[derive(Debug, Clone, Copy)]
pub struct FailureRow {
    /// The kind.
    pub failure: Failure,
    /// Its name in records; the first six are httperf's.
    pub name: &'static str,
    /// Who is to blame.
    pub blame: Blame,
}

/// All kinds, in the order of [`Failure`].
pub const FAILURES: &[FailureRow] = &[
    FailureRow {
        failure: Failure::SocketTimeout,
        name: "socket-timo",
        blame: Blame::Server,
    },
    FailureRow {
        failure: Failure::ConnectionRefused,
        name: "connrefused",
        blame: Blame::Server,
    },
    FailureRow {
        failure: Failure::ConnectionReset,
        name: "connreset",
        blame: Blame::Server,
    },
    FailureRow {
        failure: Failure::NoDescriptor,
        name: "fd-unavail",
        blame: Blame::Client,
    },
    FailureRow {
        failure: Failure::NoAddress,
        name: "addrunavail",
        blame: Blame::Client,
    },
    FailureRow {
        failure: Failure::Other,
        name: "other",
        blame: Blame::Server,
    },
    FailureRow {
        failure: Failure::BadStatus,
        name: "bad-status",
        blame: Blame::Server,
    },
    FailureRow {
        failure: Failure::BadLength,
        name: "bad-length",
        blame: Blame::Server,
    },
    FailureRow {
        failure: Failure::BadBody,
        name: "bad-body",
        blame: Blame::Server,
    },
    FailureRow {
        failure: Failure::Truncated,
        name: "truncated",
        blame: Blame::Server,
    },
    FailureRow {
        failure: Failure::Malformed,
        name: "malformed",
        blame: Blame::Server,
    },
];

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::TIMEDOUT => Self::SocketTimeout,
            Errno::CONNREFUSED => Self::ConnectionRefused,
            Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED => Self::ConnectionReset,
            Errno::MFILE | Errno::NFILE => Self::NoDescriptor,
            Errno::ADDRNOTAVAIL => Self::NoAddress,
            _ => Self::Other,
        }
    }
}

impl From<ReplyError> for Failure {
    fn from(error: ReplyError) -> Self {
        match error {
            ReplyError::Truncated => Self::Truncated,
            ReplyError::BodyTooLong => Self::BadLength,
            ReplyError::Malformed(_) | ReplyError::HeadTooLong => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_row_at_its_own_place() {
        for (index, row) in FAILURES.iter().enumerate() {
            assert_eq!(row.failure as usize, index, "{}", row.name);
        }
        assert_eq!(Failure::Malformed as usize + 1, FAILURES.len());
    }
}
