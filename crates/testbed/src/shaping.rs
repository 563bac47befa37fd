//! Rate and delay of one direction of a link: the queueing discipline of the interface that sends.

use std::io;
use std::time::Duration;

use c10k_sys::namespace;
use netlink_packet_core::DefaultNla;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use crate::discipline::Discipline;
use crate::netlink::{Effect, Netlink};
use crate::{Spec, TestbedError};

/// The index of the loopback interface, which a probe shapes in a namespace of its own.
const LOOPBACK: u32 = 1;

/// What the token bucket lets pass at once, in bytes: two full frames and a half.
const BURST: u32 = 4096;
/// How many bytes wait for the token bucket at most: a hundred full frames, as a card's ring.
const WAITING: u32 = 150_000;
/// How many frames are on a delayed link at least, and for a link without a rate that is delayed.
const DELAYED: u64 = 1000;
/// Bytes of a full frame of Ethernet.
const FRAME: u64 = 1514;

/// Checks whether the kernel has a queueing discipline, in a network namespace that ends with the check.
///
/// # Errors
/// [`TestbedError::Missing`] if it has not; [`TestbedError::Namespace`] if no namespace can be made.
pub fn probe(discipline: Discipline) -> Result<(), TestbedError> {
    let spec = match discipline {
        Discipline::Tbf => Spec {
            bits_per_second: Some(100_000_000),
            ..Spec::default()
        },
        Discipline::Netem => Spec {
            delay: Duration::from_micros(1),
            ..Spec::default()
        },
    };
    let namespace = namespace::new_network().map_err(TestbedError::Namespace)?;
    let outcome = namespace::inside_network(&namespace, || Ok(shape(&Netlink::open()?, LOOPBACK, &spec)));
    outcome.map_err(TestbedError::refused("probing a queueing discipline"))?
}

/// Gives the interface of that index the rate and delay of the specification, if it states any.
pub(crate) fn shape(netlink: &Netlink, index: u32, spec: &Spec) -> Result<(), TestbedError> {
    let bytes_per_second = spec.bits_per_second.map(|bits| bits / 8);
    let (discipline, options) = match (spec.delay, bytes_per_second) {
        (Duration::ZERO, None) => return Ok(()),
        (Duration::ZERO, Some(rate)) => (Discipline::Tbf, tbf(rate)),
        (delay, rate) => (Discipline::Netem, netem(delay, rate)),
    };
    let mut message = TcMessage::with_index(i32::try_from(index).unwrap_or(i32::MAX));
    message.header.parent = TcHandle::ROOT;
    message.attributes = vec![
        TcAttribute::Kind(discipline.name().to_owned()),
        TcAttribute::Other(DefaultNla::new(TCA_OPTIONS, options)),
    ];
    netlink
        .request(RouteNetlinkMessage::NewQueueDiscipline(message), Effect::Make)
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => TestbedError::Missing(discipline),
            _ => TestbedError::refused(format!("shaping a link with {discipline}"))(error),
        })
}

/// Attributes of linux/rtnetlink.h and linux/pkt_sched.h.
const TCA_OPTIONS: u16 = 2;
const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
const TCA_TBF_BURST: u16 = 6;
const TCA_NETEM_RATE: u16 = 6;
const TCA_NETEM_RATE64: u16 = 8;
const TCA_NETEM_LATENCY64: u16 = 10;
/// Frames of Ethernet, with no padding to cells.
const LINKLAYER_ETHERNET: u8 = 1;

/// `struct tc_tbf_qopt`, and the values that it has no room for.
fn tbf(bytes_per_second: u64) -> Vec<u8> {
    let mut parameters = Vec::new();
    // `struct tc_ratespec`: cell_log, linklayer, overhead, cell_align, mpu, rate.
    parameters.extend_from_slice(&[0, LINKLAYER_ETHERNET, 0, 0, 0, 0, 0, 0]);
    parameters.extend_from_slice(&saturated(bytes_per_second).to_ne_bytes());
    // No peak rate.
    parameters.extend_from_slice(&[0; 12]);
    parameters.extend_from_slice(&WAITING.to_ne_bytes());
    // The burst as a time, and the size of a second bucket: given in bytes below, and none.
    parameters.extend_from_slice(&[0; 8]);
    let mut options = attribute(TCA_TBF_PARMS, &parameters);
    options.extend(attribute(TCA_TBF_RATE64, &bytes_per_second.to_ne_bytes()));
    options.extend(attribute(TCA_TBF_BURST, &BURST.to_ne_bytes()));
    options
}

/// `struct tc_netem_qopt`, and the values that it has no room for.
fn netem(delay: Duration, bytes_per_second: Option<u64>) -> Vec<u8> {
    let mut options = Vec::new();
    // latency (in ticks: given in nanoseconds below), limit, loss, gap, duplicate, jitter.
    for value in [0, on_the_way(delay, bytes_per_second), 0, 0, 0, 0] {
        options.extend_from_slice(&value.to_ne_bytes());
    }
    let delay = i64::try_from(delay.as_nanos()).unwrap_or(i64::MAX);
    options.extend(attribute(TCA_NETEM_LATENCY64, &delay.to_ne_bytes()));
    if let Some(rate) = bytes_per_second {
        // `struct tc_netem_rate`: rate, packet_overhead, cell_size, cell_overhead.
        let mut of_rate = saturated(rate).to_ne_bytes().to_vec();
        of_rate.extend_from_slice(&[0; 12]);
        options.extend(attribute(TCA_NETEM_RATE, &of_rate));
        options.extend(attribute(TCA_NETEM_RATE64, &rate.to_ne_bytes()));
    }
    options
}

/// How many frames may be on a delayed link: twice those that it carries in the time of the delay, so that none is dropped for
/// being on the way.
fn on_the_way(delay: Duration, bytes_per_second: Option<u64>) -> u32 {
    let carried = bytes_per_second.map_or(0, |rate| {
        2 * u128::from(rate) * delay.as_nanos() / 1_000_000_000 / u128::from(FRAME)
    });
    u32::try_from(carried.max(u128::from(DELAYED))).unwrap_or(u32::MAX)
}

/// A rate that does not fit says so, and the kernel takes it from the attribute with 64 bits.
fn saturated(rate: u64) -> u32 {
    u32::try_from(rate).unwrap_or(u32::MAX)
}

/// One attribute with its header, padded to four bytes (netlink(7)).
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delayed_link_has_room_for_what_is_on_the_way() {
        let ms = Duration::from_millis;
        assert_eq!(on_the_way(ms(10), None), 1000);
        assert_eq!(on_the_way(ms(1), Some(12_500_000)), 1000);
        // 10 Gbit/s carry 12.5 MB in 10 ms.
        assert_eq!(on_the_way(ms(10), Some(1_250_000_000)), 16_512);
    }
}
