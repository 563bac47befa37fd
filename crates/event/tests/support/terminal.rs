//! Pseudo-terminals for tests.

use rustix::{
    fs::OFlags,
    io::Errno,
    pty::OpenptFlags,
    termios::{OptionalActions, tcgetattr, tcsetattr},
};
use std::os::fd::OwnedFd;

/// The controlling side of a raw, non-blocking pseudo-terminal, and its terminal.
///
/// # Errors
/// Those of a machine that has no pseudo-terminals.
pub(crate) fn terminal_pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = rustix::pty::openpt(flags)?;
    rustix::pty::unlockpt(&controller)?;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&controller, flags)?;
    let mut modes = tcgetattr(&terminal)?;
    modes.make_raw();
    tcsetattr(&terminal, OptionalActions::Now, &modes)?;
    for side in [&controller, &terminal] {
        rustix::fs::fcntl_setfl(side, OFlags::RDWR | OFlags::NONBLOCK)?;
    }
    Ok((controller, terminal))
}
