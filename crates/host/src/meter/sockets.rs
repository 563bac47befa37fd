//! Sockets of the network namespace of a thread.

use std::fs;
use std::io;

/// TCP sockets in use in the network namespace of the calling thread, IPv4 and IPv6, without those in TIME-WAIT
/// (`/proc/thread-self/net/sockstat`, `inuse`). On loopback both ends of a connection count.
///
/// # Errors
/// When `/proc/thread-self/net/sockstat` cannot be read.
pub fn tcp_sockets() -> io::Result<u64> {
    let four = in_use(&fs::read_to_string("/proc/thread-self/net/sockstat")?, "TCP:");
    let six = fs::read_to_string("/proc/thread-self/net/sockstat6").map_or(0, |text| in_use(&text, "TCP6:"));
    Ok(four + six)
}

fn in_use(sockstat: &str, protocol: &str) -> u64 {
    let count = sockstat.lines().find_map(|line| {
        let mut fields = line.strip_prefix(protocol)?.split_whitespace();
        fields.find(|&field| field == "inuse")?;
        fields.next()?.parse().ok()
    });
    count.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_protocol_asked_for_is_counted() {
        let text = "sockets: used 13\nTCP: inuse 12 orphan 0 tw 7 alloc 1 mem 133\nUDP: inuse 3 mem 0\n";
        assert_eq!(in_use(text, "TCP:"), 12);
        assert_eq!(in_use(text, "TCP6:"), 0);
    }
}
