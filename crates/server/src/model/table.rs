//! The table of models.

use std::fmt;
use std::os::fd::OwnedFd;

use c10k_event::{InterestSet, Mechanism, OpenError};

use super::descriptor::{Concurrency, Descriptor, Dispatch};
#[cfg(feature = "fake-rows")]
use super::fake;
use super::{
    async_tasks, completion_port, event_loop, fork_per_connection, io_uring, leader_follower, loop_per_core,
    loop_with_helpers, preforked, shared_queue, thread_per_connection, thread_pool, user_threads,
};
use crate::{Config, ServeError};

/// Every concurrency model, in the order in which lists show them.
pub static MODELS: &[Descriptor] = &[
    event_loop::ROW,
    loop_with_helpers::ROW,
    loop_per_core::ROW,
    shared_queue::ROW,
    leader_follower::ROW,
    completion_port::ROW,
    fork_per_connection::ROW,
    preforked::ROW,
    thread_per_connection::ROW,
    thread_pool::ROW,
    user_threads::ROW,
    io_uring::ROW,
    async_tasks::ROW,
    #[cfg(feature = "fake-rows")]
    fake::ROW,
];

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

    /// One line.
    #[must_use]
    pub fn summary(self) -> &'static str {
        self.0.summary
    }

    /// Whether it is driven by an event mechanism.
    #[must_use]
    pub fn takes_mechanism(self) -> bool {
        self.0.dispatch == Dispatch::Mechanism
    }

    /// Whether it has a fixed number of workers, each of which serves one connection at a time: to keep N connections open,
    /// it needs N workers.
    #[must_use]
    pub fn serves_one_connection_per_worker(self) -> bool {
        self.0.concurrency == Concurrency::OnePerWorker
    }

    /// Whether it can run here.
    ///
    /// # Errors
    /// The reason, and what to do about it.
    pub fn availability(self) -> Result<(), String> {
        (self.0.probe)()
    }

    /// Whether it can run on this mechanism, as far as the rows of the two say: a model may need to use an interest set in a
    /// way that a mechanism does not allow. Whether the mechanism can run here is for [`Mechanism::probe`] to say. A model that
    /// is not driven by a mechanism runs on any.
    ///
    /// # Errors
    /// The reason, and what to do about it.
    pub fn fits(self, mechanism: Mechanism) -> Result<(), String> {
        if self.takes_mechanism() {
            (self.0.check)(&Config::new(mechanism))
        } else {
            Ok(())
        }
    }

    /// Whether it can run as it is configured.
    pub(crate) fn check(self, config: &Config) -> Result<(), ServeError> {
        self.availability()
            .and_then(|()| (self.0.check)(config))
            .and_then(|()| self.0.check_descriptors(config))
            .map_err(|reason| ServeError::ModelUnavailable {
                model: self.name(),
                reason,
            })?;
        if self.takes_mechanism() {
            let mechanism = config.mechanism.name();
            config
                .mechanism
                .probe()
                .map_err(|reason| OpenError::Unavailable { mechanism, reason })?;
            // Options that the mechanism refuses are an error before the port is announced.
            InterestSet::<OwnedFd>::open_with(config.mechanism, &config.event_options)?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::core::DiskFiles;
    use crate::{DiskOptions, DiskStore};

    #[test]
    fn with_a_disk_there_is_a_descriptor_for_each_file_that_may_be_open() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let options = DiskOptions {
            files: 1,
            file_size: 1,
            ..DiskOptions::default()
        };
        let mut config = Config::new(Mechanism::named("poll").expect("it is in the table"));
        config.workers = NonZeroUsize::new(5);
        let disk_files = |config: &Config, model| {
            let model = Model::named(model).expect("it is in the table");
            model.descriptor().disk_files(config)
        };
        assert_eq!(disk_files(&config, "thread-pool"), DiskFiles::UpTo(0));
        config.disk = Some(DiskStore::open(directory.path(), options).expect("one file"));
        for (model, files) in [
            // A loop does the work itself.
            ("event-loop", DiskFiles::UpTo(0)),
            ("loop-per-core", DiskFiles::UpTo(0)),
            ("user-threads", DiskFiles::UpTo(0)),
            // Helpers do it.
            ("loop-with-helpers", DiskFiles::UpTo(32)),
            ("async-tasks", DiskFiles::UpTo(32)),
            // So does each thread, and there is a monitor.
            ("shared-queue", DiskFiles::UpTo(5)),
            ("leader-follower", DiskFiles::UpTo(5)),
            ("thread-pool", DiskFiles::UpTo(5)),
            ("completion-port", DiskFiles::UpTo(6)),
            // Each connection may be at it.
            ("thread-per-connection", DiskFiles::OneForEachConnection),
            ("io-uring", DiskFiles::OneForEachConnection),
            // Processes have their own descriptors.
            ("fork-per-connection", DiskFiles::UpTo(0)),
            ("preforked", DiskFiles::UpTo(0)),
        ] {
            assert_eq!(disk_files(&config, model), files, "{model}");
        }
    }
}
