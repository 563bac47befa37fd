//! The rest of a line, the end of a stream, and what is counted.

use super::*;
use c10k_record::MonitorSample;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A line that no socket buffer takes at once.
fn large_reading() -> Reading {
    Reading::new(MonitorSample {
        host: "h".repeat(8_000_000),
        ..MonitorSample::default()
    })
}

/// A subscriber and its client.
fn subscribed() -> (Connection, UnixStream, Worker) {
    let (ours, mut theirs) = UnixStream::pair().expect("descriptors");
    ours.set_nonblocking(true).expect("a socket");
    let (counts, now) = (Counts::open("m", None).expect("a page"), Instant::now());
    let feed = Feed::open(Duration::from_secs(1), counts.clone(), now).expect("Linux has /proc");
    let mut worker = Worker::new(feed, counts, Deadlines::default(), 10, now);
    let mut connection = Connection::new(ours.into(), &worker);
    let request = b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n";
    std::io::Write::write_all(&mut theirs, request).expect("room");
    assert_eq!(connection.turn(&mut worker), Next::Wait(Interest::READABLE));
    let mut head = vec![0; 4096];
    let length = theirs.read(&mut head).expect("the head");
    assert!(head[..length].ends_with(b"\r\n\r\n"));
    (connection, theirs, worker)
}

/// Reads from the client until the connection waits for no room any more. Returns what was read.
fn read_all(connection: &mut Connection, theirs: &mut UnixStream, worker: &mut Worker) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
    theirs.set_nonblocking(true).expect("a socket");
    loop {
        while let Ok(count @ 1..) = theirs.read(&mut buffer) {
            all.extend_from_slice(&buffer[..count]);
        }
        if !connection.is_blocked() {
            return all;
        }
        let _ = connection.turn(worker);
    }
}

#[test]
fn the_rest_of_a_line_is_sent_before_any_other_line() {
    let (mut connection, mut theirs, mut worker) = subscribed();
    let (large, stalled) = (large_reading(), worker.now + worker.deadlines.stalled);
    let both = Interest::READABLE | Interest::WRITABLE;
    for round in 0..3 {
        let next = connection.publish(&large, &worker.counts, stalled);
        assert_eq!(next, Next::Wait(both), "{round}");
    }
    assert_eq!(connection.deadline(), Some(stalled));
    let received = read_all(&mut connection, &mut theirs, &mut worker);
    assert_eq!(received, large.bytes(Framing::Chunked), "one line, whole");
    assert_eq!(connection.deadline(), None);
    let small = Reading::new(MonitorSample::default());
    let next = connection.publish(&small, &worker.counts, stalled);
    assert_eq!(next, Next::Wait(Interest::READABLE));
    connection.account(&worker.counts);
    let summary = worker.counts.summary();
    let lines = (
        summary.lines_due,
        summary.lines_sent,
        summary.lines_skipped,
        summary.lines_cut,
    );
    assert_eq!(lines, (4, 2, 2, 0));
}

#[test]
fn a_drain_sends_the_rest_of_the_line_and_the_last_chunk() {
    let (mut connection, mut theirs, mut worker) = subscribed();
    let large = large_reading();
    let _ = connection.publish(&large, &worker.counts, worker.now);
    worker.stage = Stage::Draining;
    assert!(matches!(connection.drain(&mut worker), Next::Wait(_)));
    let mut received = read_all(&mut connection, &mut theirs, &mut worker);
    let _ = connection.turn(&mut worker);
    theirs.set_nonblocking(false).expect("a socket");
    theirs.read_to_end(&mut received).expect("the end");
    assert!(received.starts_with(large.bytes(Framing::Chunked)));
    assert_eq!(&received[large.bytes(Framing::Chunked).len()..], LAST_CHUNK);
    connection.account(&worker.counts);
    let summary = worker.counts.summary();
    assert_eq!((summary.lines_due, summary.lines_sent), (1, 1));
    assert_eq!(worker.counts.subscribers_now(), 0, "counted once");
}

#[test]
fn a_line_that_the_end_of_the_connection_cuts_is_counted() {
    let (mut connection, theirs, mut worker) = subscribed();
    let large = large_reading();
    let _ = connection.publish(&large, &worker.counts, worker.now);
    drop(theirs);
    assert_eq!(connection.turn(&mut worker), Next::Close);
    connection.account(&worker.counts);
    let summary = worker.counts.summary();
    assert_eq!((summary.lines_due, summary.lines_cut), (1, 1));
}
