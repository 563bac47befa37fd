//! What the daemon answers, byte by byte.

mod support;

use std::io::Write as _;
use std::net::Shutdown;
use std::num::NonZeroUsize;
use std::time::Duration;

use c10k_record::MonitorSample;

use support::{Daemon, until};

/// Longer than any test: a pull gets the first sample, and no line is sent.
const LONG_MS: u64 = 3_600_000;

const GET: &str = "GET /sample HTTP/1.1\r\nHost: a\r\n\r\n";

fn read(body: &str) -> MonitorSample {
    c10k_record::read::object(body.as_bytes()).expect("a record")
}

#[test]
fn a_pull_is_one_object_with_its_length() {
    let daemon = Daemon::start(LONG_MS, |_| {});
    let mut client = daemon.connect();
    client.send(GET);
    let (head, body) = client.reply();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nDate: "), "{head}");
    assert!(
        head.contains("\r\nContent-Type: application/json\r\n") && head.contains("\r\nCache-Control: no-store\r\n")
    );
    assert_eq!(read(&body).sequence, 1);
    assert!(read(&body).cpu.is_some() && body.ends_with("}\n"));
    // The connection persists, and the period has one sample.
    client.send(GET);
    assert_eq!(client.reply().1, body);
    let summary = daemon.end();
    assert_eq!((summary.requests, summary.samples, summary.accepted), (2, 1, 1));
    assert_eq!(client.rest(), "");
}

#[test]
fn requests_are_answered_however_they_are_cut() {
    let daemon = Daemon::start(LONG_MS, |_| {});
    let mut client = daemon.connect();
    for byte in GET.as_bytes() {
        client.stream.get_mut().write_all(&[*byte]).expect("it reads");
    }
    let (_, body) = client.reply();
    // Two and a half requests at once, then the rest.
    client.send(&[GET, GET, &GET[..20]].concat());
    assert_eq!(client.reply().1, body);
    assert_eq!(client.reply().1, body);
    client.send(&GET[20..]);
    assert_eq!(client.reply().1, body);
    assert_eq!(daemon.end().requests, 4);
}

#[test]
fn many_requests_at_once_are_answered_although_the_client_reads_late() {
    let daemon = Daemon::start(LONG_MS, |_| {});
    let mut client = daemon.connect();
    let mut writer = client.stream.get_ref().try_clone().expect("a descriptor");
    // More than the buffers of both sides hold.
    let sender = std::thread::spawn(move || writer.write_all(GET.repeat(20_000).as_bytes()));
    let replies = (0..20_000).map(|_| client.reply().1.len());
    assert!(replies.min() > Some(100));
    sender.join().expect("no panic").expect("it reads");
    assert_eq!(daemon.end().requests, 20_000);
}

#[test]
fn the_metrics_are_openmetrics() {
    let daemon = Daemon::start(LONG_MS, |_| {});
    let mut client = daemon.connect();
    client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let (head, body) = client.reply();
    let wanted = "\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(head.contains(wanted), "{head}");
    assert!(
        body.ends_with("\n# EOF\n") && body.contains("\nhost_cpu_seconds_total{mode=\"user\"} "),
        "{body}"
    );
    client.send("HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let head = client.head();
    assert!(
        head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
        "{head}"
    );
    assert!(head.contains("\r\nConnection: close\r\n"));
    assert_eq!(client.rest(), "", "a reply to HEAD has no body");
    daemon.end();
}

#[test]
fn what_is_refused_gets_a_status_and_the_end_of_the_connection() {
    let daemon = Daemon::start(LONG_MS, |_| {});
    let large = format!("GET /sample HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(5000));
    let cases = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"),
        ("POST /sample HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed"),
        ("GET /sample HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (
            "GET /sample HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "400 Bad Request",
        ),
        ("nonsense\r\n\r\n", "400 Bad Request"),
        ("GET /sample HTTP/1.1\nHost: a\n\n", "400 Bad Request"),
        (
            "GET /sample HTTP/3.0\r\nHost: a\r\n\r\n",
            "505 HTTP Version Not Supported",
        ),
        (large.as_str(), "431 Request Header Fields Too Large"),
    ];
    for (request, status) in cases {
        let mut client = daemon.connect();
        client.send(request);
        // What follows is not read as a request.
        client.send(GET);
        let reply = client.rest();
        assert!(
            reply.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{request:?}: {reply}"
        );
        assert!(reply.contains("\r\nConnection: close\r\n") && reply.matches("HTTP/1.1").count() == 1);
        assert_eq!(reply.contains("\r\nAllow: GET, HEAD\r\n"), status.starts_with("405"));
    }
    let mut client = daemon.connect();
    client.send("HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    let reply = client.rest();
    assert!(
        reply.starts_with("HTTP/1.1 404 ") && reply.ends_with("\r\n\r\n"),
        "no body: {reply}"
    );
    let summary = daemon.end();
    assert_eq!((summary.refused, summary.requests), (cases.len() as u64 + 1, 0));
}

#[test]
fn a_head_that_takes_too_long_is_refused_and_a_connection_without_a_request_is_closed() {
    let daemon = Daemon::start(LONG_MS, |config| config.deadlines.head = Duration::from_millis(50));
    let (mut slow, mut silent) = (daemon.connect(), daemon.connect());
    slow.send("GET /sample HTTP/1.1\r\nHost:");
    assert!(slow.rest().starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    assert_eq!(silent.rest(), "");
    let summary = daemon.end();
    assert_eq!((summary.timeouts, summary.refused), (2, 1));
}

#[test]
fn one_byte_a_while_does_not_put_the_deadline_off() {
    let daemon = Daemon::start(LONG_MS, |config| config.deadlines.head = Duration::from_millis(100));
    let mut client = daemon.connect();
    let mut sent = 0;
    // The daemon ends this, or it would go on for the whole head.
    for byte in format!("GET /sample HTTP/1.1\r\nX: {}", "x".repeat(4000)).bytes() {
        if client.stream.get_mut().write_all(&[byte]).is_err() || daemon.counts.summary().timeouts > 0 {
            break;
        }
        sent += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(sent < 4000, "all was taken");
    assert_eq!(daemon.end().timeouts, 1);
}

#[test]
fn a_stream_has_a_line_a_period_in_a_chunk_each() {
    let daemon = Daemon::start(20, |_| {});
    let mut client = daemon.connect();
    client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head();
    assert!(head.contains("\r\nContent-Type: application/x-ndjson\r\n"), "{head}");
    assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n") && !head.contains("Content-Length"));
    let samples: Vec<MonitorSample> = (0..5).map(|_| client.sample()).collect();
    for pair in samples.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1);
        assert!(pair[1].unix_ns > pair[0].unix_ns);
    }
    daemon.end();
}

#[test]
fn a_stream_of_http_1_0_has_no_chunks_and_ends_with_the_connection() {
    let daemon = Daemon::start(20, |_| {});
    let mut client = daemon.connect();
    client.send("GET /stream HTTP/1.0\r\n\r\n");
    let head = client.head();
    assert!(
        head.contains("\r\nConnection: close\r\n") && !head.contains("Transfer-Encoding"),
        "{head}"
    );
    until("two lines", || daemon.counts.summary().lines_sent >= 2);
    let sent = daemon.end().lines_sent;
    let rest = client.rest();
    let samples: Vec<MonitorSample> = rest.lines().map(read).collect();
    assert_eq!(samples.len() as u64, sent);
}

#[test]
fn a_stream_outlives_the_clients_half_close_and_what_the_client_sends() {
    let daemon = Daemon::start(20, |_| {});
    let (mut closing, mut sending) = (daemon.subscribe(), daemon.subscribe());
    closing.stream.get_ref().shutdown(Shutdown::Write).expect("connected");
    sending.send(&GET.repeat(10));
    for client in [&mut closing, &mut sending] {
        let first = client.sample().sequence;
        assert_eq!(client.sample().sequence, first + 1);
    }
    // A subscriber may not send without end.
    let _ = sending.stream.get_mut().write_all(&[b'x'; 100_000]);
    until("the sender is gone", || daemon.counts.subscribers_now() == 1);
    let next = closing.sample().sequence;
    assert_eq!(closing.sample().sequence, next + 1);
    drop(closing);
    until("the other is gone", || daemon.counts.subscribers_now() == 0);
    assert_eq!(daemon.end().requests, 2);
}

#[test]
fn a_subscriber_beyond_the_limit_gets_503_and_pulls_are_answered() {
    let daemon = Daemon::start(20, |config| config.max_subscribers = NonZeroUsize::new(1));
    let mut first = daemon.subscribe();
    let mut second = daemon.connect();
    second.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    let reply = second.rest();
    assert!(reply.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{reply}");
    assert!(reply.contains("\r\nRetry-After: 10\r\n"));
    let mut pull = daemon.connect();
    pull.send(GET);
    assert!(pull.reply().0.starts_with("HTTP/1.1 200 OK\r\n"));
    let before = first.sample().sequence;
    assert_eq!(first.sample().sequence, before + 1);
    drop(first);
    until("the first is gone", || daemon.counts.subscribers_now() == 0);
    daemon.subscribe();
    let summary = daemon.end();
    assert_eq!(
        (summary.subscribers, summary.subscribers_max, summary.refused),
        (2, 1, 1)
    );
}
