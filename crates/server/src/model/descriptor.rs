//! What a row of the table of models holds.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::accept::Port;
use crate::context::ServerContext;
use crate::{AcceptSharing, Config, ServeError, Stop};

/// One row of [`MODELS`](crate::MODELS).
pub struct Descriptor {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Whether it is driven by an event mechanism.
    pub dispatch: Dispatch,
    /// How many workers it has, and whether `--workers` changes that.
    pub workers: Workers,
    /// How many connections a worker serves at once.
    pub concurrency: Concurrency,
    /// The options that have an effect on this model and not on all.
    pub options: &'static [ModelOption],
    /// Whether each worker has a listener of its own on the same port.
    pub(crate) port: PortSharing,
    /// Why it cannot run here, if so, and what to do about it.
    pub(crate) probe: fn() -> Result<(), String>,
    /// Why it cannot run as it is configured, if so, and what to do about it.
    pub(crate) check: fn(&Config) -> Result<(), String>,
    /// Serves until the stop is requested and the drain is over.
    pub(crate) run: fn(Listeners, &Arc<ServerContext>, &Stop) -> Result<(), ServeError>,
}

/// Whether a model is driven by an event mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dispatch {
    /// It takes any mechanism.
    Mechanism,
    /// It has its own way to wait.
    Own,
}

/// How many workers a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One, whatever `--workers` says.
    One,
    /// That many, unless `--workers` says otherwise.
    Fixed(usize),
    /// One for each CPU, unless `--workers` says otherwise.
    PerCpu,
    /// That many threads of a runtime, unless `--workers` says otherwise. The runtime moves connections between them, so
    /// they are counted as one worker.
    Runtime(usize),
}

/// How many connections a worker serves at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// Any number.
    Many,
    /// One, and more connections wait for a worker. Even an idle connection occupies its worker.
    OnePerWorker,
    /// One: each connection gets a worker of its own, at most that many unless `--max-connections` says otherwise.
    WorkerPerConnection(usize),
}

/// An option that not every model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelOption {
    /// [`Config::accept`].
    Accept,
    /// [`Config::accept_sharing`].
    AcceptSharing,
    /// [`Config::submission`].
    Submission,
}

/// Whether the listeners of several workers share the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortSharing {
    /// There is one listener.
    OneListener,
    /// Each worker has its own.
    ListenerPerWorker,
    /// Each worker has its own if [`Config::accept_sharing`] is [`AcceptSharing::Reuseport`].
    ByAcceptSharing,
}

/// What a model accepts from.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) first: OwnedFd,
    /// Those of the other workers, if each has its own.
    pub(crate) others: Vec<OwnedFd>,
}

impl Descriptor {
    /// How many workers run.
    pub(crate) fn worker_count(&self, config: &Config) -> usize {
        let or = |default| config.workers.map_or(default, NonZeroUsize::get);
        match self.workers {
            Workers::One => 1,
            Workers::Fixed(default) | Workers::Runtime(default) => or(default),
            Workers::PerCpu => or(std::thread::available_parallelism().map_or(1, NonZeroUsize::get)),
        }
    }

    /// How many workers are counted separately.
    pub(crate) fn counted_workers(&self, config: &Config) -> usize {
        match self.workers {
            Workers::Runtime(_) => 1,
            Workers::One | Workers::Fixed(_) | Workers::PerCpu => self.worker_count(config),
        }
    }

    /// Whether the listeners share the port.
    pub(crate) fn port(&self, config: &Config) -> Port {
        match self.port {
            PortSharing::OneListener => Port::Own,
            PortSharing::ListenerPerWorker => Port::Shared,
            PortSharing::ByAcceptSharing if config.accept_sharing == AcceptSharing::Reuseport => Port::Shared,
            PortSharing::ByAcceptSharing => Port::Own,
        }
    }
}
