//! What a row of the table of models holds.

use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::accept::Listeners;
use crate::context::ServerContext;
use crate::core::{self, DiskFiles};
use crate::descriptor_limit::descriptor_limit;
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
    /// Which processes hold the connections.
    pub connections_in: ConnectionsIn,
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
    /// It takes every mechanism that it [fits](crate::Model::fits).
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
    /// One for each CPU, unless `--workers` says otherwise. Each has connections of its own, and a share of the limit on
    /// them.
    PerCpu,
    /// As many threads as [`PerCpu`](Workers::PerCpu) has, which share one interest set: any of them serves any connection, and
    /// there is one limit on connections.
    Sharing,
    /// That many threads, unless `--workers` says otherwise, which share one interest set as those of [`Sharing`](Workers::Sharing)
    /// do. At most [`Config::concurrency`] of them run at once.
    Pool(usize),
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

/// Which processes hold the connections, and so whose limit on descriptors bounds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionsIn {
    /// The server's own.
    Server,
    /// Children, each with one connection.
    Children,
}

/// An option that not every model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelOption {
    /// [`Config::accept`].
    Accept,
    /// [`Config::accept_sharing`].
    AcceptSharing,
    /// [`Config::concurrency`].
    Concurrency,
    /// [`Config::spin`].
    Spin,
    /// [`Config::helpers`] and [`Config::helper_queue`].
    Helpers,
    /// [`Config::events_per_wait`].
    EventsPerWait,
    /// [`Config::recycle`].
    Recycle,
    /// [`Config::submission`].
    Submission,
    /// [`Config::ring`].
    Ring,
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

impl Descriptor {
    /// How many workers run.
    pub(crate) fn worker_count(&self, config: &Config) -> usize {
        let or = |default| config.workers.map_or(default, NonZeroUsize::get);
        match self.workers {
            Workers::One => 1,
            Workers::Fixed(default) | Workers::Pool(default) | Workers::Runtime(default) => or(default),
            Workers::PerCpu | Workers::Sharing => or(std::thread::available_parallelism().map_or(1, NonZeroUsize::get)),
        }
    }

    /// How many workers are counted separately.
    pub(crate) fn counted_workers(&self, config: &Config) -> usize {
        match self.workers {
            Workers::Runtime(_) => 1,
            Workers::One | Workers::Fixed(_) | Workers::PerCpu | Workers::Sharing | Workers::Pool(_) => {
                self.worker_count(config)
            }
        }
    }

    /// How many loops share the server's descriptors.
    fn loops(&self, config: &Config) -> usize {
        match (self.concurrency, self.workers) {
            (Concurrency::Many, Workers::Sharing | Workers::Pool(_)) => 1,
            // A place has the worker that leaves, too.
            (Concurrency::Many, _) if config.recycle.is_some() => 2 * self.counted_workers(config),
            (Concurrency::Many, _) => self.counted_workers(config),
            (Concurrency::OnePerWorker | Concurrency::WorkerPerConnection(_), _) => 1,
        }
    }

    /// How many files the work on a disk may have open in this process at once, beyond one for each loop.
    pub(super) fn disk_files(&self, config: &Config) -> DiskFiles {
        let has = |option| self.options.contains(&option);
        match (self.concurrency, self.workers) {
            _ if config.disk.is_none() || self.connections_in == ConnectionsIn::Children => DiskFiles::UpTo(0),
            _ if has(ModelOption::Helpers) => DiskFiles::UpTo(config.helpers.get()),
            // Requests on a ring work for all connections at once.
            _ if has(ModelOption::Ring) => DiskFiles::OneForEachConnection,
            (Concurrency::WorkerPerConnection(_), _) => DiskFiles::OneForEachConnection,
            // One is the monitor's, which reads the states of the others.
            (_, Workers::Pool(_)) => DiskFiles::UpTo(self.worker_count(config).saturating_add(1)),
            (Concurrency::OnePerWorker, _) | (_, Workers::Sharing) => DiskFiles::UpTo(self.worker_count(config)),
            (Concurrency::Many, _) => DiskFiles::UpTo(0),
        }
    }

    /// How many connections the limit on descriptors allows.
    pub(crate) fn room(&self, config: &Config) -> usize {
        match self.connections_in {
            ConnectionsIn::Server => core::room(descriptor_limit(), self.loops(config), self.disk_files(config)),
            ConnectionsIn::Children => usize::MAX,
        }
    }

    /// How many connections a server is expected to have room for.
    pub(crate) fn usual_connections(&self, config: &Config) -> usize {
        config.max_connections.unwrap_or(match self.concurrency {
            Concurrency::WorkerPerConnection(most) => most,
            Concurrency::Many | Concurrency::OnePerWorker => 1000,
        })
    }

    /// Refuses a limit on descriptors that leaves next to nothing for connections.
    pub(crate) fn check_descriptors(&self, config: &Config) -> Result<(), String> {
        let files = self.disk_files(config);
        let limit = descriptor_limit();
        let least = core::least_limit(self.loops(config), files);
        if limit >= least {
            return Ok(());
        }
        let helps = files != DiskFiles::UpTo(0) && self.options.contains(&ModelOption::Helpers);
        let fewer = if helps { "--helpers" } else { "--workers" };
        Err(format!(
            "the limit on open descriptors is {limit}: raise it to {least} or more (ulimit -n), or give {fewer} fewer"
        ))
    }

    /// How many listeners share the port.
    pub(crate) fn listener_count(&self, config: &Config) -> usize {
        match self.port {
            PortSharing::OneListener => 1,
            PortSharing::ListenerPerWorker => self.worker_count(config),
            PortSharing::ByAcceptSharing if config.accept_sharing == AcceptSharing::Reuseport => {
                self.worker_count(config)
            }
            PortSharing::ByAcceptSharing => 1,
        }
    }
}
