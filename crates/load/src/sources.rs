//! Which local address each connection is made from.
//!
//! A connection is told apart by its four numbers, so one local address offers one server at most as many connections
//! as there are ephemeral ports (28,232 by default), those in TIME_WAIT included. Where a run needs more, connections
//! are spread in turn over several local addresses. On loopback every address of 127.0.0.0/8 is local, so there the
//! addresses are simply counted up from 127.0.0.1; elsewhere the caller lists the addresses of this host.
//!
//! Where one address suffices nothing is bound at all: the kernel's own choice at connect is cheapest and knows the
//! whole four-tuple. Where an address is bound, the port is left to connect (`IP_BIND_ADDRESS_NO_PORT`, ip(7)); a port
//! chosen at bind would have to be free for every destination at once.

use std::net::{IpAddr, Ipv4Addr};

use crate::endpoint::Endpoint;

/// Local addresses, used in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    addresses: Vec<IpAddr>,
    ports: Option<Ports>,
    next: usize,
}

/// Where one connection is to come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Source {
    /// The local address; `None` leaves the choice to the kernel, without a bind.
    pub address: Option<IpAddr>,
    /// The ports to choose from; `None` is the kernel's range.
    pub ports: Option<Ports>,
}

/// A range of local ports (`IP_LOCAL_PORT_RANGE`, Linux 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The first, at least 1.
    pub first: u16,
    /// The last, not below the first.
    pub last: u16,
}

impl Ports {
    /// Number of ports.
    #[must_use]
    pub fn count(self) -> u64 {
        u64::from(self.last.saturating_sub(self.first)) + 1
    }
}

/// Share of an address's ports that is planned with; the rest is left to other programs and to unlucky timing.
const USABLE_SHARE: f64 = 0.8;

/// Local addresses on loopback are taken from 127.0.0.1 to 127.0.0.254, which is 5 million connections and more.
const LOOPBACK_MAX: usize = 254;

impl Sources {
    /// The sources for a run that needs `ports` ports at once towards `destination`, where one address has
    /// `ports_per_address` of them. `listed` are addresses given by the user; they are all used.
    #[must_use]
    pub fn plan(destination: &Endpoint, ports: u64, ports_per_address: u64, listed: &[IpAddr]) -> Self {
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

    /// How many connections can be open at once towards one destination.
    #[must_use]
    pub fn capacity(&self, ports_per_address: u64) -> u64 {
        self.len() as u64 * ports_per_address
    }

    /// Number of local addresses, one where the kernel chooses.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always a source")]
    pub fn len(&self) -> usize {
        self.addresses.len().max(1)
    }

    /// Where the next connection is to come from.
    pub fn next_source(&mut self) -> Source {
        let address = self.addresses.get(self.next).copied();
        self.next = (self.next + 1) % self.len();
        Source {
            address,
            ports: self.ports,
        }
    }

    /// Narrows the local ports.
    #[must_use]
    pub fn with_ports(mut self, ports: Option<Ports>) -> Self {
        self.ports = ports;
        self
    }

    /// Moves the start of the turn, so that threads do not walk the addresses in step.
    #[must_use]
    pub fn starting_at(mut self, position: usize) -> Self {
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
    fn one_source_is_no_bind() {
        let mut sources = Sources::plan(&LOOPBACK, 20_000, 28_232, &[]);
        assert_eq!((sources.len(), sources.next_source()), (1, Source::default()));
    }

    #[test]
    fn beyond_one_port_range_loopback_addresses_are_used_in_turn() {
        let mut sources = Sources::plan(&LOOPBACK, 60_000, 28_232, &[]);
        let turn: Vec<String> = (0..4)
            .filter_map(|_| sources.next_source().address)
            .map(|ip| ip.to_string())
            .collect();
        assert_eq!(turn, ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"]);
        assert!(sources.capacity(28_232) > 60_000);
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
