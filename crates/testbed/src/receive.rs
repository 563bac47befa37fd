//! Which CPU handles the packets that a host receives.

use std::fs;
use std::io;

use c10k_sys::namespace;

use crate::Receive;
use crate::switch::CARD_NAME;

/// Steers the packets that the host of the calling thread receives. The thread must end after this: it has a mount
/// namespace of its own, because /sys shows the interfaces of the namespace in which it was mounted.
pub(crate) fn steer(receive: Receive) -> io::Result<()> {
    let Receive::Cpu(cpu) = receive else { return Ok(()) };
    namespace::mount_own_sys()?;
    fs::write(format!("/sys/class/net/{CARD_NAME}/queues/rx-0/rps_cpus"), mask(cpu))
}

/// The set of that one CPU, as the kernel reads it: words of 32 bits in hexadecimal, the highest first. It refuses words for CPUs
/// beyond those that it can have, so there are no more than needed.
fn mask(cpu: u8) -> String {
    match cpu.checked_sub(32) {
        None => format!("{:x}", 1_u32 << cpu),
        Some(high) => format!("{:x},00000000", 1_u32 << high),
    }
}

/// Lets listeners of the host of the calling thread have long queues. The kernel bounds them in each namespace anew.
pub(crate) fn lengthen_queues() -> io::Result<()> {
    for name in ["core/somaxconn", "ipv4/tcp_max_syn_backlog"] {
        fs::write(format!("/proc/sys/net/{name}"), "16384")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_cpus_has_words_of_32_bits() {
        assert_eq!([0, 5, 31].map(mask), ["1", "20", "80000000"]);
        assert_eq!([32, 63].map(mask), ["1,00000000", "80000000,00000000"]);
    }
}
