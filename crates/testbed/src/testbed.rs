//! Building it.

use std::io;
use std::net::Ipv4Addr;

use crate::netlink::Netlink;
use crate::shaping::shape;
use crate::switch::{CARD, configure_host, make_bridge, make_cable, port_index};
use crate::{Host, Spec, TestbedError, receive};

/// A server and its clients, joined by a switch. Dropping it ends it, as far as nothing runs there any more.
#[derive(Debug)]
pub struct Testbed {
    server: Host,
    clients: Vec<Host>,
    /// It holds the bridge and the switch's ends of the cables.
    _switch: Host,
}

impl Testbed {
    /// Builds one.
    ///
    /// # Errors
    /// [`TestbedError`]. What was built until then is gone.
    pub fn build(spec: &Spec) -> Result<Testbed, TestbedError> {
        spec.check()?;
        let switch = Host::new(Ipv4Addr::UNSPECIFIED)?;
        let server = Host::new(Ipv4Addr::new(10, 77, 0, 1))?;
        let clients = (1..=spec.hosts)
            .map(|number| Host::new(Ipv4Addr::new(10, 77, 1, number)))
            .collect::<Result<Vec<_>, _>>()?;
        within(&switch, |netlink| {
            make_bridge(netlink).map_err(TestbedError::refused("making the switch"))?;
            for (number, host) in (0..).zip([&server].into_iter().chain(&clients)) {
                make_cable(netlink, number, host)
                    .map_err(TestbedError::refused(format!("making the link of {}", host.address())))?;
                shape(netlink, port_index(number), spec)?;
            }
            Ok(())
        })?;
        for host in [&server].into_iter().chain(&clients) {
            within(host, |netlink| {
                configure_host(netlink, host.address()).map_err(TestbedError::refused(format!(
                    "giving a host the address {}",
                    host.address()
                )))?;
                shape(netlink, CARD, spec)
            })?;
        }
        let prepared = server.run(|| receive::lengthen_queues().and_then(|()| receive::steer(spec.receive)));
        prepared.map_err(TestbedError::refused("preparing the server's host"))?;
        Ok(Testbed {
            server,
            clients,
            _switch: switch,
        })
    }

    /// The host for the server.
    #[must_use]
    pub fn server(&self) -> &Host {
        &self.server
    }

    /// The hosts for clients, in the order of their addresses.
    #[must_use]
    pub fn clients(&self) -> &[Host] {
        &self.clients
    }
}

/// Makes requests about a host's network, inside of it.
fn within(host: &Host, requests: impl FnOnce(&Netlink) -> Result<(), TestbedError> + Send) -> Result<(), TestbedError> {
    let outcome: io::Result<Result<(), TestbedError>> = host.run(|| Ok(requests(&Netlink::open()?)));
    outcome.map_err(TestbedError::refused("asking the kernel about a network"))?
}
