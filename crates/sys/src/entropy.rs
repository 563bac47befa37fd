//! The kernel's random number generator: `RNDADDENTROPY` of random(4).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Bytes of [`Entropy`]: as many as the generator needs to be ready.
const BYTES: usize = 32;

/// `struct rand_pool_info` with its bytes.
#[repr(C)]
struct Entropy {
    bits: i32,
    size: i32,
    bytes: [u8; BYTES],
}

/// `_IOW('R', 3, int[2])`.
const RNDADDENTROPY: libc::Ioctl = 0x4008_5203_u32 as libc::Ioctl;

/// Seeds the generator with bytes that count as random, after which it is ready: reads of `/dev/random` do not wait for
/// entropy. For machines that have none, such as an emulated one. With fixed bytes, what it returns can be predicted.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`; if `/dev/random` cannot be opened.
pub fn seed(bytes: [u8; BYTES]) -> io::Result<()> {
    let random = File::options().write(true).open("/dev/random")?;
    let entropy = Entropy {
        bits: 8 * BYTES as i32,
        size: BYTES as i32,
        bytes,
    };
    // SAFETY: the kernel reads the two numbers and as many bytes as the second says, all of which are initialised.
    if unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY, &raw const entropy) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
