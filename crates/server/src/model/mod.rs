//! The table of models. A model is one file and one row.

mod async_tasks;
mod children;
mod event_loop;
mod fork_per_connection;
mod io_uring;
mod loop_per_core;
mod preforked;
mod thread_per_connection;
mod thread_pool;

use std::fmt;

use c10k_event::{InterestSet, OpenError};
use c10k_record::ServeSummary;

use crate::{Config, ServeError, Server, Stop};

/// Every concurrency model, in the order in which lists show them.
pub static MODELS: &[Descriptor] = &[
    event_loop::ROW,
    loop_per_core::ROW,
    fork_per_connection::ROW,
    preforked::ROW,
    thread_per_connection::ROW,
    thread_pool::ROW,
    io_uring::ROW,
    async_tasks::ROW,
];

/// Whether a model is driven by an event mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dispatch {
    /// It takes any mechanism.
    Mechanism,
    /// It has its own way to wait.
    Own,
}

/// One row of [`MODELS`].
pub struct Descriptor {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Whether it is driven by an event mechanism.
    pub dispatch: Dispatch,
    /// Why it cannot run here, if so, with what lifts it.
    pub(crate) probe: fn() -> Result<(), String>,
    /// Why it cannot run as it is configured, if so, with what lifts it.
    pub(crate) check: fn(&Config) -> Result<(), String>,
    pub(crate) run: fn(Server, &Stop) -> Result<ServeSummary, ServeError>,
}

/// A handle on one row of [`MODELS`].
#[derive(Clone, Copy)]
pub struct Model(&'static Descriptor);

impl Model {
    /// The model of that name.
    ///
    /// # Errors
    /// [`ServeError::UnknownModel`], which lists the names that there are.
    pub fn named(name: &str) -> Result<Model, ServeError> {
        Model::all()
            .find(|model| model.name() == name)
            .ok_or_else(|| ServeError::UnknownModel {
                name: name.to_owned(),
                known: Model::all().map(Model::name).collect::<Vec<_>>().join(", "),
            })
    }

    /// Every model, in table order.
    pub fn all() -> impl Iterator<Item = Model> {
        MODELS.iter().map(Model)
    }

    /// The row.
    #[must_use]
    pub fn descriptor(self) -> &'static Descriptor {
        self.0
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Whether it can run here.
    ///
    /// # Errors
    /// The reason, with what lifts it.
    pub fn availability(self) -> Result<(), String> {
        (self.0.probe)()
    }

    pub(crate) fn probe(self, config: &Config) -> Result<(), ServeError> {
        self.availability()
            .and_then(|()| (self.0.check)(config))
            .map_err(|reason| ServeError::ModelUnavailable {
                model: self.name(),
                reason,
            })?;
        match self.0.dispatch {
            Dispatch::Mechanism => {
                let mechanism = config.mechanism.name();
                config
                    .mechanism
                    .probe()
                    .map_err(|reason| OpenError::Unavailable { mechanism, reason })?;
                // Options that the mechanism refuses are found out here too, before anybody is told of the port.
                InterestSet::<std::os::fd::OwnedFd>::open_with(config.mechanism, &config.event_options)?;
                Ok(())
            }
            Dispatch::Own => Ok(()),
        }
    }
}

impl PartialEq for Model {
    fn eq(&self, other: &Model) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Model {}

impl fmt::Debug for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
