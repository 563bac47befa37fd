//! What the machine knows of its server, and what it hands to it.

use std::time::Duration;

use crate::route::Route;
use crate::{Date, Limits};

/// The state of the server at the time of a call. The machine knows nothing else of its environment.
#[derive(Debug, Clone)]
pub struct Host {
    /// The present second.
    pub date: Date,
    /// Caps on requests.
    pub limits: Limits,
    /// CPU time to spend on each request in addition to what its route asks for.
    pub work: Duration,
    /// Whether connections outlive their reply.
    pub stage: Stage,
    /// Whether a path that is not built in may name a file.
    pub files: Files,
    /// Whether there is a disk to work on.
    pub disk: Disk,
    /// Which resources are built in.
    pub resources: Resources,
}

/// The resources that are built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resources {
    /// `/bytes`, and none where there are files to serve.
    Plain,
    /// All, those of the lab included. They let any client use the server's CPU and memory.
    Lab,
}

/// Whether the server has a directory for `/file` and `/mail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// It has not: both are 404.
    None,
    /// It has: [`Step::Block`](crate::Step::Block).
    Present,
}

/// Whether there are files to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// There are none: what is not built in is 404.
    None,
    /// The driver opens them: [`Step::Open`](crate::Step::Open).
    Served,
}

/// The phases of a server that its replies depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Connections persist if their clients want it.
    Serving,
    /// Every reply is the last one of its connection.
    Draining,
}

impl Host {
    /// A serving host with default limits and no extra work.
    #[must_use]
    pub fn new(date: Date) -> Host {
        Host {
            date,
            limits: Limits::default(),
            work: Duration::ZERO,
            stage: Stage::Serving,
            files: Files::None,
            disk: Disk::None,
            resources: Resources::Plain,
        }
    }

    /// The resource of a path, among those that there are.
    #[inline]
    pub(crate) fn among_resources(&self, route: Route) -> Route {
        match (self.resources, self.files, route) {
            (Resources::Lab, _, Route::File(..) | Route::Mail(_)) if self.disk == Disk::None => Route::Missing,
            (Resources::Lab, _, route) | (_, Files::None, route @ Route::Bytes(_)) => route,
            _ => Route::Missing,
        }
    }
}

/// Collects replies and counts them. One output serves any number of machines in turn, as long as its bytes are taken in
/// between.
#[derive(Debug, Default)]
pub struct Output {
    /// Reply bytes to be sent, before the machine's tail.
    pub bytes: Vec<u8>,
    /// Well-formed requests received.
    pub requests: u64,
    /// Requests refused as malformed or unsupported.
    pub refused: u64,
    /// Replies begun, including refusals.
    pub replies: u64,
}
