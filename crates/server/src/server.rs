//! A bound server.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use c10k_record::ServeSummary;

use crate::{Config, ServeError, Stop, listener, privileges};

/// A server that listens and has not begun to accept; the kernel completes connections meanwhile.
#[derive(Debug)]
pub struct Server {
    pub(crate) config: Config,
    pub(crate) listener: OwnedFd,
    /// Those of the other workers, where each has its own.
    pub(crate) siblings: Vec<OwnedFd>,
    address: SocketAddr,
}

impl Server {
    /// Finds out whether model and mechanism can run here, and listens; on the socket that a service manager has handed
    /// over (`LISTEN_FDS`), if there is one, whatever address is configured. Then becomes the configured user and confines
    /// itself: the calling thread and those that it starts afterwards. Threads that are there already keep more, so call
    /// it before any is started.
    ///
    /// # Errors
    /// [`ServeError::ModelUnavailable`], [`ServeError::Mechanism`], [`ServeError::Listen`],
    /// [`ServeError::Inherited`], [`ServeError::User`], [`ServeError::Confine`].
    pub fn bind(config: Config) -> Result<Server, ServeError> {
        config.model.probe(&config)?;
        let (listener, address) = match listener::inherited()? {
            Some(inherited) => inherited,
            None => listener::open(config.listen, listener::port_of(&config))?,
        };
        let siblings = listener::siblings(&config, address)?;
        if let Some(name) = &config.user {
            privileges::become_user(name)?;
        }
        privileges::confine(config.confinement, config.root.as_ref(), address)?;
        Ok(Server {
            config,
            listener,
            siblings,
            address,
        })
    }

    /// Where it listens, with the port that the kernel chose where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is requested and everything in flight was answered, or the drain deadline has passed.
    ///
    /// # Errors
    /// [`ServeError`] where the mechanism cannot be opened or fails; never for what a client does.
    pub fn run(self, stop: &Stop) -> Result<ServeSummary, ServeError> {
        let run = self.config.model.descriptor().run;
        run(self, stop)
    }
}
