//! Why the daemon or the viewer could not start or had to end.

use std::io;
use std::net::SocketAddr;

use c10k_event::{DeclareError, OpenError, WaitError, WakerError};

/// Each message is one line: the operation, the cause, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// No model has this name.
    #[error("no model of the monitoring daemon is called '{name}': use one of {known}")]
    UnknownModel {
        /// The unknown name.
        name: String,
        /// The known names.
        known: String,
    },
    /// The period is not one that the daemon can keep.
    #[error("a period of {given}: give one from {least} to {most}")]
    Period {
        /// What was given.
        given: String,
        /// The shortest period.
        least: String,
        /// The longest period.
        most: String,
    },
    /// The address cannot be listened on.
    #[error("listening on {address}: {cause}: {}", remedy(.cause))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The kernel's error.
        cause: io::Error,
    },
    /// The text names no address.
    #[error("'{text}': {reason}: give HOST:PORT, for example 127.0.0.1:7010 or [::1]:7010")]
    Resolve {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The limit on descriptors leaves no room for connections.
    #[error("the limit on open descriptors is {limit}: raise it to {least} or more (ulimit -n)")]
    Descriptors {
        /// The limit.
        limit: u64,
        /// The lowest limit at which the daemon starts.
        least: u64,
    },
    /// The kernel's figures cannot be read.
    #[error("reading {file}: {cause}: mount /proc, and let this user read it")]
    Proc {
        /// The file.
        file: &'static str,
        /// What went wrong.
        cause: String,
    },
    /// The mechanism cannot be opened.
    #[error(transparent)]
    Mechanism(#[from] OpenError),
    /// The mechanism refuses a source.
    #[error("watching a socket: {0}")]
    Watch(#[from] DeclareError),
    /// The loop cannot be woken.
    #[error(transparent)]
    Waker(#[from] WakerError),
    /// The mechanism failed.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The terminal cannot be used.
    #[error("using the terminal: {cause}: use --plain")]
    Terminal {
        /// What was refused.
        cause: io::Error,
    },
    /// The output cannot be written.
    #[error("writing the output: {cause}: free some space, or print elsewhere")]
    Output {
        /// The kernel's error.
        cause: io::Error,
    },
    /// Another system call failed.
    #[error("{call}: {cause}: see the call's manual page")]
    System {
        /// The call.
        call: &'static str,
        /// The kernel's error.
        cause: io::Error,
    },
}

impl MonitorError {
    /// For `map_err`: the error of a system call.
    pub(crate) fn of_call<E: Into<io::Error>>(call: &'static str) -> impl Fn(E) -> MonitorError {
        move |cause| MonitorError::System {
            call,
            cause: cause.into(),
        }
    }
}

fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "another process listens there: choose another port, or 0 for a free one",
        io::ErrorKind::AddrNotAvailable => "the address is not one of this machine: see 'ip address'",
        io::ErrorKind::PermissionDenied => {
            "ports below net.ipv4.ip_unprivileged_port_start want privileges: choose one above"
        }
        _ => "see listen(2)",
    }
}
