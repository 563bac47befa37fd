//! Clients that take their time, by the thousand, beside an honest one.
//!
//! `C10K_CROWD` says how many slow clients there are at once: 500 unless told, 10,000 with the descriptors that a process
//! may have here.

use std::io::Write;

use crate::Case;
use crate::client::{Client, get};
use crate::subject::{Needs, Running, Subject};

pub(crate) const CASES: &[Case] = &[
    (
        "slow_clients_by_the_thousand_do_not_stop_an_honest_one",
        Needs::Events,
        slow_crowd,
    ),
    (
        "a_drain_truncates_nothing_of_clients_that_come_anew",
        Needs::Nothing,
        drain_and_new_connections,
    ),
];

/// Requests of the honest client, alone and in the crowd.
const REQUESTS: u64 = 100;

/// Slow clients that send their next byte between two requests of the honest one.
const TRICKLE: usize = 4;

/// Calls that one byte, or one request, may cost, whatever the mechanism: to wait, to be told, to read, to answer, to
/// wait for more.
const CALLS_EACH: u64 = 10;

/// How a slow head and a slow body begin and end; both take any number of `y` in between.
const SLOW: [(&str, &str); 2] = [
    ("GET /bytes/3 HTTP/1.1\r\nHost: a\r\nX: y", "\r\n\r\n"),
    (
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;y",
        "\r\nab\r\n0\r\n\r\n",
    ),
];

/// Who reads nothing takes up memory of the kernel: a megabyte or more of what is sent to it.
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
    // The server has seen everybody when it has answered somebody who came later.
    honest.get("/bytes/1");
    let before = calls(&mut honest);
    let senders = crowd.len() - crowd.len() / READERS_IN;
    for round in 0..REQUESTS {
        for number in 0..TRICKLE {
            let slow = (round as usize * TRICKLE + number) % senders;
            crowd[slow].send("y");
        }
        assert_eq!(honest.get("/bytes/1").status, 200);
    }
    let made = calls(&mut honest) - before;
    let due = CALLS_EACH * REQUESTS * (1 + TRICKLE as u64);
    // A loop that looks at connections of which it was told nothing, or spins, makes calls for each of them each time.
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

/// Clients in the middle of a head or of a body, and a few that do not read; the latter last.
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

/// System calls of the server's path so far, as it counts them itself.
fn calls(client: &mut Client) -> u64 {
    let stats: c10k_record::ServeSummary = serde_json::from_slice(&client.get("/stats").body).expect("the counters");
    stats.syscalls.values().sum()
}

/// A connection for each request, while the server drains: answered in full, or not at all.
fn drain_and_new_connections(subject: &Subject) {
    const CLIENTS: usize = 8;
    let server = subject.start(&[]);
    let address = server.address;
    let (answered, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let answered = answered.clone();
            scope.spawn(move || {
                // Until nobody listens any more.
                while let Ok(stream) = std::net::TcpStream::connect(address) {
                    let mut client = Client::on(stream);
                    // Refused where the kernel completed the connection and the listener ended before it was accepted.
                    if client.stream.write_all(get("/bytes/20k").as_bytes()).is_err() {
                        continue;
                    }
                    match client.try_reply() {
                        Ok(Some(reply)) => assert_eq!(reply.body.len(), 20 << 10),
                        Ok(None) => panic!("the end in place of a reply"),
                        // The same; nothing of a reply had come, or it would be said to be truncated.
                        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
                    }
                    // Refused where the main thread has seen enough.
                    let _ = answered.send(());
                }
            });
        }
        for _ in 0..200 {
            told.recv().expect("clients go on until the drain");
        }
        drop(told);
        let summary = server.stop();
        assert_eq!((summary.replies, summary.open_connections), (summary.requests, 0));
    });
}
