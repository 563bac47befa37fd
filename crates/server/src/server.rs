//! A bound server.

use std::net::SocketAddr;
use std::sync::Arc;

use c10k_record::ServeSummary;

use crate::context::ServerContext;
use crate::model::Listeners;
use crate::stats::SharedStats;
use crate::{Config, Model, ServeError, Stop, accept, privileges};

/// A server that listens but does not accept yet. Meanwhile the kernel completes connections.
#[derive(Debug)]
pub struct Server {
    model: Model,
    config: Config,
    listeners: Listeners,
    address: SocketAddr,
}

impl Server {
    /// Checks that the model and its mechanism can run here, and listens. If a service manager has handed over a socket
    /// (`LISTEN_FDS`), the server uses that, whatever address is configured. Then it becomes the configured user and confines
    /// itself: the calling thread, and the threads that this one starts later. Call it before any other thread is started;
    /// those keep their privileges.
    ///
    /// # Errors
    /// [`ServeError::ModelUnavailable`], [`ServeError::Mechanism`], [`ServeError::Listen`],
    /// [`ServeError::Inherited`], [`ServeError::User`], [`ServeError::Confine`].
    pub fn bind(model: Model, config: Config) -> Result<Server, ServeError> {
        model.check(&config)?;
        let port = model.descriptor().port(&config);
        let (first, address) = match accept::inherited()? {
            Some(inherited) => inherited,
            None => accept::open(config.listen, port)?,
        };
        // The kernel lets only one user share a port, so all listeners are opened before the user changes.
        let others = match port {
            accept::Port::Own => 0,
            accept::Port::Shared => model.descriptor().worker_count(&config) - 1,
        };
        let others = (0..others)
            .map(|_| accept::open(address, port).map(|(listener, _)| listener))
            .collect::<Result<_, _>>()?;
        if let Some(name) = &config.user {
            privileges::become_user(name)?;
        }
        privileges::confine(config.confinement, config.root.as_ref(), address)?;
        Ok(Server {
            model,
            config,
            listeners: Listeners { first, others },
            address,
        })
    }

    /// Where it listens. If port 0 was configured, this has the port that the kernel chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is requested and every request that was received is answered, or the drain deadline has passed.
    ///
    /// # Errors
    /// [`ServeError`] where the mechanism cannot be opened or fails. Nothing that a client does is an error.
    pub fn run(self, stop: &Stop) -> Result<ServeSummary, ServeError> {
        let Server {
            model,
            config,
            listeners,
            ..
        } = self;
        let mechanism = model.takes_mechanism().then_some(config.mechanism);
        let workers = model.descriptor().counted_workers(&config);
        let stats = SharedStats::open(model.name(), mechanism, workers)
            .map_err(|cause| ServeError::System { call: "mmap", cause })?;
        let server = Arc::new(ServerContext { config, stats });
        (model.descriptor().run)(listeners, &server, stop)?;
        Ok(server.stats.summary())
    }
}
