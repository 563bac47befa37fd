//! The range of local ports that one socket may get.

use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io;

/// `IP_LOCAL_PORT_RANGE` of `linux/in.h`, which the libc crate does not have.
const IP_LOCAL_PORT_RANGE: libc::c_int = 51;

/// `setsockopt(2)` with `IP_LOCAL_PORT_RANGE` (ip(7), Linux 6.3): narrows the ports that bind or connect choose from to
/// `ports`. If the range does not overlap `net.ipv4.ip_local_port_range`, the kernel ignores it.
///
/// # Errors
/// `ENOPROTOOPT` on a kernel without it; `EINVAL` if the range is empty.
pub fn set_local_port_range(socket: impl AsFd, ports: RangeInclusive<u16>) -> io::Result<()> {
    let value = u32::from(*ports.start()) | u32::from(*ports.end()) << 16;
    // SAFETY: the descriptor is open for the whole call, as `socket` borrows it; the option's value is a live u32 and
    // the length given is its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            IP_LOCAL_PORT_RANGE,
            (&raw const value).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error()
            .raw_os_error()
            .map_or(io::Errno::IO, io::Errno::from_raw_os_error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketType, connect, getsockname, socket};
    use std::net::{SocketAddrV4, TcpListener};

    #[test]
    fn connect_takes_its_port_from_the_range_and_an_empty_range_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        set_local_port_range(&client, 50_000..=50_100).unwrap();
        connect(&client, &listener.local_addr().unwrap()).unwrap();
        let port = SocketAddrV4::try_from(getsockname(&client).unwrap()).unwrap().port();
        assert!((50_000..=50_100).contains(&port), "{port}");
        #[expect(clippy::reversed_empty_ranges, reason = "the point of the test")]
        let empty = 50_100..=50_000;
        assert_eq!(set_local_port_range(&client, empty), Err(io::Errno::INVAL));
    }
}
