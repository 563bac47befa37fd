//! A bound daemon.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use c10k_event::{InterestSet, OpenError};
use c10k_record::MonitorSummary;

use crate::listener::{self, Listener};
use crate::sampler::Sampler;
use crate::service::Service;
use crate::{Config, Counts, Model, MonitorError, Stop};

/// A daemon that listens but does not accept yet. Meanwhile the kernel completes connections.
#[derive(Debug)]
pub struct Monitor {
    model: Model,
    listener: Listener,
    address: SocketAddr,
    service: Service,
}

impl Monitor {
    /// Checks that the model and its mechanism can run here and that there is something to sample, and listens.
    ///
    /// # Errors
    /// [`MonitorError::Period`], [`MonitorError::Mechanism`], [`MonitorError::Proc`], [`MonitorError::Descriptors`],
    /// [`MonitorError::Listen`].
    pub fn bind(model: Model, config: Config) -> Result<Monitor, MonitorError> {
        config.check()?;
        let mut mechanism = None;
        if model.takes_mechanism() {
            let name = config.mechanism.name();
            let unavailable = |reason| OpenError::Unavailable {
                mechanism: name,
                reason,
            };
            config.mechanism.probe().map_err(unavailable)?;
            InterestSet::<OwnedFd>::open(config.mechanism)?;
            mechanism = Some(name);
        }
        Sampler::open(config.period)?;
        let room = listener::room()?;
        let counts = Counts::open(model.name(), mechanism).map_err(MonitorError::of_call("mmap"))?;
        let (listener, address) = Listener::open(config.listen)?;
        Ok(Monitor {
            model,
            listener,
            address,
            service: Service::new(config, counts, room),
        })
    }

    /// Where it listens. If port 0 was configured, this has the port that the kernel chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its counts, to be read while it runs.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.service.counts.clone()
    }

    /// Serves until `stop` is requested and every stream has ended, or the drain deadline has passed. Returns the totals.
    ///
    /// # Errors
    /// [`MonitorError`] where the mechanism cannot be opened or fails. Nothing that a client does is an error.
    pub fn run(self, stop: &Stop) -> Result<MonitorSummary, MonitorError> {
        (self.model.descriptor().run)(self.listener, &self.service, stop)?;
        Ok(self.service.counts.summary())
    }
}
