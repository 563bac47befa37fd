//! Why a run could not be made. What a run found out, good or bad, is a [`c10k_record::LoadSummary`] instead.

use std::io;

use c10k_event::{OpenError, WaitError};
use c10k_http::reply::ReplyError;

use crate::endpoint::Endpoint;

/// A run that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The URL cannot be used.
    #[error("reading the URL '{url}': {cause}: give http://HOST:PORT/PATH or unix:SOCKET:/PATH")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// The host of the URL has no address.
    #[error("resolving '{host}': {source}: give an address, or check the name")]
    Resolve {
        /// The host.
        host: String,
        /// The resolver's answer.
        source: io::Error,
    },
    /// Options that do not go together.
    #[error("planning the load: {0}")]
    Plan(&'static str),
    /// Nothing accepts at the address.
    #[error("connecting to {address}: {source}: is the server running, and is this its port?")]
    Connect {
        /// The address.
        address: Endpoint,
        /// The kernel's answer.
        source: io::Error,
    },
    /// What accepts there is not an HTTP server.
    #[error("asking {address} for the URL: {source}: is this an HTTP/1.x server's port?")]
    NotHttp {
        /// The address.
        address: Endpoint,
        /// What is wrong with its answer.
        source: ReplyError,
    },
    /// The event library could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Waiting for events failed.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A system call that the run cannot do without failed.
    #[error("{operation}: {source}")]
    System {
        /// The operation.
        operation: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}
