//! Hostile and broken servers: each gets a counted error, and the run ends in time with books that reconcile.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use c10k_load::{Bodies, LoadPlan, Pattern, Probe, Rate, Target, run};
use c10k_record::LoadSummary;
use rustix::net::sockopt::set_socket_linger;
use support::{Peer, read_request, wait_for_close};

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn plan(peer: &Peer, path: &str) -> LoadPlan {
    LoadPlan {
        rate: Rate::PerSecond(100.0),
        pattern: Pattern::InTurn {
            connections: NonZeroU64::new(4).unwrap(),
            per_connection: None,
        },
        duration: Duration::from_millis(300),
        timeout: Duration::from_millis(300),
        probe: Probe::Skip,
        // What is tested is what the server does, on however busy a machine.
        lag_bound: Duration::from_secs(60),
        ..LoadPlan::new(Target::parse(&peer.url(path)).unwrap())
    }
}

/// Runs the load and asserts what holds whatever the server does.
fn load(peer: &Peer, path: &str) -> LoadSummary {
    let begin = Instant::now();
    let summary = run(&plan(peer, path), |_| {}).unwrap().summary;
    assert_eq!(summary.intended, 30);
    assert!(summary.reconciles());
    assert_eq!(summary.in_flight, 0);
    // The schedule, one time limit, and a minute for a machine that is busy with other things: not for ever.
    assert!(begin.elapsed() < Duration::from_secs(60));
    summary
}

/// Asserts that every request that was sent failed in this one way.
#[track_caller]
fn assert_all(summary: &LoadSummary, kind: &str) {
    assert_eq!(summary.errors.get(kind), Some(&summary.sent), "{summary:?}");
    assert_eq!(summary.completed, 0);
    assert!(summary.latency_ns.p50 >= 300_000_000, "a failure must not look fast");
}

#[test]
fn a_sound_server_is_served_without_error() {
    let summary = load(&Peer::replying(GOOD), "/bytes/5");
    assert_eq!((summary.completed, summary.errors.len()), (30, 0));
    assert_eq!(summary.invalid_because, Vec::<String>::new());
}

#[test]
fn garbage() {
    assert_all(
        &load(&Peer::replying(*b"\x16\x03\x01 this is not HTTP\r\n\r\n"), "/bytes/5"),
        "malformed",
    );
}

#[test]
fn an_endless_header() {
    let peer = Peer::answering(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            stream.write_all(b"X-More: and more, and more, and more, and more, and more\r\n")?;
        }
    });
    assert_all(&load(&peer, "/bytes/5"), "malformed");
}

#[test]
fn a_header_without_line_ends() {
    let peer = Peer::answering(|stream| {
        loop {
            stream.write_all(&[b'H'; 1000])?;
        }
    });
    assert_all(&load(&peer, "/bytes/5"), "malformed");
}

#[test]
fn a_slow_trickle_times_out_whole_and_not_by_the_byte() {
    let peer = Peer::answering(|stream| {
        for byte in GOOD.iter().cycle() {
            stream.write_all(&[*byte])?;
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    });
    let summary = load(&peer, "/bytes/5");
    assert_eq!(summary.timed_out + summary.never_sent, 30, "{summary:?}");
}

#[test]
fn silence() {
    let summary = load(&Peer::start(|mut stream| wait_for_close(&mut stream)), "/bytes/5");
    assert_eq!(summary.timed_out + summary.never_sent, 30, "{summary:?}");
}

#[test]
fn a_reset() {
    let peer = Peer::start(|mut stream: TcpStream| {
        if read_request(&mut stream) {
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
    });
    assert_all(&load(&peer, "/bytes/5"), "connreset");
}

#[test]
fn a_close_before_the_first_byte_of_the_reply() {
    let peer = Peer::answering(|_| Err(std::io::ErrorKind::Other.into()));
    assert_all(&load(&peer, "/bytes/5"), "truncated");
}

#[test]
fn a_close_inside_the_body() {
    let peer = Peer::answering(|stream| {
        stream.write_all(&GOOD[..GOOD.len() - 2])?;
        Err(std::io::ErrorKind::Other.into())
    });
    assert_all(&load(&peer, "/bytes/5"), "truncated");
}

#[test]
fn bodies_of_another_length_than_promised() {
    let length = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_all(&load(&Peer::replying(length("four")), "/bytes/5"), "bad-length");
    assert_all(&load(&Peer::replying(length("sixsix")), "/bytes/5"), "bad-length");
    // More bytes than the head declared.
    assert_all(&load(&Peer::replying([GOOD, b"!"].concat()), "/bytes/5"), "bad-length");
}

#[test]
fn a_body_that_is_not_the_first_one() {
    let peer = Peer::start(|mut stream| {
        static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
        // The first connection is the probe's.
        let body = if CONNECTIONS.fetch_add(1, Ordering::SeqCst) == 0 {
            "hello"
        } else {
            "jello"
        };
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}");
        while read_request(&mut stream) && stream.write_all(reply.as_bytes()).is_ok() {}
    });
    let plan = LoadPlan {
        probe: Probe::Ask,
        bodies: Bodies::LikeTheFirst,
        ..plan(&peer, "/bytes/5")
    };
    assert_all(&run(&plan, |_| {}).unwrap().summary, "bad-body");
    // Now the probe gets the same as all others.
    assert_eq!(run(&plan, |_| {}).unwrap().summary.completed, 30);
}

#[test]
fn an_endless_body() {
    let peer = || {
        Peer::answering(|stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 65536])?;
            }
        })
    };
    assert_all(&load(&peer(), "/bytes/5"), "bad-length");
    // Nothing is promised of this path's length: the time limit ends it.
    let summary = load(&peer(), "/endless");
    assert_eq!(summary.timed_out + summary.never_sent, 30, "{summary:?}");
}

#[test]
fn an_error_status() {
    let peer = Peer::replying(*b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    assert_all(&load(&peer, "/bytes/5"), "bad-status");
}

#[test]
fn a_100_continue_and_chunks_with_trailers_are_no_errors() {
    let interim = [b"HTTP/1.1 100 Continue\r\n\r\n", GOOD].concat();
    assert_eq!(load(&Peer::replying(interim), "/bytes/5").completed, 30);
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nDigest: z\r\n\r\n";
    assert_eq!(load(&Peer::replying(*chunked), "/bytes/5").completed, 30);
    let until_close = Peer::answering(|stream| {
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello")?;
        Err(std::io::ErrorKind::Other.into())
    });
    assert_eq!(load(&until_close, "/bytes/5").completed, 30);
}

#[test]
fn unasked_bytes_between_replies_cost_the_connection_and_nothing_else() {
    let peer = Peer::start(|mut stream| {
        let _ = stream.write_all(b"unasked");
        while read_request(&mut stream) && stream.write_all(GOOD).is_ok() {}
    });
    let summary = load(&peer, "/bytes/5");
    // Whether the bytes or the request come first on a connection is a race; both ways are accounted for.
    let failed: u64 = summary.errors.values().sum();
    assert_eq!(
        summary.completed + failed + summary.timed_out + summary.never_sent,
        30,
        "{summary:?}"
    );
}

#[test]
fn one_bad_connection_does_not_harm_the_others() {
    let peer = Peer::start(|mut stream| {
        static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
        if CONNECTIONS.fetch_add(1, Ordering::SeqCst) == 0 {
            return wait_for_close(&mut stream);
        }
        while read_request(&mut stream) && stream.write_all(GOOD).is_ok() {}
    });
    let summary = load(&peer, "/bytes/5");
    // One of four connections is silent until its first request times out and it is made anew.
    assert!(summary.completed >= 22, "{summary:?}");
}

#[test]
fn a_stream_into_an_idle_connection_holds_nobody() {
    // Who has not asked by then is idle.
    const PATIENCE: Duration = Duration::from_secs(1);
    let peer = Peer::start(|mut stream: TcpStream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        if !read_request(&mut stream) {
            while stream.write_all(&[b'x'; 65536]).is_ok() {}
            return;
        }
        stream.set_read_timeout(None).unwrap();
        while stream.write_all(GOOD).is_ok() && read_request(&mut stream) {}
    });
    let begin = Instant::now();
    let plan = LoadPlan {
        idle: 2,
        duration: Duration::from_secs(3),
        ..plan(&peer, "/bytes/5")
    };
    let summary = run(&plan, |_| {}).unwrap().summary;
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert!(summary.reconciles());
    assert_eq!(
        (summary.completed, summary.idle.closed_by_server),
        (300, 2),
        "{summary:?}"
    );
    assert!(!summary.valid, "the idle pool is broken");
}
