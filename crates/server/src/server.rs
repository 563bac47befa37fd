//! A bound server.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use c10k_record::ServeSummary;

use crate::accept::Listeners;
use crate::context::ServerContext;
use crate::descriptor_limit::descriptor_limit;
use crate::privileges::OwnThreads;
use crate::stats::SharedStats;
use crate::{Address, Config, Confinement, Listen, Model, ModelOption, ServeError, Stop, accept, log, privileges};

/// A server that listens but does not accept yet. Meanwhile the kernel completes connections.
#[derive(Debug)]
pub struct Server {
    model: Model,
    config: Config,
    listeners: Listeners,
    address: Address,
    file: Option<SocketFile>,
}

/// The file of a Unix socket that this server has made. It is removed when the server ends, if the server still may.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl SocketFile {
    /// `None` if the listener was inherited, or has no file.
    fn of(wanted: &Listen, address: &Address) -> Option<SocketFile> {
        match (wanted, address) {
            (Listen::Unix(wanted), Address::Unix(path)) if wanted == path => Some(SocketFile(path.clone())),
            _ => None,
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A server that has become another user or is confined may not. The next one reports the file that is left.
        let _ = fs::remove_file(&self.0);
    }
}

impl Server {
    /// Checks that the model and its mechanism can run here, and listens. If a service manager has handed over a socket
    /// (`LISTEN_FDS`), the server uses that, whatever address is configured. Then it becomes the configured user and confines
    /// itself: the calling thread, and the threads that this one starts later. Call it before any other thread is started;
    /// those keep their privileges.
    ///
    /// # Errors
    /// [`ServeError::ModelUnavailable`], [`ServeError::Mechanism`], [`ServeError::Listen`], [`ServeError::ListenUnix`],
    /// [`ServeError::Inherited`], [`ServeError::OneListener`], [`ServeError::User`], [`ServeError::Confine`], [`ServeError::DiskConfined`].
    pub fn bind(model: Model, config: Config) -> Result<Server, ServeError> {
        model.check(&config)?;
        if config.disk.is_some() {
            refuse_giving_up(&config)?;
        }
        let (listeners, address) = accept::open(&config.listen, model.descriptor().listener_count(&config))?;
        let file = SocketFile::of(&config.listen, &address);
        // The kernel lets only one user share a port, so all listeners are open before the user changes.
        if let Some(name) = &config.user {
            privileges::become_user(name)?;
        }
        let own_threads = if model.descriptor().options.contains(&ModelOption::Concurrency) {
            OwnThreads::Watched
        } else {
            OwnThreads::Unwatched
        };
        privileges::confine(config.confinement, config.root.as_ref(), address.port(), own_threads)?;
        Ok(Server {
            model,
            config,
            listeners,
            address,
            file,
        })
    }

    /// Where it listens. If port 0 was configured, this has the port that the kernel chose.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
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
            file,
            ..
        } = self;
        let mechanism = model.takes_mechanism().then_some(config.mechanism);
        let workers = model.descriptor().counted_workers(&config);
        let stats = SharedStats::open(model.name(), mechanism, workers)
            .map_err(|cause| ServeError::System { call: "mmap", cause })?;
        let room = model.descriptor().room(&config);
        if room < model.descriptor().usual_connections(&config) {
            log::few_descriptors(descriptor_limit(), room);
        }
        let server = Arc::new(ServerContext { config, stats, room });
        let outcome = (model.descriptor().run)(listeners, &server, stop);
        drop(file);
        outcome?;
        Ok(server.stats.summary())
    }
}

/// A server with a disk writes to it, as the user that it is.
fn refuse_giving_up(config: &Config) -> Result<(), ServeError> {
    let with = match (&config.user, config.confinement) {
        (Some(_), _) => "--user",
        (None, Confinement::Landlock) => "--landlock",
        (None, Confinement::None) => return Ok(()),
    };
    Err(ServeError::DiskConfined { with })
}
