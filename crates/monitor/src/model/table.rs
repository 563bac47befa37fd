//! The table of models.

use std::fmt;

use super::descriptor::{Descriptor, Dispatch};
use super::{fork, one_loop, pool};
use crate::MonitorError;

/// Every model of the daemon, the default first.
pub static MODELS: &[Descriptor] = &[one_loop::ROW, fork::ROW, pool::ROW];

/// A handle on one row of [`MODELS`]. The default is the first.
#[derive(Clone, Copy)]
pub struct Model(&'static Descriptor);

impl Model {
    /// The model of that name.
    ///
    /// # Errors
    /// [`MonitorError::UnknownModel`], which lists the names that there are.
    pub fn named(name: &str) -> Result<Model, MonitorError> {
        Model::all()
            .find(|model| model.name() == name)
            .ok_or_else(|| MonitorError::UnknownModel {
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

    /// Whether an event mechanism drives it.
    #[must_use]
    pub fn takes_mechanism(self) -> bool {
        self.0.dispatch == Dispatch::Mechanism
    }
}

impl Default for Model {
    fn default() -> Model {
        Model(&MODELS[0])
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
