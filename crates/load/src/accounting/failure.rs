//! How a request can fail: the kinds that httperf has, and the ways in which a reply can be wrong.

use std::collections::BTreeMap;

use c10k_http::reply::ReplyError;
use rustix::io::Errno;

/// Why a request that was sent has no good reply. A request without a reply within the time limit is not a failure of
/// these kinds; it is counted as timed out (httperf's `client-timo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Failure {
    /// The kernel gave up the connection (`ETIMEDOUT`).
    SocketTimeout,
    /// The connection was refused (`ECONNREFUSED`).
    ConnectionRefused,
    /// The server reset the connection (`ECONNRESET`, `EPIPE`).
    ConnectionReset,
    /// This process or this machine has no more descriptors (`EMFILE`, `ENFILE`).
    NoDescriptor,
    /// No local port is free for a connection to the server (`EADDRNOTAVAIL`).
    NoAddress,
    /// This machine has no memory for another socket, buffer or event (`ENOMEM`, `ENOBUFS`, `ENOSPC`).
    NoMemory,
    /// The network does not reach the server (`EHOSTUNREACH`, `ENETUNREACH`, `ENETRESET`, `EHOSTDOWN`).
    Unreachable,
    /// Any other error of a system call. None of them can come from a server.
    Other,
    /// The status is not 2xx.
    BadStatus,
    /// The body is shorter or longer than expected.
    BadLength,
    /// The body's hash differs from the expected one.
    BadBody,
    /// The connection ended inside the reply, or before its first byte.
    Truncated,
    /// The bytes are not an HTTP/1.x reply, or the reply exceeds a limit.
    Malformed,
}

/// What causes a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The server or the network: the failure is a result.
    Server,
    /// The generator's own limits: the run is invalid.
    Generator,
}

/// A row of the table of failures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailureRow {
    /// The kind.
    pub(crate) failure: Failure,
    /// Its name in records; the first five are httperf's.
    pub(crate) name: &'static str,
    /// What causes it.
    pub(crate) origin: Origin,
}

/// All kinds of failure, in the order of [`Failure`].
pub(crate) const FAILURES: &[FailureRow] = &[
    FailureRow {
        failure: Failure::SocketTimeout,
        name: "socket-timo",
        origin: Origin::Server,
    },
    FailureRow {
        failure: Failure::ConnectionRefused,
        name: "connrefused",
        origin: Origin::Server,
    },
    FailureRow {
        failure: Failure::ConnectionReset,
        name: "connreset",
        origin: Origin::Server,
    },
    FailureRow {
        failure: Failure::NoDescriptor,
        name: "fd-unavail",
        origin: Origin::Generator,
    },
    FailureRow {
        failure: Failure::NoAddress,
        name: "addrunavail",
        origin: Origin::Generator,
    },
    FailureRow {
        failure: Failure::NoMemory,
        name: "mem-unavail",
        origin: Origin::Generator,
    },
    FailureRow {
        failure: Failure::Unreachable,
        name: "unreachable",
        origin: Origin::Server,
    },
    FailureRow {
        failure: Failure::Other,
        name: "other",
        origin: Origin::Generator,
    },
    FailureRow {
        failure: Failure::BadStatus,
        name: "bad-status",
        origin: Origin::Server,
    },
    FailureRow {
        failure: Failure::BadLength,
        name: "bad-length",
        origin: Origin::Server,
    },
    FailureRow {
        failure: Failure::BadBody,
        name: "bad-body",
        origin: Origin::Server,
    },
    FailureRow {
        failure: Failure::Truncated,
        name: "truncated",
        origin: Origin::Server,
    },
    FailureRow {
        failure: Failure::Malformed,
        name: "malformed",
        origin: Origin::Server,
    },
];

/// Counts in the order of [`FAILURES`] by name; kinds that did not occur are left out.
#[must_use]
pub(crate) fn by_name(failed: &[u64; FAILURES.len()]) -> BTreeMap<String, u64> {
    let occurred = FAILURES.iter().zip(failed).filter(|&(_, &count)| count > 0);
    occurred.map(|(row, &count)| (row.name.to_owned(), count)).collect()
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::TIMEDOUT => Self::SocketTimeout,
            // ENOENT: the file of a Unix socket is gone, and with it the listener.
            Errno::CONNREFUSED | Errno::NOENT => Self::ConnectionRefused,
            Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED => Self::ConnectionReset,
            Errno::MFILE | Errno::NFILE => Self::NoDescriptor,
            Errno::ADDRNOTAVAIL => Self::NoAddress,
            Errno::NOMEM | Errno::NOBUFS | Errno::NOSPC => Self::NoMemory,
            Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::NETRESET | Errno::HOSTDOWN => Self::Unreachable,
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
    fn every_failure_indexes_its_own_row() {
        for (index, row) in FAILURES.iter().enumerate() {
            assert_eq!(row.failure as usize, index, "{}", row.name);
        }
        assert_eq!(Failure::Malformed as usize + 1, FAILURES.len());
    }

    #[test]
    fn only_an_error_that_a_server_or_the_network_can_cause_is_a_result() {
        let origin = |errno: Errno| FAILURES[Failure::from(errno) as usize].origin;
        for errno in [
            Errno::TIMEDOUT,
            Errno::CONNREFUSED,
            Errno::NOENT,
            Errno::CONNRESET,
            Errno::PIPE,
            Errno::CONNABORTED,
            Errno::HOSTUNREACH,
            Errno::NETUNREACH,
            Errno::NETRESET,
            Errno::HOSTDOWN,
        ] {
            assert_eq!(origin(errno), Origin::Server, "{errno:?}");
        }
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::ADDRNOTAVAIL,
            Errno::NOMEM,
            Errno::NOBUFS,
            Errno::NOSPC,
            Errno::PERM,
            Errno::ACCESS,
            Errno::NETDOWN,
            Errno::INVAL,
            Errno::AFNOSUPPORT,
        ] {
            assert_eq!(origin(errno), Origin::Generator, "{errno:?}");
        }
    }
}
