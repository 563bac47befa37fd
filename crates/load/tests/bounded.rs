//! The generator's memory is bounded, however much a server sends. This is a separate program because it measures the
//! memory of the process.

mod support;

use std::io::Write;
use std::num::NonZeroU64;
use std::time::Duration;

use c10k_load::{LoadPlan, Pattern, Probe, Rate, Target, run};
use support::{HANG, Peer};

/// The maximum resident memory of this process so far, KiB.
fn resident_max_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Loads a server over 20 connections for half a second. Endless replies time out after that.
fn load(peer: &Peer) {
    let plan = LoadPlan {
        rate: Rate::PerSecond(200.0),
        pattern: Pattern::RoundRobin {
            connections: NonZeroU64::new(20).unwrap(),
            per_connection: None,
        },
        duration: Duration::from_millis(500),
        timeout: Duration::from_millis(500),
        probe: Probe::Skip,
        lag_bound: HANG,
        ..LoadPlan::new(Target::parse(&peer.url("/anything")).unwrap())
    };
    assert!(run(&plan, |_| {}).unwrap().summary.intended > 0);
}

/// A server that replies with `head` and then `more` without end.
fn endless(head: &'static [u8], more: &'static [u8]) -> Peer {
    Peer::answering(move |stream| {
        stream.write_all(head)?;
        loop {
            stream.write_all(more)?;
        }
    })
}

#[test]
fn endless_replies_do_not_fill_the_memory() {
    static ZEROS: [u8; 65536] = [b'0'; 65536];
    load(&Peer::replying(*b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
    let before = resident_max_kib();
    let replies: [(&[u8], &[u8]); 7] = [
        (b"HTTP/1.1 200 OK\r\n\r\n", &ZEROS),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"5\r\nhello\r\n",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &ZEROS),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"Trailer: more\r\n",
        ),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", &ZEROS),
    ];
    for (head, more) in replies {
        load(&endless(head, more));
    }
    let grown = resident_max_kib().saturating_sub(before);
    // This allows for 20 heads of 64 KiB, the limit, and the stacks of the server's threads. The replies are gigabytes.
    assert!(grown < 8 * 1024, "{grown} KiB");
}
