//! Setting up the loopback interface, for a system without network configuration.

use std::io;
use std::os::fd::AsRawFd as _;

use rustix::net::{AddressFamily, SocketType, socket};

/// `ioctl(SIOCSIFFLAGS)` of `lo` with `IFF_UP | IFF_RUNNING` (netdevice(7)): brings the loopback interface up, which
/// also gives it 127.0.0.1.
///
/// # Errors
/// `EPERM` without CAP_NET_ADMIN, `ENODEV` if there is no `lo`.
pub fn bring_up() -> io::Result<()> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: `ifreq` is plain data, for which all zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is an `ifreq` with name and flags, and lives through the call.
    let answer = unsafe { libc::ioctl(any.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
