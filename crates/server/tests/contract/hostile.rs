//! Thousands of slow clients, and one that behaves.
//!
//! `C10K_CROWD` sets the number of slow clients at once. The default is 500. More, such as 10,000, need
//! enough descriptors.

use std::io::Write;

use crate::Case;
use crate::client::{Client, PATIENCE, get};
use crate::dialogue::until;
use crate::subject::{Needs, Running, Subject};

pub(crate) const CASES: &[Case] = &[
    (
        "thousands_of_slow_clients_do_not_stop_an_honest_one",
        Needs::Events,
        slow_crowd,
    ),
    (
        "the_bodies_of_all_requests_together_are_bounded",
        Needs::Events,
        held_bodies,
    ),
    (
        "what_comes_behind_a_refused_request_is_not_kept",
        Needs::Events,
        refused_crowd,
    ),
    (
        "a_drain_truncates_no_reply_to_new_connections",
        Needs::Nothing,
        drain_and_new_connections,
    ),
];

/// Requests of the honest client, alone and in the crowd.
const REQUESTS: u64 = 100;

/// Slow clients that send their next byte between two requests of the honest one.
const TRICKLE: usize = 4;

/// System calls that one byte, or one request, may cost on any mechanism: to wait, to fetch the event, to read, to answer
/// and to wait again.
const CALLS_EACH: u64 = 10;

/// How a slow head and a slow body begin and end; both take any number of `y` in between.
const SLOW: [(&str, &str); 2] = [
    ("GET /bytes/3 HTTP/1.1\r\nHost: a\r\nX: y", "\r\n\r\n"),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;y",
        "\r\nab\r\n0\r\n\r\n",
    ),
];

/// One client in so many reads nothing. Only a few do, because each holds a megabyte or more of unread data in the kernel.
const READERS_IN: usize = 50;

fn crowd_size() -> usize {
    match std::env::var("C10K_CROWD") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("C10K_CROWD={text} is not a number")),
        Err(_) => 500,
    }
}

fn slow_crowd(subject: &Subject) {
    let server = subject.start(&[]);
    let mut honest = Client::connect(server.address);
    let mut crowd = slow_clients(&server, crowd_size());
    let mut before = 0;
    // The honest client has one loop; the others may still accept the crowd, and read what it sent.
    let settled = until(PATIENCE, || {
        let (now, accepted) = calls_and_accepted(&mut honest);
        let unchanged = now - before <= CALLS_EACH;
        before = now;
        unchanged && accepted > crowd.len() as u64
    });
    assert!(settled, "the server does not come to rest");
    let senders = crowd.len() - crowd.len() / READERS_IN;
    for round in 0..REQUESTS {
        for number in 0..TRICKLE {
            let slow = (round as usize * TRICKLE + number) % senders;
            crowd[slow].send("y");
        }
        assert_eq!(honest.get("/bytes/1").status, 200);
    }
    let made = calls_and_accepted(&mut honest).0 - before;
    let due = CALLS_EACH * REQUESTS * (1 + TRICKLE as u64);
    // A loop that spins, or checks connections for which it got no event, makes calls for each of them each time.
    assert!(
        made < due + 2 * crowd.len() as u64,
        "{made} calls for {REQUESTS} requests, {due} are enough"
    );
    // The slow ones are served when they are done.
    for (number, slow) in crowd.iter_mut().enumerate().take(senders).step_by(97) {
        slow.send(SLOW[number % 2].1);
        assert_eq!(slow.reply().status, 200);
    }
    drop((crowd, honest));
    assert_eq!(server.stop().open_connections, 0);
}

/// Clients that hold a body open, more than there is memory for; `C10K_CROWD` sets their number.
fn held_bodies(subject: &Subject) {
    const EACH: usize = 1000;
    let (crowd, room) = (crowd_size(), crowd_size() / 5);
    let bound = (room * EACH).to_string();
    let server = subject.start(&[("held-bodies", &bound)]);
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", EACH + 1);
    let part = head.clone() + &"b".repeat(EACH);
    let mut waiting: Vec<Client> = (0..crowd)
        .map(|_| {
            let mut client = Client::connect(server.address);
            client.send(&part);
            client
        })
        .collect();
    // All that are beyond the bound are refused.
    let refused = until(PATIENCE, || {
        waiting.retain(|client| {
            client.stream.set_nonblocking(true).expect("a TCP socket");
            client.stream.peek(&mut [0]).is_err()
        });
        waiting.len() <= room
    });
    assert!(refused, "{} bodies are held, where {room} may be", waiting.len());
    // The others are served, and so is everybody when they are.
    assert!(waiting.len() > room / 2, "{}", waiting.len());
    for client in &mut waiting {
        client.stream.set_nonblocking(false).expect("a TCP socket");
        client.send("b");
        assert_eq!(client.reply().body.len(), EACH + 1);
    }
    let mut late = Client::connect(server.address);
    late.send(part + "b");
    assert_eq!(late.reply().body.len(), EACH + 1);
    drop((waiting, late));
    server.stop();
}

/// Each client sends far more than the server reads before it refuses, and stays until the server has dropped it all.
fn refused_crowd(subject: &Subject) {
    const CLIENTS: usize = 400;
    const BYTES: usize = 60_000;
    let server = subject.start(&[("linger", "600s")]);
    let resident = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero()));
        let status = status.expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse().ok()).expect("a size in KiB")
    };
    let mut crowd = Vec::new();
    let mut refuse_some = |count: usize| {
        for _ in 0..count {
            let mut client = Client::connect(server.address);
            client.send("A".repeat(BYTES));
            assert_eq!(client.reply().status, 414);
            crowd.push(client);
        }
        resident()
    };
    let first = refuse_some(CLIENTS / 10);
    let grown = refuse_some(CLIENTS) - first;
    assert!(grown < (CLIENTS * BYTES / 1024 / 3) as u64, "{grown} KiB more");
    drop(crowd);
    assert_eq!(server.stop().open_connections, 0);
}

/// Clients in the middle of a head or of a body and, at the end of the list, a few that do not read.
fn slow_clients(server: &Running, count: usize) -> Vec<Client> {
    (0..count)
        .map(|number| {
            let mut client = Client::connect(server.address);
            client.send(match number {
                reader if reader >= count - count / READERS_IN => get("/bytes/64m"),
                number => SLOW[number % 2].0.to_owned(),
            });
            client
        })
        .collect()
}

/// System calls of the dispatch path and accepted connections so far, by the server's own count.
fn calls_and_accepted(client: &mut Client) -> (u64, u64) {
    let stats: c10k_record::ServeSummary = serde_json::from_slice(&client.get("/stats").body).expect("the counters");
    (stats.syscalls.values().sum(), stats.accepted)
}

/// While the server drains, clients open a connection for each request; each request is answered in full or not at all.
fn drain_and_new_connections(subject: &Subject) {
    const CLIENTS: usize = 8;
    let server = subject.start(&[]);
    let address = server.address;
    let (answered, answers) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let answered = answered.clone();
            scope.spawn(move || {
                // Until the listener is closed.
                while let Ok(stream) = std::net::TcpStream::connect(address) {
                    let mut client = Client::on(stream);
                    // This fails if the kernel completed the connection and the listener was closed before accepting it.
                    if client.stream.write_all(get("/bytes/20k").as_bytes()).is_err() {
                        continue;
                    }
                    match client.try_reply() {
                        Ok(Some(reply)) => assert_eq!(reply.body.len(), 20 << 10),
                        Ok(None) => panic!("the end in place of a reply"),
                        // For the same reason, and before any part of a reply: otherwise the error is a truncated reply.
                        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
                    }
                    // This fails once the main thread has received enough.
                    let _ = answered.send(());
                }
            });
        }
        for _ in 0..200 {
            answers.recv().expect("clients continue until the drain");
        }
        drop(answers);
        let summary = server.stop();
        assert_eq!((summary.replies, summary.open_connections), (summary.requests, 0));
    });
}
