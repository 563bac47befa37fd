//! Workers that are replaced while the server goes on.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use c10k_record::ServeSummary;

use crate::Case;
use crate::client::{Client, PATIENCE, get};
use crate::dialogue::until;
use crate::subject::{Needs, Subject};

pub(crate) const CASES: &[Case] = &[
    (
        "a_worker_that_leaves_loses_no_connection_of_a_listener_that_others_share",
        Needs::Recycling,
        |subject| new_connections(subject, "20ms"),
    ),
    (
        "a_worker_that_abandons_its_queue_loses_no_other_connection",
        Needs::Recycling,
        |subject| new_connections(subject, "20ms:abandon"),
    ),
    (
        "a_kept_connection_ends_behind_a_reply_that_says_so",
        Needs::Recycling,
        kept_connections,
    ),
    (
        "a_request_that_takes_longer_than_its_worker_stays_is_answered",
        Needs::Recycling,
        long_request,
    ),
];

/// A request on a connection of its own, which the client ends.
fn request(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    assert!(reply.starts_with(b"HTTP/1.1 200"), "{}", reply.escape_ascii());
    Ok(())
}

fn stats(address: SocketAddr) -> io::Result<ServeSummary> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /stats HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (_, body) = reply.split_once("\r\n\r\n").expect("a whole reply");
    Ok(serde_json::from_str(body).expect("the counters"))
}

/// Clients connect one after the other until each place has had several workers.
fn new_connections(subject: &Subject, recycle: &'static str) {
    let server = subject.start(&[("recycle", recycle)]);
    let (mut answered, mut lost) = (0, Vec::new());
    let replaced = until(PATIENCE, || {
        match request(server.address) {
            Ok(()) => answered += 1,
            Err(error) => lost.push(error),
        }
        stats(server.address).is_ok_and(|summary| {
            answered += 1;
            summary.recycled >= 9
        })
    });
    assert!(replaced, "the workers are not replaced");
    if !subject.has_listeners_of_their_own() {
        assert_eq!(lost.len(), 0, "{lost:?}");
    }
    // What waits in the queue of a listener that is closed is reset. A client that is refused would have found no listener.
    let is_reset =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
    assert!(lost.iter().all(is_reset), "{lost:?}");
    let summary = server.stop();
    assert!(summary.recycled >= 9, "{summary:?}");
    assert_eq!(summary.accepted_by_worker.len(), 3, "a place has one entry");
    assert_eq!(summary.accepted_by_worker.iter().sum::<u64>(), summary.accepted);
    assert_eq!(
        (summary.requests, summary.replies, summary.open_connections),
        (answered, answered, 0)
    );
    // The counters of all workers, those that have ended included.
    assert!(summary.events >= summary.accepted, "{summary:?}");
}

/// Keeps connections until the server ends them.
fn kept_connections(subject: &Subject) {
    let server = subject.start(&[("recycle", "50ms")]);
    let (mut replies, mut ended) = (0, 0);
    let all_ended = until(PATIENCE, || {
        let mut client = Client::connect(server.address);
        loop {
            let sent = client.stream.write_all(get("/bytes/3").as_bytes());
            match sent.and_then(|()| client.try_reply()) {
                Ok(Some(reply)) => {
                    assert_eq!(reply.status, 200);
                    replies += 1;
                    if reply.closes() {
                        assert_eq!(client.rest(), b"");
                        ended += 1;
                        break;
                    }
                }
                // The next request came more than a quarter of a second later, which a busy client may need.
                Ok(None) => break,
                // The queue of a listener of its own was emptied, and then closed with this connection in it.
                Err(error) => {
                    assert!(subject.has_listeners_of_their_own(), "{error}");
                    break;
                }
            }
        }
        ended >= 4
    });
    assert!(all_ended, "the workers of connections never leave");
    let summary = server.stop();
    assert_eq!((summary.replies, summary.open_connections), (replies, 0));
}

fn long_request(subject: &Subject) {
    let server = subject.start(&[("recycle", "30ms"), ("drain", "100s")]);
    let answered = until(PATIENCE, || {
        let mut client = Client::connect(server.address);
        let sent = client.stream.write_all(get("/spin/200ms").as_bytes());
        match sent.and_then(|()| client.try_reply()) {
            Ok(reply) => reply.is_some_and(|reply| reply.status == 200),
            Err(error) => {
                assert!(subject.has_listeners_of_their_own(), "{error}");
                false
            }
        }
    });
    assert!(answered, "a long request is never answered");
    // The others have been replaced meanwhile, and serve.
    let served = until(PATIENCE, || {
        stats(server.address).is_ok_and(|summary| summary.recycled >= 3)
    });
    assert!(served, "the workers are not replaced");
    server.stop();
}
