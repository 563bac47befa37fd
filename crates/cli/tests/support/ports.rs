//! Ports for servers that cannot choose one themselves.

use std::net::TcpStream;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port of 127.0.0.1 that nothing listens on, that no other call returns, and that the kernel gives to nobody.
///
/// A port that the kernel chose for a listener can still be in use after that is closed: a child that another thread has
/// just forked has the listener until it executes its program.
pub(crate) fn free_port() -> u16 {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    // Below the range from which the kernel chooses by default (32768 to 60999).
    let first = 10_000 + (process::id() % 220) as u16 * 100;
    loop {
        let port = first + CALLS.fetch_add(1, Ordering::Relaxed) % 100;
        if TcpStream::connect(("127.0.0.1", port)).is_err() {
            return port;
        }
    }
}
