//! Threads that share one interest set: a busy one delays neither the events nor the deadlines of others.

use std::io::{ErrorKind, Read};

use crate::Case;
use crate::client::{Client, get};
use crate::subject::{Needs, Subject};

pub(crate) const CASES: &[Case] = &[
    (
        "a_long_request_delays_nobody_while_a_thread_is_free",
        Needs::Sharing,
        long_request,
    ),
    (
        "a_drain_reaches_a_connection_whose_request_takes_long",
        Needs::Sharing,
        drain_during_a_long_request,
    ),
];

/// Longer than all that others do meanwhile. It is CPU time, so it takes longer on a busy machine too.
const LONG: &str = "/spin/1s";

/// Clients of which each has a request that takes long.
fn busy(address: std::net::SocketAddr, count: usize) -> Vec<Client> {
    let clients = (0..count).map(|_| {
        let mut client = Client::connect(address);
        client.send(get(LONG));
        client
    });
    clients.collect()
}

/// Asserts that the reply has not come yet.
pub(crate) fn is_still_served(client: &Client) {
    client.stream.set_nonblocking(true).expect("a TCP socket");
    let early = (&client.stream)
        .read(&mut [0])
        .expect_err("a reply that was to take longer");
    assert_eq!(early.kind(), ErrorKind::WouldBlock);
    client.stream.set_nonblocking(false).expect("a TCP socket");
}

/// Two of three threads are busy; the third serves everybody else, and deadlines pass.
fn long_request(subject: &Subject) {
    let server = subject.start(&[("head", "200ms")]);
    let mut busy = busy(server.address, 2);
    let mut slow = Client::connect(server.address);
    slow.send("GET /bytes/1 HTTP/1.1\r\nHo");
    for length in 0..20 {
        let mut client = Client::connect(server.address);
        assert_eq!(client.get(&format!("/bytes/{length}")).body.len(), length);
        assert_eq!(client.get("/bytes/1").status, 200);
    }
    assert_eq!(slow.reply().status, 408);
    assert_eq!(slow.rest(), b"");
    busy.iter().for_each(is_still_served);
    for client in &mut busy {
        assert_eq!(client.reply().status, 200);
        assert_eq!(client.get("/bytes/3").body.len(), 3);
    }
    drop((busy, slow));
    let summary = server.stop();
    assert_eq!((summary.accepted, summary.replies, summary.timeouts), (23, 45, 1));
    assert_eq!(summary.open_connections, 0);
}

/// The connections of busy threads cannot learn at once that the server drains, and learn it afterwards.
fn drain_during_a_long_request(subject: &Subject) {
    let server = subject.start(&[("drain", "100s")]);
    let mut busy = busy(server.address, 2);
    let mut idle = Client::connect(server.address);
    assert_eq!(idle.get("/bytes/1").status, 200);
    server.terminate();
    assert_eq!(idle.rest(), b"");
    busy.iter().for_each(is_still_served);
    for client in &mut busy {
        assert_eq!(client.reply().status, 200);
        assert_eq!(client.rest(), b"");
    }
    drop((busy, idle));
    let summary = server.wait();
    assert_eq!((summary.requests, summary.replies, summary.open_connections), (3, 3, 0));
}
