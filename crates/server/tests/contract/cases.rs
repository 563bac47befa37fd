//! Cases that hold for every subject.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use c10k_record::ServeSummary;

use crate::Case;
use crate::client::{Client, PATIENCE, get, pattern};
use crate::subject::{Needs, Subject};
use crate::vectors::{After, VECTORS};

pub(crate) const CASES: &[Case] = &[
    (
        "framing_does_not_depend_on_how_the_bytes_arrive",
        Needs::Nothing,
        framing,
    ),
    (
        "a_pipelined_batch_is_answered_in_order_and_in_few_writes",
        Needs::Nothing,
        pipelining,
    ),
    (
        "a_client_that_closes_its_half_gets_its_replies",
        Needs::Nothing,
        half_close,
    ),
    (
        "a_long_reply_survives_a_slow_reader_and_the_connection_stays",
        Needs::Nothing,
        slow_reader,
    ),
    ("reading_stops_while_output_is_blocked", Needs::Nothing, backpressure),
    (
        "a_client_that_waits_for_100_continue_gets_it",
        Needs::Nothing,
        expect_continue,
    ),
    ("work_is_spent_on_every_request", Needs::Nothing, work),
    ("the_counters_reconcile", Needs::Nothing, counters),
    ("accept_one_brings_one_connection_a_time", Needs::OneLoop, accept_one),
    ("accept_few_leaves_nobody_waiting", Needs::OneLoop, accept_few),
    ("a_slow_head_meets_its_deadline", Needs::Nothing, slow_head),
    ("a_slow_body_meets_its_deadline", Needs::Nothing, slow_body),
    ("an_idle_connection_meets_its_deadline", Needs::Nothing, idle),
    (
        "a_reader_below_the_minimum_rate_meets_its_deadline",
        Needs::Nothing,
        stalled_reader,
    ),
    ("resets_leave_nothing_behind", Needs::Nothing, reset_storm),
    (
        "descriptor_exhaustion_neither_spins_nor_loses_anybody",
        Needs::OneLoop,
        descriptor_exhaustion,
    ),
    (
        "the_cap_on_connections_delays_and_loses_nobody",
        Needs::Cap,
        connection_cap,
    ),
    (
        "a_drain_under_load_truncates_and_resets_nothing",
        Needs::Nothing,
        drain_under_load,
    ),
    (
        "a_drain_finishes_the_reply_in_progress",
        Needs::Nothing,
        drain_in_progress,
    ),
    (
        "a_drain_answers_a_request_that_is_half_sent",
        Needs::Nothing,
        drain_half_request,
    ),
    ("a_drain_without_connections_ends_at_once", Needs::Nothing, drain_idle),
    (
        "idle_connections_make_room_when_descriptors_run_out",
        Needs::OneLoop,
        eviction,
    ),
    (
        "a_listener_handed_over_by_a_service_manager_is_used",
        Needs::OneLoop,
        inherited,
    ),
];

/// Repeats the attempt until it returns a value. The test fails if a server never delivers one.
pub(crate) fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "it never came");
        std::thread::yield_now();
    }
}

/// The server's counters.
pub(crate) fn stats(client: &mut Client) -> ServeSummary {
    serde_json::from_slice(&client.get("/stats").body).expect("the counters as JSON")
}

fn framing(subject: &Subject) {
    let server = subject.start(&[]);
    let mut other = Client::connect(server.address);
    for (request, status, after) in VECTORS {
        for cut in 1..=request.len() {
            let (front, back) = request.split_at_checked(cut).expect("vectors are ASCII");
            let mut client = Client::connect(server.address);
            client.send(front);
            // After a round trip on another connection, a loop has seen the first part.
            other.get("/bytes/0");
            if !back.is_empty() {
                // The server may refuse the request and close the connection before the rest is sent.
                let _ = client.stream.write_all(back.as_bytes());
            }
            let reply = client.reply();
            assert_eq!(
                (reply.status, reply.closes()),
                (*status, *after == After::Closed),
                "{request:?} cut at {cut}"
            );
            match after {
                After::Kept => assert_eq!(client.get("/bytes/1").body, [0], "{request:?} cut at {cut}"),
                After::Closed => assert_eq!(client.rest(), b"", "{request:?} cut at {cut}"),
            }
        }
    }
    server.stop();
}

fn pipelining(subject: &Subject) {
    const REQUESTS: usize = 500;
    let server = subject.start(&[]);
    let mut client = Client::connect(server.address);
    let batch: String = (0..REQUESTS).map(|length| get(&format!("/bytes/{length}"))).collect();
    client.send(batch);
    for length in 0..REQUESTS {
        assert_eq!(client.reply().body, pattern(length));
    }
    drop(client);
    let summary = server.stop();
    assert_eq!((summary.requests, summary.replies), (REQUESTS as u64, REQUESTS as u64));
    let writes: u64 = ["sendto", "sendmsg"]
        .iter()
        .filter_map(|name| summary.syscalls.get(*name))
        .sum();
    // A ring sends without a system call; each send is a completion.
    let writes = if writes == 0 { summary.events } else { writes };
    assert!((1..REQUESTS as u64 / 10).contains(&writes), "{writes} writes");
}

fn half_close(subject: &Subject) {
    let server = subject.start(&[]);
    for length in [3, 5_000_000] {
        let mut client = Client::connect(server.address);
        client.send(get(&format!("/bytes/{length}")).repeat(2));
        client
            .stream
            .shutdown(std::net::Shutdown::Write)
            .expect("a connected socket");
        for _ in 0..2 {
            assert!(client.reply().body == pattern(length));
        }
        assert_eq!(client.rest(), b"");
    }
    let summary = server.stop();
    assert_eq!((summary.replies, summary.open_connections), (4, 0));
}

fn slow_reader(subject: &Subject) {
    const LENGTH: usize = 24 << 20;
    let server = subject.start(&[]);
    let mut client = Client::connect(server.address);
    let mut other = Client::connect(server.address);
    client.send(get(&format!("/bytes/{LENGTH}")) + &get("/bytes/2"));
    let mut part = vec![0; 1 << 20];
    let mut received = Vec::new();
    while received.len() < LENGTH {
        // The round trip of the other client makes this client a slow reader.
        assert_eq!(other.get("/bytes/1").body, [0]);
        let taken = client.stream.read(&mut part).expect("more of the reply");
        assert!(taken > 0, "the end after {} bytes", received.len());
        received.extend_from_slice(&part[..taken]);
    }
    received.extend_from_slice(&{
        client
            .stream
            .shutdown(std::net::Shutdown::Write)
            .expect("a connected socket");
        client.rest()
    });
    let body = received
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head")
        + 4;
    assert!(received[body..body + LENGTH] == pattern(LENGTH));
    assert!(received.ends_with(b"Content-Length: 2\r\n\r\n\x00\x01"));
    server.stop();
}

fn backpressure(subject: &Subject) {
    const REQUESTS_MAX: usize = 4_000_000;
    let server = subject.start(&[]);
    let mut client = Client::connect(server.address);
    client.stream.set_nonblocking(true).expect("a TCP socket");
    let batch = get("/bytes/4k").repeat(100);
    let (mut sent, mut refused) = (0, 0);
    // The server has stopped reading if this socket accepts no more bytes for many rounds while others are answered.
    let mut other = Client::connect(server.address);
    while refused < 100 {
        let position = sent % batch.len();
        match client.stream.write(&batch.as_bytes()[position..]) {
            Ok(taken) => {
                sent += taken;
                refused = 0;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refused += 1;
                other.get("/bytes/1");
            }
            Err(error) => panic!("{error}"),
        }
        assert!(
            sent < REQUESTS_MAX * 40,
            "the server still reads although its replies are not read"
        );
    }
    client.stream.set_nonblocking(false).expect("a TCP socket");
    let request = get("/bytes/4k").len();
    let (whole, rest) = (sent.div_ceil(request), sent % request);
    let answers = std::thread::scope(|scope| {
        let mut writer = client.stream.try_clone().expect("a descriptor");
        scope.spawn(move || {
            if rest > 0 {
                writer
                    .write_all(&get("/bytes/4k").as_bytes()[rest..])
                    .expect("the server reads on");
            }
        });
        (0..whole).filter(|_| client.reply().body.len() == 4096).count()
    });
    assert_eq!(answers, whole);
    server.stop();
}

fn expect_continue(subject: &Subject) {
    let server = subject.start(&[]);
    let mut client = Client::connect(server.address);
    client.send("GET /bytes/1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.reply().status, 100);
    client.send("hello");
    assert_eq!(client.reply().status, 200);
    server.stop();
}

fn work(subject: &Subject) {
    const REQUESTS: u64 = 20;
    let server = subject.start(&[("work", "2ms")]);
    let mut client = Client::connect(server.address);
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/bytes/1").status, 200);
    }
    assert_eq!(client.get("/spin/20ms").status, 200);
    drop(client);
    let summary = server.stop();
    let spent_ms = summary.cpu_user_ns / 1_000_000;
    // A spin ends by the clock: on a busy machine it may use less CPU time than it lasts.
    assert!(spent_ms > (2 * REQUESTS + 20) / 4, "{spent_ms} ms");
}

fn counters(subject: &Subject) {
    let server = subject.start(&[]);
    let mut clients: Vec<Client> = (0..50).map(|_| Client::connect(server.address)).collect();
    for client in &mut clients {
        client.get("/bytes/1");
        client.get("/nothing");
    }
    let mut last = clients.pop().expect("50 clients");
    last.send("nonsense\r\n\r\n");
    assert_eq!(last.reply().status, 400);
    assert_eq!(last.rest(), b"");
    // Another worker may report a reply some time after the client has received it.
    let mut asked = 0;
    let stats = eventually(|| {
        asked += 1;
        let stats = stats(&mut clients[0]);
        ((stats.accepted, stats.requests, stats.bad_requests) == (50, 100 + asked, 1)).then_some(stats)
    });
    assert!(stats.open_connections >= 49);
    drop(clients);
    drop(last);
    let summary = server.stop();
    assert_eq!(
        (
            summary.accepted,
            summary.requests,
            summary.bad_requests,
            summary.replies
        ),
        (50, 100 + asked, 1, 101 + asked)
    );
    assert_eq!(
        (summary.open_connections, summary.open_connections_max, summary.timeouts),
        (0, 50, 0)
    );
    assert_eq!(summary.accepted_by_worker.iter().sum::<u64>(), 50);
    let closes = if subject.has_direct_sockets() { None } else { Some(&50) };
    assert_eq!(summary.syscalls.get("close"), closes);
}

fn accept_one(subject: &Subject) {
    let server = subject.start(&[("accept", "1")]);
    let mut clients: Vec<Client> = (0..300).map(|_| Client::connect(server.address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/bytes/1").status, 200);
    }
    drop(clients);
    let summary = server.stop();
    assert_eq!(summary.accepted, 300);
    assert!(
        (summary.accepts_per_wait - 1.0).abs() < f64::EPSILON,
        "{}",
        summary.accepts_per_wait
    );
}

fn accept_few(subject: &Subject) {
    let server = subject.start(&[("accept", "7")]);
    let mut first = Client::connect(server.address);
    // While the server spins, the backlog fills up; its readiness is reported once.
    first.send(get("/spin/100ms"));
    let mut clients: Vec<Client> = (0..300).map(|_| Client::connect(server.address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/bytes/1").status, 200);
    }
    assert_eq!(first.reply().status, 200);
    drop((first, clients));
    let summary = server.stop();
    assert_eq!(summary.accepted, 301);
    assert!(summary.accepts_per_wait <= 7.0, "{}", summary.accepts_per_wait);
}

fn slow_head(subject: &Subject) {
    let server = subject.start(&[("head", "300ms")]);
    let mut client = Client::connect(server.address);
    let mut request = get("/bytes/1").replace("Host: a", &format!("Host: a\r\nX: {}", "y".repeat(20_000)));
    // The deadline is for the whole head: further bytes do not renew it.
    let mut honest = Client::connect(server.address);
    client.stream.set_nonblocking(true).expect("a TCP socket");
    let mut received = Vec::new();
    while received.is_empty() {
        let byte = request.remove(0);
        client.send([byte as u8]);
        assert_eq!(honest.get("/bytes/1").status, 200);
        let mut buffer = [0; 1024];
        match client.stream.read(&mut buffer) {
            Ok(taken) => received.extend_from_slice(&buffer[..taken]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert!(request.len() > 4, "the whole head could be sent");
        std::thread::yield_now();
    }
    assert!(
        received.starts_with(b"HTTP/1.1 408 "),
        "{:?}",
        String::from_utf8_lossy(&received)
    );
    drop((client, honest));
    assert_eq!(server.stop().timeouts, 1);
}

fn slow_body(subject: &Subject) {
    let server = subject.start(&[("body", "200ms")]);
    let mut client = Client::connect(server.address);
    client.send("GET /bytes/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc");
    assert_eq!(client.reply().status, 408);
    assert_eq!(client.rest(), b"");
    drop(client);
    assert_eq!(server.stop().timeouts, 1);
}

fn idle(subject: &Subject) {
    let server = subject.start(&[("idle", "200ms")]);
    let mut silent = Client::connect(server.address);
    let mut client = Client::connect(server.address);
    client.get("/bytes/1");
    assert_eq!(client.rest(), b"");
    assert_eq!(silent.rest(), b"");
    assert_eq!(server.stop().timeouts, 2);
}

fn stalled_reader(subject: &Subject) {
    let server = subject.start(&[("send", "200ms")]);
    let mut client = Client::connect(server.address);
    client.send(get("/bytes/256m"));
    let mut honest = Client::connect(server.address);
    // The server's counters show when it has given up.
    eventually(|| (stats(&mut honest).timeouts > 0).then_some(()));
    drop((client, honest));
    assert_eq!(server.stop().timeouts, 1);
}

fn reset_storm(subject: &Subject) {
    // Longer than the test waits, unless the deadline of a head has to stand in for a reset that is never reported.
    let head = if subject.may_miss_a_reset() { "3s" } else { "300s" };
    let server = subject.start(&[("head", head)]);
    for round in 0..500 {
        let mut client = Client::connect(server.address);
        let request = get("/bytes/1m");
        client.send(&request[..request.len() - round % 3]);
        rustix::net::sockopt::set_socket_linger(&client.stream, Some(std::time::Duration::ZERO)).expect("a socket");
    }
    let mut honest = Client::connect(server.address);
    eventually(|| (stats(&mut honest).open_connections == 1).then_some(()));
    assert_eq!(honest.get("/bytes/1").status, 200);
    drop(honest);
    let summary = server.stop();
    assert_eq!(summary.open_connections, 0);
}

fn descriptor_exhaustion(subject: &Subject) {
    let server = subject.start(&[("nofile", "60"), ("connections", "1000"), ("spare", "60s")]);
    let started = Instant::now();
    let mut clients: Vec<Client> = (0..200).map(|_| Client::connect(server.address)).collect();
    // The first connections were accepted; they are served while the rest wait in the backlog.
    while started.elapsed() < std::time::Duration::from_millis(500) {
        assert_eq!(clients[0].get("/bytes/1").status, 200);
    }
    let stats = stats(&mut clients[0]);
    // A ring accepts without a system call.
    if let Some(calls) = stats.syscalls.get("accept4") {
        let shortage = calls - stats.accepted;
        assert!((1..100).contains(&shortage), "{shortage} fruitless calls of accept4");
    }
    // In order of arrival: each client that leaves makes room for a waiting one.
    for mut client in clients.drain(..) {
        assert_eq!(client.get("/bytes/1").status, 200);
    }
    let summary = server.stop();
    assert_eq!((summary.accepted, summary.open_connections), (200, 0));
}

fn eviction(subject: &Subject) {
    let server = subject.start(&[("nofile", "60"), ("connections", "1000"), ("spare", "0")]);
    // More silent connections than there are descriptors, and then a client with a request.
    let mut silent: Vec<Client> = (0..100).map(|_| Client::connect(server.address)).collect();
    let mut honest = Client::connect(server.address);
    assert_eq!(honest.get("/bytes/1").status, 200);
    assert_eq!(silent[0].rest(), b"");
    drop((silent, honest));
    let summary = server.stop();
    assert!(summary.evicted >= 40, "{}", summary.evicted);
}

fn connection_cap(subject: &Subject) {
    let server = subject.start(&[("connections", "10"), ("spare", "60s")]);
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(server.address)).collect();
    for mut client in clients.drain(..) {
        assert_eq!(client.get("/bytes/1").status, 200);
    }
    let summary = server.stop();
    assert_eq!(summary.accepted, 100);
    assert!(summary.open_connections_max <= 10, "{}", summary.open_connections_max);
}

fn drain_under_load(subject: &Subject) {
    let server = subject.start(&[]);
    let address = server.address;
    let answered = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                loop {
                    client.send(get("/bytes/20k"));
                    let reply = client.reply();
                    assert!(reply.body == pattern(20 << 10));
                    answered.fetch_add(1, Ordering::Relaxed);
                    if reply.closes() {
                        assert_eq!(client.rest(), b"");
                        break;
                    }
                    assert!(
                        !over.load(Ordering::Relaxed),
                        "the server is gone, and the connection was not closed"
                    );
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 2000 {
            std::thread::yield_now();
        }
        let summary = server.stop();
        over.store(true, Ordering::Relaxed);
        assert_eq!((summary.replies, summary.open_connections), (summary.requests, 0));
        assert!(summary.requests >= 2000);
    });
}

fn drain_in_progress(subject: &Subject) {
    const LENGTH: usize = 64 << 20;
    let server = subject.start(&[]);
    let mut client = Client::connect(server.address);
    client.send(get("/bytes/64m"));
    let mut first = [0; 1000];
    client
        .stream
        .read_exact(&mut first)
        .expect("the beginning of the reply");
    server.terminate();
    // Connecting fails once the drain has begun.
    while std::net::TcpStream::connect(server.address).is_ok() {
        std::thread::yield_now();
    }
    let rest = client.rest();
    let body = first
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head")
        + 4;
    assert_eq!(first.len() - body + rest.len(), LENGTH);
    let summary = server.wait();
    assert_eq!((summary.requests, summary.replies), (1, 1));
}

fn drain_half_request(subject: &Subject) {
    let server = subject.start(&[]);
    let mut client = Client::connect(server.address);
    let mut other = Client::connect(server.address);
    client.send("GET /bytes/5 HTTP/1.1\r\nHo");
    other.get("/bytes/0");
    server.terminate();
    while std::net::TcpStream::connect(server.address).is_ok() {
        std::thread::yield_now();
    }
    client.send("st: a\r\n\r\n");
    let reply = client.reply();
    assert!(reply.closes() && reply.body == pattern(5));
    assert_eq!(client.rest(), b"");
    drop((client, other));
    assert_eq!(server.wait().open_connections, 0);
}

fn inherited(subject: &Subject) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let server = subject.start_inheriting(&listener);
    assert_eq!(server.address, address);
    drop(listener);
    assert_eq!(Client::connect(address).get("/bytes/3").body, pattern(3));
    assert_eq!(server.stop().accepted, 1);
}

fn drain_idle(subject: &Subject) {
    let server = subject.start(&[]);
    let summary = server.stop();
    assert_eq!((summary.accepted, summary.requests), (0, 0));
}
