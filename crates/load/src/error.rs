//! Why a run could not be started. What a run finds out, good or bad, is a [`c10k_record::LoadSummary`] instead.

use std::io;

use c10k_event::{OpenError, WaitError};
use c10k_http::reply::ReplyError;

use crate::endpoint::Endpoint;

/// Why a run could not be started or continued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The URL cannot be used.
    #[error("reading the URL '{url}': {cause}: give http://HOST:PORT/PATH or unix:SOCKET:/PATH")]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// The host of the URL has no address.
    #[error("resolving '{host}': {source}: give an address, or check the name")]
    Resolve {
        /// The host.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// The options contradict each other.
    #[error("planning the load: {0}")]
    Plan(&'static str),
    /// No server accepts connections at the address.
    #[error("connecting to {address}: {source}: is the server running, and is this its port?")]
    Connect {
        /// The address.
        address: Endpoint,
        /// The kernel's error.
        source: io::Error,
    },
    /// The server at the address does not speak HTTP.
    #[error("requesting the URL from {address}: {source}: is this an HTTP/1.x server's port?")]
    NotHttp {
        /// The address.
        address: Endpoint,
        /// What is wrong with its reply.
        source: ReplyError,
    },
    /// The event library could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Waiting for events failed.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A necessary system call failed.
    #[error("{operation}: {source}")]
    System {
        /// The operation.
        operation: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
}
