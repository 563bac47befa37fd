//! Why a server could not start or had to end.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use c10k_event::{DeclareError, OpenError, WaitError, WakerError};

/// Each message is one line: the operation, the cause, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// No model has this name.
    #[error("no model is called '{name}': use one of {known}")]
    UnknownModel {
        /// The unknown name.
        name: String,
        /// The known names.
        known: String,
    },
    /// The model cannot run here.
    #[error("running the model {model}: {reason}")]
    ModelUnavailable {
        /// The model's name.
        model: &'static str,
        /// Why, and what to do about it.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("listening on {address}: {cause}: {}", remedy(.cause))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The kernel's error.
        cause: io::Error,
    },
    /// The text is not an address, or the name in it cannot be resolved.
    #[error("listening on '{text}': {reason}: give ADDRESS:PORT, NAME:PORT or unix:PATH")]
    Resolve {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The Unix socket cannot be listened on.
    #[error("listening on unix:{}: {cause}: {}", .path.display(), unix_remedy(.cause))]
    ListenUnix {
        /// Its path.
        path: PathBuf,
        /// The kernel's error.
        cause: io::Error,
    },
    /// Each worker needs a listener of its own, and there can only be one.
    #[error(
        "listening for {count} workers: {listener} is the only listener of its address: use one worker, \
         --accept-sharing exclusive, shared or handoff if the model has it, or a TCP socket that shares its port"
    )]
    OneListener {
        /// What it is.
        listener: &'static str,
        /// How many are needed.
        count: usize,
    },
    /// The descriptor from the service manager cannot be used.
    #[error("using the inherited listener: {cause}: hand over one listening stream socket, or unset LISTEN_FDS")]
    Inherited {
        /// What is wrong with it.
        cause: io::Error,
    },
    /// The directory of `--root` cannot be opened.
    #[error("opening the root directory {path:?}: {cause}: name a directory that this user may read")]
    Root {
        /// Its path.
        path: PathBuf,
        /// The kernel's error.
        cause: io::Error,
    },
    /// The directory of `--disk` cannot be prepared.
    #[error(
        "preparing the disk directory {path:?}: {cause}: name a directory with room for the files, which this user may write"
    )]
    Disk {
        /// Its path.
        path: PathBuf,
        /// The kernel's error, or what is wrong with an option.
        cause: io::Error,
    },
    /// The process would give up the privileges that the work on its disk needs.
    #[error("serving {with} with a disk directory: mailboxes could not be written: leave out --disk, or {with}")]
    DiskConfined {
        /// The option that gives them up.
        with: &'static str,
    },
    /// The process cannot become the user of `--user`.
    #[error("becoming the user '{name}': {reason}")]
    User {
        /// The user's name.
        name: String,
        /// Why, and what to do about it.
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
    /// The mechanism refuses the listener.
    #[error("watching the listener: {0}")]
    Watch(#[from] DeclareError),
    /// The loop cannot be woken.
    #[error(transparent)]
    Waker(#[from] WakerError),
    /// The mechanism failed.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The tokio runtime failed, in a way that its interface does not report.
    #[error(
        "running the tokio runtime: {cause}: start the server again, and report it to tokio's authors if it happens again"
    )]
    Runtime {
        /// Its message.
        cause: String,
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

impl ServeError {
    /// Whether this machine is the reason: the kernel refuses a call or a mechanism, or a limit is too low. All else is a
    /// mistake in what was asked for.
    #[must_use]
    pub fn is_of_this_machine(&self) -> bool {
        match self {
            Self::ModelUnavailable { .. }
            | Self::Confine { .. }
            | Self::Mechanism(OpenError::Unavailable { .. } | OpenError::System { .. })
            | Self::Watch(DeclareError::System { .. })
            | Self::Waker(_)
            | Self::Wait(_)
            | Self::Runtime { .. }
            | Self::System { .. } => true,
            Self::UnknownModel { .. }
            | Self::Listen { .. }
            | Self::Resolve { .. }
            | Self::ListenUnix { .. }
            | Self::OneListener { .. }
            | Self::Inherited { .. }
            | Self::Root { .. }
            | Self::Disk { .. }
            | Self::DiskConfined { .. }
            | Self::User { .. }
            | Self::Mechanism(_)
            | Self::Watch(_) => false,
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

fn unix_remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "the file exists: if no server listens there, remove it",
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            "name a file in a directory in which this user may create files"
        }
        _ => "see unix(7)",
    }
}
