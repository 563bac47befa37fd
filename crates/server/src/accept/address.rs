//! Where a server listens.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use crate::ServeError;

/// Where a server is to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// On the first of these that is an address of this machine. Port 0 lets the kernel choose.
    Internet(Vec<SocketAddr>),
    /// On a Unix socket, whose file the server makes and removes.
    Unix(PathBuf),
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Listen {
        Listen::Internet(vec![address])
    }
}

impl Listen {
    /// Reads `ADDRESS:PORT`, `NAME:PORT` or `unix:PATH`. A name stands for all its addresses.
    ///
    /// # Errors
    /// [`ServeError::Resolve`] where it is none of these, or the name has no address.
    pub fn named(text: &str) -> Result<Listen, ServeError> {
        let refused = |reason: String| ServeError::Resolve {
            text: text.to_owned(),
            reason,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            // The field of sockaddr_un(7) has 108 bytes, with the zero that ends it.
            return if (1..108).contains(&path.len()) && !path.contains('\0') {
                Ok(Listen::Unix(path.into()))
            } else {
                Err(refused("the path of a Unix socket has 1 to 107 bytes".to_owned()))
            };
        }
        let addresses = text.to_socket_addrs().map_err(|error| refused(error.to_string()))?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        if addresses.is_empty() {
            return Err(refused("the name has no address".to_owned()));
        }
        Ok(Listen::Internet(addresses))
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Internet(SocketAddr),
    /// The path of a Unix socket; empty if it has none.
    Unix(PathBuf),
}

impl Address {
    /// What a client is given to connect.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Address::Internet(address) => format!("http://{address}/"),
            Address::Unix(_) => self.to_string(),
        }
    }

    /// Its port, if it has one.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Address::Internet(address) => Some(address.port()),
            Address::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Internet(address) => address.fmt(formatter),
            Address::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_names_and_paths_are_distinguished() {
        let internet = Listen::named("127.0.0.1:80").expect("an address");
        assert_eq!(internet, Listen::from(SocketAddr::from(([127, 0, 0, 1], 80))));
        let Ok(Listen::Internet(addresses)) = Listen::named("localhost:0") else {
            panic!("every machine has this name");
        };
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        assert_eq!(Listen::named("unix:/a").expect("a path"), Listen::Unix("/a".into()));
        let long = format!("unix:/{}", "a".repeat(107));
        for bad in [
            "unix:",
            "unix:a\0b",
            long.as_str(),
            "nowhere",
            "localhost",
            "127.0.0.1:x",
        ] {
            Listen::named(bad).expect_err(bad);
        }
    }
}
