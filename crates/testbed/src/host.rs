//! A host: a network namespace with an address.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use c10k_sys::namespace;

use crate::TestbedError;

/// A host of a testbed.
#[derive(Debug)]
pub struct Host {
    namespace: OwnedFd,
    address: Ipv4Addr,
}

impl AsFd for Host {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

impl Host {
    pub(crate) fn new(address: Ipv4Addr) -> Result<Host, TestbedError> {
        let namespace = namespace::new_network().map_err(TestbedError::Namespace)?;
        Ok(Host { namespace, address })
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A path by which other processes of the same user can open its namespace, as long as this host exists.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let (process, descriptor) = (std::process::id(), self.namespace.as_raw_fd());
        PathBuf::from(format!("/proc/{process}/fd/{descriptor}"))
    }

    /// Runs `work` in a thread inside of the host, and waits for it. Sockets that it makes are the host's.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN` in the user namespace of the host; those of the work.
    ///
    /// # Panics
    /// If the work panics.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        namespace::inside_network(&self.namespace, work)
    }
}
