//! Hostile and broken servers: each causes a counted error, and the run ends with counts that reconcile.
//!
//! Requests that must be answered have a time limit that only a hang reaches.

mod support;

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use c10k_load::{Bodies, LoadPlan, Pattern, Probe, Rate, Target, run};
use c10k_record::LoadSummary;
use rustix::net::sockopt::set_socket_linger;
use support::{HANG, Peer, read_request, wait_for_close};

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
/// The number of connections for requests.
const CONNECTIONS: u64 = 4;
/// The number of requests of a run.
const REQUESTS: u64 = 30;

fn plan(peer: &Peer, path: &str) -> LoadPlan {
    LoadPlan {
        rate: Rate::PerSecond(100.0),
        pattern: Pattern::RoundRobin {
            connections: NonZeroU64::new(CONNECTIONS).unwrap(),
            per_connection: None,
        },
        duration: Duration::from_millis(300),
        timeout: HANG,
        probe: Probe::Skip,
        lag_bound: HANG,
        ..LoadPlan::new(Target::parse(&peer.url(path)).unwrap())
    }
}

/// Runs a plan and asserts what holds whatever the server does.
fn run_plan(plan: &LoadPlan) -> LoadSummary {
    let summary = run(plan, |_| {}).unwrap().summary;
    assert_eq!((summary.intended, summary.in_flight), (REQUESTS, 0));
    assert!(summary.reconciles());
    summary
}

fn load(peer: &Peer, path: &str) -> LoadSummary {
    run_plan(&plan(peer, path))
}

/// Loads a server that never completes a reply, and asserts that no request completes.
fn assert_all_time_out(peer: &Peer, path: &str) {
    let summary = run_plan(&LoadPlan {
        timeout: Duration::from_millis(300),
        ..plan(peer, path)
    });
    assert_eq!(summary.timed_out + summary.never_sent, REQUESTS, "{summary:?}");
}

/// Asserts that every request failed in this way.
#[track_caller]
fn assert_all_fail(summary: &LoadSummary, kind: &str) {
    assert_eq!(summary.errors.get(kind), Some(&REQUESTS), "{summary:?}");
    assert_eq!(summary.completed, 0);
    let limit = u64::try_from(HANG.as_nanos()).unwrap();
    assert!(summary.latency_ns.p50 >= limit, "a failure counts with the time limit");
}

#[test]
fn a_correct_server_causes_no_errors() {
    let summary = load(&Peer::replying(GOOD), "/bytes/5");
    assert_eq!((summary.completed, summary.errors.len()), (REQUESTS, 0));
    assert_eq!(summary.invalid_because, Vec::<String>::new());
}

#[test]
fn garbage() {
    let peer = Peer::replying(*b"\x16\x03\x01 this is not HTTP\r\n\r\n");
    assert_all_fail(&load(&peer, "/bytes/5"), "malformed");
}

#[test]
fn an_endless_header() {
    let peer = Peer::answering(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            stream.write_all(b"X-More: and more, and more, and more, and more, and more\r\n")?;
        }
    });
    assert_all_fail(&load(&peer, "/bytes/5"), "malformed");
}

#[test]
fn a_header_without_line_ends() {
    let peer = Peer::answering(|stream| {
        loop {
            stream.write_all(&[b'H'; 1000])?;
        }
    });
    assert_all_fail(&load(&peer, "/bytes/5"), "malformed");
}

#[test]
fn a_reply_in_single_bytes_times_out_as_a_whole() {
    let peer = Peer::answering(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")?;
        loop {
            stream.write_all(b"x")?;
            thread::yield_now();
        }
    });
    assert_all_time_out(&peer, "/large");
}

#[test]
fn silence() {
    let peer = Peer::start(|mut stream| wait_for_close(&mut stream));
    assert_all_time_out(&peer, "/bytes/5");
}

#[test]
fn a_reset() {
    let peer = Peer::start(|mut stream: TcpStream| {
        if read_request(&mut stream) {
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
    });
    assert_all_fail(&load(&peer, "/bytes/5"), "connreset");
}

#[test]
fn a_close_before_the_first_byte_of_the_reply() {
    let peer = Peer::answering(|_| Err(ErrorKind::Other.into()));
    assert_all_fail(&load(&peer, "/bytes/5"), "truncated");
}

#[test]
fn a_close_inside_the_body() {
    let peer = Peer::answering(|stream| {
        stream.write_all(&GOOD[..GOOD.len() - 2])?;
        Err(ErrorKind::Other.into())
    });
    assert_all_fail(&load(&peer, "/bytes/5"), "truncated");
}

#[test]
fn bodies_with_another_length_than_expected() {
    let with_body = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_all_fail(&load(&Peer::replying(with_body("four")), "/bytes/5"), "bad-length");
    assert_all_fail(&load(&Peer::replying(with_body("sixsix")), "/bytes/5"), "bad-length");
    // More bytes than Content-Length.
    assert_all_fail(&load(&Peer::replying([GOOD, b"!"].concat()), "/bytes/5"), "bad-length");
}

#[test]
fn a_body_that_differs_from_the_first_one() {
    let peer = Peer::start(|mut stream| {
        static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
        // The first connection is that of the test request.
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
    assert_all_fail(&run_plan(&plan), "bad-body");
    // In the second run all replies have the same body.
    assert_eq!(run_plan(&plan).completed, REQUESTS);
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
    assert_all_fail(&load(&peer(), "/bytes/5"), "bad-length");
    // This path has no expected length, so only the time limit ends the request.
    assert_all_time_out(&peer(), "/endless");
}

#[test]
fn an_error_status() {
    let peer = Peer::replying(*b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    assert_all_fail(&load(&peer, "/bytes/5"), "bad-status");
}

#[test]
fn a_100_continue_and_chunks_with_trailers_are_correct() {
    let interim = [b"HTTP/1.1 100 Continue\r\n\r\n", GOOD].concat();
    assert_eq!(load(&Peer::replying(interim), "/bytes/5").completed, REQUESTS);
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nDigest: z\r\n\r\n";
    assert_eq!(load(&Peer::replying(*chunked), "/bytes/5").completed, REQUESTS);
    let until_close = Peer::answering(|stream| {
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello")?;
        Err(ErrorKind::Other.into())
    });
    assert_eq!(load(&until_close, "/bytes/5").completed, REQUESTS);
}

#[test]
fn bytes_before_the_first_request_only_affect_their_connection() {
    let peer = Peer::start(|mut stream| {
        let _ = stream.write_all(b"unexpected");
        while read_request(&mut stream) && stream.write_all(GOOD).is_ok() {}
    });
    let summary = load(&peer, "/bytes/5");
    // The bytes may arrive before or after the request was sent. Both cases are counted.
    let failed: u64 = summary.errors.values().sum();
    assert_eq!(summary.completed + failed, REQUESTS, "{summary:?}");
}

/// The connections of a server that floods the idle ones.
#[derive(Default)]
struct Connections {
    opened: u64,
    /// Connections without a request.
    silent: Vec<(u64, TcpStream)>,
    with_request: u64,
    were_flooded: bool,
}

#[test]
fn a_flood_into_an_idle_connection_does_not_delay_requests() {
    const IDLE: u64 = 2;
    let shared = Arc::new((Mutex::new(Connections::default()), Condvar::new()));
    let (of_peer, of_flood) = (Arc::clone(&shared), shared);
    let peer = Peer::start(move |mut stream: TcpStream| {
        let (connections, changed) = &*of_peer;
        let update = |change: &mut dyn FnMut(&mut Connections)| {
            change(&mut connections.lock().unwrap());
            changed.notify_all();
        };
        let mut number = 0;
        update(&mut |all| {
            number = all.opened;
            all.opened += 1;
            all.silent.push((number, stream.try_clone().unwrap()));
        });
        if !read_request(&mut stream) {
            return;
        }
        update(&mut |all| {
            all.silent.retain(|(silent, _)| *silent != number);
            all.with_request += 1;
        });
        // The first requests are answered after the flood, so that the run does not end before it.
        let all = connections.lock().unwrap();
        drop(changed.wait_while(all, |all| !all.were_flooded).unwrap());
        while stream.write_all(GOOD).is_ok() && read_request(&mut stream) {}
    });
    let flood = thread::spawn(move || {
        let (connections, changed) = &*of_flood;
        let all = connections.lock().unwrap();
        let is_incomplete = |all: &mut Connections| all.opened < CONNECTIONS + IDLE || all.with_request < CONNECTIONS;
        let mut all = changed.wait_while(all, is_incomplete).unwrap();
        let idle = std::mem::take(&mut all.silent);
        drop(all);
        let flooded = idle.len();
        for (_, mut stream) in idle {
            // Writing fails when the generator has closed the connection.
            while stream.write_all(&[b'x'; 65536]).is_ok() {}
        }
        connections.lock().unwrap().were_flooded = true;
        changed.notify_all();
        flooded
    });
    let summary = run_plan(&LoadPlan {
        idle: IDLE,
        ..plan(&peer, "/bytes/5")
    });
    assert_eq!(flood.join().unwrap() as u64, IDLE);
    assert_eq!(
        (summary.completed, summary.idle.closed_by_server),
        (REQUESTS, IDLE),
        "{summary:?}"
    );
}
