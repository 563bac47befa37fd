//! A server at its limit on connections reports this once and loses no client.

use std::io::{ErrorKind, Read};

use c10k_server::Concurrency;

use crate::Case;
use crate::client::{Client, PATIENCE, get};
use crate::dialogue::until;
use crate::subject::{Needs, Subject};

pub(crate) const CASES: &[Case] = &[
    (
        "at_its_limit_it_says_so_in_one_line_and_loses_nobody",
        Needs::OneLimit,
        at_the_limit,
    ),
    (
        "however_many_workers_are_at_their_limits_it_is_said_once",
        Needs::ManyLimits,
        at_many_limits,
    ),
    (
        "at_its_limit_the_end_of_a_connection_makes_room_at_once",
        Needs::Cap,
        wakes_at_the_limit,
    ),
    (
        "with_few_descriptors_most_are_for_connections",
        Needs::OwnDescriptors,
        few_descriptors,
    ),
    (
        "a_connection_ends_with_the_process_that_is_killed",
        Needs::Processes,
        killed_process,
    ),
];

/// Pauses last for longer than the test: only the end of a connection can make room.
fn wakes_at_the_limit(subject: &Subject) {
    let server = subject.start(&[
        ("connections", "1"),
        ("spare", "600s"),
        ("back-off", "600s"),
        ("workers", "1"),
        ("concurrency", "1"),
    ]);
    let mut first = Client::connect(server.address);
    assert_eq!(first.get("/bytes/1").status, 200);
    let gone: Vec<Client> = (0..40).map(|_| Client::connect(server.address)).collect();
    drop(gone);
    let mut honest = Client::connect(server.address);
    honest.send(get("/bytes/1"));
    drop(first);
    assert_eq!(honest.reply().status, 200);
    drop(honest);
    let summary = server.stop();
    assert_eq!((summary.accepted, summary.open_connections_max), (42, 1));
}

/// With few descriptors, most are for connections.
fn few_descriptors(subject: &Subject) {
    let (server, messages) = subject.start_with_messages(&[("nofile", "64"), ("spare", "600s")]);
    let line = messages.recv_timeout(PATIENCE).expect("a line on standard error");
    assert!(
        line.contains("(64) leaves room for ") && line.contains("ulimit -n"),
        "{line}"
    );
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(server.address)).collect();
    for mut client in clients.drain(..) {
        assert_eq!(client.get("/bytes/1").status, 200);
    }
    let summary = server.stop();
    assert_eq!(summary.accepted, 100);
    assert!(summary.open_connections_max >= 20, "{}", summary.open_connections_max);
}

/// The connection of a process that is killed is not open any more.
fn killed_process(subject: &Subject) {
    let server = subject.start(&[]);
    let mut victim = Client::connect(server.address);
    assert_eq!(victim.get("/bytes/1").status, 200);
    let own = server.pid().as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).expect("the server runs");
    let children: Vec<i32> = children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect();
    for &child in &children {
        let child = rustix::process::Pid::from_raw(child).expect("not 0");
        rustix::process::kill_process(child, rustix::process::Signal::KILL).expect("it is there until it is reaped");
    }
    // The end, or a reset.
    let _ = victim.stream.read(&mut [0]);
    // Until then, one that is being killed may still accept the connection that asks below.
    let is_reaped = |child: &i32| !std::path::Path::new(&format!("/proc/{child}")).exists();
    assert!(
        until(PATIENCE, || children.iter().all(is_reaped)),
        "a killed child is not reaped"
    );
    let open = until(PATIENCE, || {
        let stats = Client::connect(server.address).get("/stats").body;
        let stats: c10k_record::ServeSummary = serde_json::from_slice(&stats).expect("the counters");
        stats.open_connections == 1
    });
    assert!(open, "the lost connection still counts as open");
    server.stop();
}

/// The option that sets how many connections a model serves at once, and how the line that it prints at this limit begins
/// and ends.
fn limit(concurrency: Concurrency) -> (&'static str, &'static str, &'static str) {
    match concurrency {
        Concurrency::OnePerWorker => ("workers", "all 2 ", " have a connection: more connections wait in the "),
        Concurrency::WorkerPerConnection(_) => ("connections", "2 ", " are the most that this model may start"),
        Concurrency::Many => ("connections", "the limit on connections ", "is reached"),
    }
}

fn at_the_limit(subject: &Subject) {
    let (option, first, last) = limit(subject.concurrency());
    let (server, messages) = subject.start_with_messages(&[(option, "2"), ("spare", "60s")]);
    let mut clients: Vec<Client> = (0..2).map(|_| Client::connect(server.address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/bytes/1").status, 200);
    }
    for _ in 0..3 {
        let mut beyond = Client::connect(server.address);
        beyond.send(get("/bytes/1"));
        clients.push(beyond);
    }
    let line = messages.recv_timeout(PATIENCE).expect("a line on standard error");
    assert!(
        line.starts_with(&format!("c10k serve: {first}")) && line.contains(last) && line.ends_with(" (reported once)"),
        "{line}"
    );
    for beyond in &clients[2..] {
        beyond.stream.set_nonblocking(true).expect("a socket");
        let early = (&beyond.stream).read(&mut [0]).expect_err("a reply beyond the limit");
        assert_eq!(early.kind(), ErrorKind::WouldBlock);
        beyond.stream.set_nonblocking(false).expect("a socket");
    }
    // Each client that leaves makes room for a waiting one, which has already sent its request.
    let mut waiting = clients.split_off(2);
    drop(clients);
    for mut beyond in waiting.drain(..) {
        assert_eq!(beyond.reply().status, 200);
    }
    let summary = server.stop();
    assert_eq!((summary.accepted, summary.replies, summary.open_connections), (5, 5, 0));
    // Until the end of the server's standard error.
    assert_eq!(messages.iter().collect::<Vec<_>>(), Vec::<String>::new());
}

/// One connection for each of three workers, and many more that wait.
fn at_many_limits(subject: &Subject) {
    let (server, messages) = subject.start_with_messages(&[("workers", "3"), ("connections", "3"), ("spare", "60s")]);
    let mut clients: Vec<Client> = (0..40).map(|_| Client::connect(server.address)).collect();
    for client in &mut clients {
        client.send("GET /bytes/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    for mut client in clients {
        assert_eq!(client.reply().status, 200);
    }
    let summary = server.stop();
    assert!(summary.open_connections_max <= 3, "{}", summary.open_connections_max);
    let lines: Vec<String> = messages.iter().collect();
    // A loop reaches its limit as soon as it has accepted. An acceptor thread may never see three connections open.
    let least = usize::from(!subject.name().ends_with("::handoff"));
    assert!((least..=1).contains(&lines.len()), "{lines:?}");
    assert!(lines.iter().all(|line| line.ends_with(" (reported once)")), "{lines:?}");
}
