//! Why a testbed could not be built.

use std::io;

use crate::discipline::Discipline;

/// Each message is one line: the operation, the cause, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestbedError {
    /// A namespace could not be made.
    #[error("making a network namespace: {0}: run as root, or allow user namespaces (user.max_user_namespaces)")]
    Namespace(#[source] io::Error),
    /// The kernel refused a request.
    #[error("{operation}: {cause}: see the kernel's network options (veth, bridge)")]
    Refused {
        /// What was asked for.
        operation: String,
        /// The kernel's error.
        cause: io::Error,
    },
    /// The kernel has no such queueing discipline.
    #[error("shaping a link with {0}: this kernel does not have it (CONFIG_NET_SCH_{upper}): leave out {wants}", upper = .0.name().to_uppercase(), wants = .0.wanted_for())]
    Missing(Discipline),
    /// The specification is out of range.
    #[error("building a testbed: {0}")]
    Spec(String),
}

impl TestbedError {
    pub(crate) fn refused(operation: impl Into<String>) -> impl FnOnce(io::Error) -> TestbedError {
        move |cause| TestbedError::Refused {
            operation: operation.into(),
            cause,
        }
    }
}
