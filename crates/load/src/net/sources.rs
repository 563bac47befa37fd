//! Which local address each connection comes from.
//!
//! A connection is identified by its two addresses and two ports. So from one local address there can be at most as
//! many connections to a server as there are ephemeral ports (28,232 by default), including those in TIME_WAIT. If a run
//! needs more, it uses several local addresses in rotation. On loopback every address of 127.0.0.0/8 is local, so the
//! addresses 127.0.0.1, 127.0.0.2, … are used; elsewhere the caller lists the addresses of this host.
//!
//! If one address is enough, sockets are not bound: the kernel's choice at connect is cheapest and considers the whole
//! four-tuple. If a socket is bound to an address, connect still chooses the port (`IP_BIND_ADDRESS_NO_PORT`, ip(7)); a
//! port chosen at bind would have to be free for all destinations.

use std::net::{IpAddr, Ipv4Addr};

use crate::endpoint::Endpoint;
use crate::plan::Ports;

/// Local addresses, used in rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources {
    addresses: Vec<IpAddr>,
    ports: Option<Ports>,
    next: usize,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Source {
    /// The local address; the kernel's choice if `None`.
    pub(crate) address: Option<IpAddr>,
    /// The range of local ports; the kernel's range if `None`.
    pub(crate) ports: Option<Ports>,
}

/// The share of an address's ports that a plan uses. The rest is a reserve for other programs and for timing.
const USABLE_SHARE: f64 = 0.8;

/// The maximum number of loopback addresses, enough for 5 million connections.
const LOOPBACK_MAX: usize = 254;

impl Sources {
    /// The sources for a run that needs `ports` ports at once for connections to `destination`, if an address has
    /// `ports_per_address` ports. If the user has `listed` addresses, exactly these are used.
    #[must_use]
    pub(crate) fn plan(destination: &Endpoint, ports: u64, ports_per_address: u64, listed: &[IpAddr]) -> Self {
        let Endpoint::Internet(destination) = destination else {
            return Self {
                addresses: Vec::new(),
                ports: None,
                next: 0,
            };
        };
        let addresses = match destination.ip() {
            _ if !listed.is_empty() => listed.to_vec(),
            IpAddr::V4(address) if address.is_loopback() => {
                let usable = (ports_per_address as f64 * USABLE_SHARE).max(1.0);
                let count = (ports as f64 / usable).ceil().max(1.0) as usize;
                match count.min(LOOPBACK_MAX) {
                    1 => Vec::new(),
                    count => (1..=count as u8)
                        .map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
                        .collect(),
                }
            }
            _ => Vec::new(),
        };
        Self {
            addresses,
            ports: None,
            next: 0,
        }
    }

    /// The number of local addresses; 1 if the kernel chooses.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.addresses.len().max(1)
    }

    /// The source of the next connection.
    pub(crate) fn next_source(&mut self) -> Source {
        let address = self.addresses.get(self.next).copied();
        self.next = (self.next + 1) % self.len();
        Source {
            address,
            ports: self.ports,
        }
    }

    /// Sets the range of local ports.
    #[must_use]
    pub(crate) fn with_ports(mut self, ports: Option<Ports>) -> Self {
        self.ports = ports;
        self
    }

    /// Sets the first address, so that threads do not use the same addresses at the same time.
    #[must_use]
    pub(crate) fn starting_at(mut self, position: usize) -> Self {
        self.next = position % self.len();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    const LOOPBACK: Endpoint = Endpoint::Internet(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80));

    #[test]
    fn one_source_needs_no_bind() {
        let mut sources = Sources::plan(&LOOPBACK, 20_000, 28_232, &[]);
        assert_eq!((sources.len(), sources.next_source()), (1, Source::default()));
    }

    #[test]
    fn beyond_one_port_range_several_loopback_addresses_are_used() {
        let mut sources = Sources::plan(&LOOPBACK, 60_000, 28_232, &[]);
        let used: Vec<String> = (0..4)
            .filter_map(|_| sources.next_source().address)
            .map(|ip| ip.to_string())
            .collect();
        assert_eq!(used, ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"]);
    }

    #[test]
    fn elsewhere_only_listed_addresses_are_used() {
        let far = Endpoint::Internet(SocketAddr::from(([192, 0, 2, 1], 80)));
        assert_eq!(Sources::plan(&far, 1_000_000, 28_232, &[]).len(), 1);
        let listed = ["192.0.2.7".parse().unwrap(), "192.0.2.8".parse().unwrap()];
        let mut sources = Sources::plan(&far, 10, 28_232, &listed).starting_at(1);
        assert_eq!(sources.next_source().address, Some(listed[1]));
        assert_eq!(sources.next_source().address, Some(listed[0]));
    }
}
