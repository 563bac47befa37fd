//! Binding a local address without choosing a port.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io;

/// `setsockopt(2)` with `IP_BIND_ADDRESS_NO_PORT` (ip(7), Linux 4.2): a later `bind` to port 0 sets only the address,
/// and `connect` chooses the port. Since the destination is known then, one port can serve several destinations.
///
/// The option belongs to the IP level of IPv4 sockets and also applies to IPv6 sockets.
///
/// # Errors
/// Those of setsockopt(2); `ENOPROTOOPT` on a socket that is not an internet socket.
pub fn set_bind_address_no_port(socket: impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for the whole call, as `socket` borrows it; the option's value is a live c_int and
    // the length given is its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
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
    use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, socket};
    use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

    #[test]
    fn the_port_is_chosen_by_connect_and_not_by_bind() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        set_bind_address_no_port(&client).unwrap();
        bind(&client, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 0)).unwrap();
        let bound = SocketAddrV4::try_from(getsockname(&client).unwrap()).unwrap();
        assert_eq!((bound.ip().octets(), bound.port()), ([127, 0, 0, 2], 0));
        connect(&client, &listener.local_addr().unwrap()).unwrap();
        assert_ne!(SocketAddrV4::try_from(getsockname(&client).unwrap()).unwrap().port(), 0);
    }
}
