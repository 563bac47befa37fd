//! The switch, the cables, and what a host sets up on its end.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, address};

use crate::netlink::{Effect, Netlink};

/// The index of the loopback interface in every namespace.
const LOOPBACK: u32 = 1;
/// The index of a host's only other interface. Indexes belong to their namespace.
pub(crate) const CARD: u32 = 2;
/// The index of the bridge in the switch's namespace.
const BRIDGE: u32 = 2;
/// The name of a host's interface.
pub(crate) const CARD_NAME: &str = "eth0";
/// Bits of the network's addresses that are the same.
const PREFIX: u8 = 16;

/// The index, in the switch, of the port of host number `number`.
pub(crate) fn port_index(number: u32) -> u32 {
    BRIDGE + 1 + number
}

/// Makes the bridge. It forwards from the start: there is no second switch with which it could form a loop.
pub(crate) fn make_bridge(switch: &Netlink) -> io::Result<()> {
    let mut bridge = link(BRIDGE);
    bridge.attributes = vec![
        LinkAttribute::IfName("br0".to_owned()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![
                InfoBridge::ForwardDelay(0),
                InfoBridge::StpState(netlink_packet_route::link::BridgeStpState::Disabled),
                InfoBridge::MulticastSnooping(false),
            ])),
        ]),
    ];
    switch.request(RouteNetlinkMessage::NewLink(bridge), Effect::Make)?;
    set_up(switch, BRIDGE)
}

/// Makes the cable from host number `number` to the switch, and plugs it in there.
pub(crate) fn make_cable(switch: &Netlink, number: u32, host: impl AsFd) -> io::Result<()> {
    let host: RawFd = host.as_fd().as_raw_fd();
    let mut card = link(CARD);
    card.attributes = vec![
        LinkAttribute::IfName(CARD_NAME.to_owned()),
        LinkAttribute::NetNsFd(host),
        one_frame_at_a_time(),
    ];
    let mut port = link(port_index(number));
    port.attributes = vec![
        LinkAttribute::IfName(format!("host{number}")),
        one_frame_at_a_time(),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(card))),
        ]),
    ];
    switch.request(RouteNetlinkMessage::NewLink(port), Effect::Make)?;
    let mut plug = link(port_index(number));
    plug.attributes = vec![LinkAttribute::Controller(BRIDGE)];
    switch.request(RouteNetlinkMessage::SetLink(plug), Effect::Change)?;
    set_up(switch, port_index(number))
}

/// Gives a host its address, and turns its interfaces on.
pub(crate) fn configure_host(host: &Netlink, at: Ipv4Addr) -> io::Result<()> {
    set_up(host, LOOPBACK)?;
    let mut message = AddressMessage::default();
    message.header = address::AddressHeader {
        family: AddressFamily::Inet,
        prefix_len: PREFIX,
        index: CARD,
        ..address::AddressHeader::default()
    };
    message.attributes = vec![AddressAttribute::Local(at.into()), AddressAttribute::Address(at.into())];
    host.request(RouteNetlinkMessage::NewAddress(message), Effect::Make)?;
    set_up(host, CARD)
}

/// Frames as a card sends them: a shaper takes a larger packet for one frame.
fn one_frame_at_a_time() -> LinkAttribute {
    LinkAttribute::GsoMaxSegs(1)
}

fn set_up(netlink: &Netlink, index: u32) -> io::Result<()> {
    let mut message = link(index);
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    netlink.request(RouteNetlinkMessage::SetLink(message), Effect::Change)
}

fn link(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}
