//! Why a server could not start or go on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use c10k_event::{DeclareError, OpenError, WaitError, WakerError};

/// One line each: the operation, the cause, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// No model has this name.
    #[error("no model is called '{name}': use one of {known}")]
    UnknownModel {
        /// The name that was looked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The model cannot run here.
    #[error("running the model {model}: {reason}")]
    ModelUnavailable {
        /// The model's name.
        model: &'static str,
        /// Why, and what lifts it.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("listening on {address}: {cause}: {}", remedy(.cause))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The descriptor that a service manager has handed over cannot be used.
    #[error("using the inherited listener: {cause}: hand over one listening TCP socket, or unset LISTEN_FDS")]
    Inherited {
        /// What is wrong with it.
        cause: io::Error,
    },
    /// The directory of `--root` cannot be opened.
    #[error("opening the root directory {path:?}: {cause}: name a directory that this user may read")]
    Root {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The process cannot become the user of `--user`.
    #[error("becoming the user '{name}': {reason}")]
    User {
        /// The user's name.
        name: String,
        /// Why, and what lifts it.
        reason: String,
    },
    /// The process cannot be confined.
    #[error("confining with Landlock: {cause}: this needs Linux 6.7 with 'landlock' among its security modules (lsm=)")]
    Confine {
        /// What was refused.
        cause: String,
    },
    /// The mechanism cannot be opened.
    #[error(transparent)]
    Mechanism(#[from] OpenError),
    /// The mechanism does not take the listener.
    #[error("watching the listener: {0}")]
    Watch(#[from] DeclareError),
    /// The loop cannot be woken.
    #[error(transparent)]
    Waker(#[from] WakerError),
    /// The mechanism failed.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The tokio runtime failed, which is not in its interface.
    #[error("running the tokio runtime: {cause}: start the server again, and tell tokio's authors if it comes back")]
    Runtime {
        /// What it said.
        cause: String,
    },
    /// Another call failed that has no reason to.
    #[error("{call}: {cause}: see the call's manual page")]
    System {
        /// The call.
        call: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
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
