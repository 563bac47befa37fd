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
    let mask = format!("{:x}", 1_u64 << cpu);
    fs::write(format!("/sys/class/net/{CARD_NAME}/queues/rx-0/rps_cpus"), mask)
}

/// Lets listeners of the host of the calling thread have long queues. The kernel bounds them in each namespace anew.
pub(crate) fn lengthen_queues() -> io::Result<()> {
    for name in ["core/somaxconn", "ipv4/tcp_max_syn_backlog"] {
        fs::write(format!("/proc/sys/net/{name}"), "16384")?;
    }
    Ok(())
}
