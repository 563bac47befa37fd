//! Work that may block, and the helper threads that do it: nobody else waits for it.

use std::net::SocketAddr;

use c10k_record::ServeSummary;

use crate::Case;
use crate::client::{Client, PATIENCE, get, pattern};
use crate::dialogue::until;
use crate::sharing::is_still_served;
use crate::subject::{Needs, Subject};

pub(crate) const CASES: &[Case] = &[
    ("work_that_blocks_delays_nobody_else", Needs::Helpers, delays_nobody),
    (
        "more_work_than_there_are_helpers_is_all_done",
        Needs::Helpers,
        more_than_helpers,
    ),
    (
        "work_beyond_the_queue_is_refused_and_counted",
        Needs::Helpers,
        beyond_the_queue,
    ),
    (
        "a_connection_whose_work_is_out_costs_the_loop_nothing",
        Needs::Helpers,
        costs_nothing,
    ),
    (
        "the_outcome_of_work_whose_client_has_left_goes_to_nobody",
        Needs::Helpers,
        client_leaves,
    ),
    (
        "requests_around_work_that_blocks_are_answered_in_order",
        Needs::Helpers,
        pipelined,
    ),
    (
        "what_comes_before_work_that_blocks_is_answered_before_it_is_done",
        Needs::Helpers,
        answers_before,
    ),
    (
        "messages_whose_work_is_out_are_bounded_with_all_bodies",
        Needs::Helpers,
        held_messages,
    ),
    ("a_drain_waits_for_work_that_is_out", Needs::Helpers, drain),
    (
        "a_drain_waits_for_work_until_its_deadline",
        Needs::Helpers,
        drain_deadline,
    ),
];

/// Work that takes longer than a test.
const ENDLESS: &str = "/sleep/60s";

/// Work that takes longer than all that others do meanwhile.
const LONG: &str = "/sleep/1s";

/// A drain that does not wait for endless work.
const SHORT_DRAIN: (&str, &str) = ("drain", "100ms");

/// Clients of which each has requested a path.
fn clients(address: SocketAddr, count: usize, path: &str) -> Vec<Client> {
    let clients = (0..count).map(|_| {
        let mut client = Client::connect(address);
        client.send(get(path));
        client
    });
    clients.collect()
}

fn stats(client: &mut Client) -> ServeSummary {
    serde_json::from_slice(&client.get("/stats").body).expect("the counters")
}

/// Waits until so much work was handed over or refused.
fn await_work(client: &mut Client, count: u64) -> ServeSummary {
    let mut last = stats(client);
    let done = until(PATIENCE, || {
        last = stats(client);
        last.work_handed_over + last.work_refused >= count
    });
    assert!(done, "{last:?}");
    last
}

/// All helpers are busy, and everybody else is served.
fn delays_nobody(subject: &Subject) {
    let server = subject.start(&[("helpers", "2"), SHORT_DRAIN]);
    let blocked = clients(server.address, 3, ENDLESS);
    let mut honest = Client::connect(server.address);
    await_work(&mut honest, 3);
    for length in 0..20 {
        assert_eq!(honest.get(&format!("/bytes/{length}")).body, pattern(length));
        assert_eq!(Client::connect(server.address).get("/bytes/3").body, pattern(3));
    }
    blocked.iter().for_each(is_still_served);
    let summary = server.stop();
    assert_eq!(
        (summary.work_handed_over, summary.work_queue_max, summary.work_refused),
        (3, 1, 0)
    );
}

fn more_than_helpers(subject: &Subject) {
    let server = subject.start(&[("helpers", "2")]);
    let mut clients = clients(server.address, 20, "/sleep/5ms");
    for client in &mut clients {
        assert_eq!(client.reply().body, pattern(1));
        client.send(get("/sleep/1ms"));
    }
    for client in &mut clients {
        assert_eq!(client.reply().body, pattern(1));
    }
    drop(clients);
    let summary = server.stop();
    assert_eq!(
        (summary.work_handed_over, summary.work_refused, summary.replies),
        (40, 0, 40)
    );
    assert!(summary.work_queue_max <= 18, "{}", summary.work_queue_max);
    assert_eq!((summary.open_connections, summary.timeouts), (0, 0));
}

fn beyond_the_queue(subject: &Subject) {
    let server = subject.start(&[("helpers", "1"), ("helper-queue", "3"), SHORT_DRAIN]);
    let mut clients = clients(server.address, 10, ENDLESS);
    let mut honest = Client::connect(server.address);
    let stats = await_work(&mut honest, 10);
    assert_eq!(
        (stats.work_handed_over, stats.work_queue_max, stats.work_refused),
        (4, 3, 6)
    );
    let is_answered = |client: &Client| {
        client.stream.set_nonblocking(true).expect("a TCP socket");
        let answered = client.stream.peek(&mut [0]).is_ok();
        client.stream.set_nonblocking(false).expect("a TCP socket");
        answered
    };
    let mut refused = Vec::new();
    let all = until(PATIENCE, || {
        refused.extend(clients.extract_if(.., |client| is_answered(client)));
        refused.len() == 6
    });
    assert!(all, "{} of 6 were refused", refused.len());
    for client in &mut refused {
        assert_eq!(client.reply().status, 503);
    }
    assert_eq!(honest.get("/bytes/3").body, pattern(3));
    clients.iter().for_each(is_still_served);
    server.stop();
}

/// A loop that polled for the input of a blocked connection would wait again and again.
fn costs_nothing(subject: &Subject) {
    /// Waits for a client's requests, and for deadlines. A loop that polls makes thousands in the time of the work.
    const FEW: u64 = 100;
    let server = subject.start(&[("helpers", "3"), SHORT_DRAIN]);
    let mut blocked = clients(server.address, 2, ENDLESS);
    let mut honest = Client::connect(server.address);
    await_work(&mut honest, 2);
    // Input that nobody reads, and an end of the input.
    blocked[0].send(get("/bytes/1"));
    blocked[1]
        .stream
        .shutdown(std::net::Shutdown::Write)
        .expect("a connected socket");
    let before = stats(&mut honest).waits;
    assert_eq!(honest.get("/sleep/300ms").body, pattern(1));
    let after = stats(&mut honest).waits;
    assert!(after - before < FEW, "{} waits", after - before);
    blocked.iter().for_each(is_still_served);
    server.stop();
}

fn client_leaves(subject: &Subject) {
    let server = subject.start(&[("helpers", "2")]);
    let mut leaving = clients(server.address, 10, "/sleep/100ms");
    let mut honest = Client::connect(server.address);
    await_work(&mut honest, 10);
    for client in &mut leaving {
        client.send(get("/bytes/9"));
    }
    drop(leaving);
    // Each of them may get the place of one that has left.
    for length in 10..40 {
        let mut client = Client::connect(server.address);
        client.send(get(&format!("/bytes/{length}")) + &get("/sleep/1us") + &get(&format!("/bytes/{length}")));
        assert_eq!(client.reply().body, pattern(length));
        assert_eq!(client.reply().body, pattern(1));
        assert_eq!(client.reply().body, pattern(length));
    }
    assert!(
        until(PATIENCE, || stats(&mut honest).open_connections == 1),
        "a connection whose client has left stays"
    );
    drop(honest);
    let summary = server.stop();
    assert_eq!((summary.work_handed_over, summary.open_connections), (40, 0));
}

fn pipelined(subject: &Subject) {
    let server = subject.start(&[("helpers", "4")]);
    let mut client = Client::connect(server.address);
    let paths = [
        "/bytes/2",
        "/sleep/50ms",
        "/bytes/3",
        "/sleep/1ms",
        "/sleep/1us",
        "/bytes/4",
    ];
    let batch: String = paths.iter().map(|path| get(path)).collect();
    client.send(batch.repeat(2));
    client
        .stream
        .shutdown(std::net::Shutdown::Write)
        .expect("a connected socket");
    for length in [2, 1, 3, 1, 1, 4].repeat(2) {
        assert_eq!(client.reply().body, pattern(length));
    }
    assert_eq!(client.rest(), b"");
    let summary = server.stop();
    assert_eq!((summary.replies, summary.work_handed_over), (12, 6));
}

fn answers_before(subject: &Subject) {
    const LENGTH: usize = 6 << 20;
    let server = subject.start(&[SHORT_DRAIN]);
    let mut client = Client::connect(server.address);
    client.send(get("/bytes/2") + &get(&format!("/bytes/{LENGTH}")) + &get(ENDLESS));
    assert_eq!(client.reply().body, pattern(2));
    assert!(client.reply().body == pattern(LENGTH));
    is_still_served(&client);
    server.stop();
}

/// The only helper sleeps, so messages wait in the queue, and count as long as they do.
fn held_messages(subject: &Subject) {
    const EACH: usize = 4000;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().to_str().expect("a path in UTF-8");
    let server = subject.start(&[("helpers", "1"), ("held-bodies", "9000"), ("disk", path)]);
    let mut sleeping = clients(server.address, 1, LONG);
    let mut honest = Client::connect(server.address);
    await_work(&mut honest, 1);
    let message = "m".repeat(EACH);
    let post = format!("POST /mail/1 HTTP/1.1\r\nHost: a\r\nContent-Length: {EACH}\r\n\r\n{message}");
    let mut waiting: Vec<Client> = (0..2).map(|_| Client::connect(server.address)).collect();
    waiting.iter_mut().for_each(|client| client.send(&post));
    await_work(&mut honest, 3);
    let mut beyond = Client::connect(server.address);
    beyond.send(&post);
    assert_eq!(beyond.reply().status, 503);
    is_still_served(&sleeping[0]);
    assert_eq!(sleeping[0].reply().status, 200);
    // Each is the only one of its connection, and twice.
    for client in &mut waiting {
        assert_eq!(client.reply().body, message.as_bytes());
        client.send(&post);
        assert_eq!(client.reply().body, message.as_bytes());
    }
    drop((sleeping, waiting, beyond, honest));
    let summary = server.stop();
    assert_eq!((summary.work_handed_over, summary.work_refused), (5, 0));
}

fn drain(subject: &Subject) {
    let server = subject.start(&[("helpers", "1"), ("drain", "100s")]);
    let mut clients = clients(server.address, 2, LONG);
    let mut idle = Client::connect(server.address);
    await_work(&mut idle, 2);
    server.terminate();
    assert_eq!(idle.rest(), b"");
    clients.iter().for_each(is_still_served);
    for client in &mut clients {
        let reply = client.reply();
        assert!(reply.closes() && reply.body == pattern(1), "{}", reply.head);
        assert_eq!(client.rest(), b"");
    }
    drop((clients, idle));
    let summary = server.wait();
    assert_eq!(
        (summary.work_handed_over, summary.replies, summary.open_connections),
        (2, summary.requests, 0)
    );
}

/// The server ends before the work does, and the client gets no reply.
fn drain_deadline(subject: &Subject) {
    let server = subject.start(&[("helpers", "1"), SHORT_DRAIN]);
    let clients = clients(server.address, 3, ENDLESS);
    let mut honest = Client::connect(server.address);
    await_work(&mut honest, 3);
    drop(honest);
    let summary = server.stop();
    assert_eq!((summary.work_handed_over, summary.open_connections), (3, 3));
    for mut client in clients {
        // The end of the stream, or a reset.
        assert!(!matches!(client.try_reply(), Ok(Some(_))));
    }
}
