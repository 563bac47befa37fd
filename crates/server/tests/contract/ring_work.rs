//! Work that may block, as requests on a ring: it stops no other connection, and ends with its own.

use std::fs;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::Case;
use crate::client::{Client, PATIENCE, get};
use crate::dialogue::until;
use crate::subject::{Needs, Running, Subject};

pub(crate) const CASES: &[Case] = &[
    (
        "a_sleep_on_the_ring_stops_no_other_connection",
        Needs::WorkOnRing,
        others_go_on,
    ),
    (
        "replies_before_work_on_the_ring_are_sent_first",
        Needs::WorkOnRing,
        earlier_replies,
    ),
    (
        "a_client_that_leaves_during_work_on_the_ring_leaves_nothing_behind",
        Needs::WorkOnRing,
        leavers,
    ),
];

/// Ends a connection with a reset.
fn reset(client: Client) {
    set_socket_linger(&client.stream, Some(Duration::ZERO)).expect("a socket");
    drop(client);
}

fn others_go_on(subject: &Subject) {
    let server = subject.start(&[]);
    let mut sleepers: Vec<Client> = (0..5).map(|_| Client::connect(server.address)).collect();
    for sleeper in &mut sleepers {
        sleeper.send(get("/sleep/60s"));
    }
    let mut awake = Client::connect(server.address);
    for _ in 0..3 {
        assert_eq!(awake.get("/bytes/1").status, 200);
        assert_eq!(awake.get("/sleep/1ms").status, 200);
    }
    sleepers.into_iter().for_each(reset);
    drop(awake);
    // The drain does not wait for sleeps whose clients have left.
    let summary = server.stop();
    assert_eq!((summary.replies, summary.open_connections), (6, 0));
}

fn earlier_replies(subject: &Subject) {
    let server = subject.start(&[]);
    let mut client = Client::connect(server.address);
    client.send(format!("{}{}", get("/bytes/100000"), get("/sleep/60s")));
    assert_eq!(client.reply().body.len(), 100_000);
    reset(client);
    server.stop();
}

/// How many descriptors a server has open.
fn descriptors(server: &Running) -> usize {
    let folder = format!("/proc/{}/fd", server.pid().as_raw_nonzero());
    fs::read_dir(folder).expect("the server runs").count()
}

fn leavers(subject: &Subject) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().to_str().expect("a path in UTF-8");
    for option in ["disk", "slow-disk"] {
        let server = subject.start(&[(option, path)]);
        let mut first = Client::connect(server.address);
        assert_eq!(first.get("/file/1").status, 200);
        let before = descriptors(&server);
        for number in 0..15 {
            let mut client = Client::connect(server.address);
            match number % 3 {
                0 => client.send(get(&format!("/file/{}", number % 20))),
                1 => client.send("POST /mail/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
                _ => client.send(get("/file/3/cold")),
            }
            reset(client);
        }
        assert!(
            until(PATIENCE, || descriptors(&server) <= before),
            "{} descriptors, after {before}",
            descriptors(&server)
        );
        drop(first);
        let summary = server.stop();
        assert_eq!(summary.open_connections, 0);
        let mailbox = fs::read(directory.path().join("mail/1")).unwrap_or_default();
        assert_eq!(mailbox.len() % 3, 0, "no message was appended in part");
    }
}
