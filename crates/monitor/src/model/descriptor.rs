//! What a row of the table of models holds.

use crate::listener::Listener;
use crate::service::Service;
use crate::{MonitorError, Stop};

/// One row of [`MODELS`](crate::MODELS).
pub struct Descriptor {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Whether an event mechanism drives it.
    pub dispatch: Dispatch,
    /// How many workers it has.
    pub workers: Workers,
    /// Serves until the stop is requested and the drain is over.
    pub(crate) run: fn(Listener, &Service, &Stop) -> Result<(), MonitorError>,
}

/// What reports that a socket is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dispatch {
    /// [`Config::mechanism`](crate::Config::mechanism).
    Mechanism,
    /// Each worker waits for its own connection.
    Own,
}

/// How many workers a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One, for all connections.
    One,
    /// One for each connection.
    PerConnection,
    /// So many, unless [`Config::workers`](crate::Config::workers) says otherwise.
    Fixed(usize),
}
