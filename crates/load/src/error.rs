//! Why a run could not be started. What a run finds out, good or bad, is a [`c10k_record::LoadSummary`] instead.

use std::io;
use std::time::Duration;

use c10k_event::{OpenError, WaitError};
use c10k_http::reply::ReplyError;
use c10k_units::duration;

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
    /// The kernel's timers are too coarse for the server's clock.
    #[error(
        "planning the load: --clock server needs timers that end in 10 µs, and those of this kernel end with its tick of \
         {resolution}: they get finer within seconds after a boot (not with highres=off)", resolution = duration::exact(*.resolution)
    )]
    CoarseTimers {
        /// Their resolution.
        resolution: Duration,
    },
    /// The run needs more descriptors than this process may have.
    #[error(
        "planning the load: {connections} connections need {needed} descriptors, and this process may have {allowed}: raise \
         the limit with 'ulimit -n', or lower --idle or --connections"
    )]
    Descriptors {
        /// Connections that are open from the start.
        connections: u64,
        /// Descriptors that the run needs.
        needed: u64,
        /// The limit of this process.
        allowed: u64,
    },
    /// The run needs more local ports than there are.
    #[error(
        "planning the load: {connections} connections need a local port each, and {addresses} local addresses with \
         {per_address} ports each are used: give more --source addresses or a larger --local-ports range, or lower --idle or \
         --connections"
    )]
    LocalPorts {
        /// Connections that are open from the start.
        connections: u64,
        /// Local addresses that the run uses.
        addresses: u64,
        /// Ports of each.
        per_address: u64,
    },
    /// No server accepts connections at the address.
    #[error("connecting to {address}: {source}: is the server running, and is this its port?")]
    Connect {
        /// The address.
        address: Endpoint,
        /// The kernel's error.
        source: io::Error,
    },
    /// No address of the host accepts connections.
    #[error("connecting to {url}: {tried}: is the server running, and is this its port?")]
    ConnectAny {
        /// The URL.
        url: String,
        /// Each address with the kernel's error.
        tried: String,
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

impl LoadError {
    /// Whether this machine is the reason: a limit is too low, or the kernel refuses a call. All else is a mistake in what
    /// was asked for.
    #[must_use]
    pub fn is_of_this_machine(&self) -> bool {
        match self {
            Self::Descriptors { .. }
            | Self::LocalPorts { .. }
            | Self::CoarseTimers { .. }
            | Self::Open(_)
            | Self::Wait(_)
            | Self::System { .. } => true,
            Self::Url { .. }
            | Self::Resolve { .. }
            | Self::Plan(_)
            | Self::Connect { .. }
            | Self::ConnectAny { .. }
            | Self::NotHttp { .. } => false,
        }
    }
}
