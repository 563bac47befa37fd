//! Subscribers: each mechanism, many at once, those that do not read, and the end.

mod support;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use c10k_event::Mechanism;
use c10k_testkit::required::is_required;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use support::{Client, Daemon, until};

#[test]
fn a_subscriber_is_served_on_every_mechanism_that_can_run_here() {
    let mut served = 0;
    for mechanism in Mechanism::all() {
        if let Err(reason) = mechanism.probe() {
            assert!(!is_required(&[mechanism.name()]), "{mechanism} is required: {reason}");
            println!("skipped {mechanism}: {reason}");
            continue;
        }
        let daemon = Daemon::start(20, |config| config.mechanism = mechanism);
        let (mut one, mut two) = (daemon.subscribe(), daemon.subscribe());
        let mut pull = daemon.connect();
        for _ in 0..3 {
            let first = one.sample().sequence;
            assert_eq!(one.sample().sequence, first + 1, "{mechanism}");
            pull.send("GET /sample HTTP/1.1\r\nHost: a\r\n\r\n");
            let (head, _) = pull.reply();
            assert!(head.starts_with("HTTP/1.1 200"), "{mechanism}: {head}");
        }
        drop(one);
        until("the first is gone", || daemon.counts.subscribers_now() == 1);
        two.sample();
        let summary = daemon.end();
        while two.chunk().is_some() {}
        assert_eq!(two.rest(), "", "{mechanism}: nothing follows the last chunk");
        assert_eq!(summary.mechanism.as_deref(), Some(mechanism.name()));
        assert_eq!(summary.subscribers, 2, "{mechanism}");
        served += 1;
    }
    assert!(served > 5, "epoll, poll, select and signals run everywhere");
}

/// A subscriber whose receive buffer is as small as the kernel allows.
fn small_subscriber(address: SocketAddr) -> Client {
    let flags = SocketFlags::CLOEXEC;
    let socket: OwnedFd =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a descriptor");
    sockopt::set_socket_recv_buffer_size(&socket, 1).expect("the kernel raises it to its minimum");
    rustix::net::connect(&socket, &address).expect("it listens");
    let mut client = Client::new(TcpStream::from(socket));
    client.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    client
}

#[test]
fn a_reader_that_stalls_misses_whole_lines_and_delays_nobody() {
    let daemon = Daemon::start(5, |_| {});
    let mut stalled = small_subscriber(daemon.address);
    let mut reader = daemon.subscribe();
    // The one that reads gets the line of each period, also of those that the other one misses.
    let mut last = reader.sample().sequence;
    let mut read = 1;
    while daemon.counts.summary().lines_skipped < 50 {
        let next = reader.sample().sequence;
        assert_eq!(next, last + 1, "the reader misses nothing");
        last = next;
        read += 1;
    }
    // Then the other one reads: what it gets are whole lines.
    stalled.head();
    let mut taken: Vec<u64> = vec![stalled.sample().sequence];
    while taken.last() < Some(&last) {
        taken.push(stalled.sample().sequence);
    }
    assert!(taken.is_sorted_by(|a, b| a < b));
    let gaps = taken.windows(2).filter(|pair| pair[1] > pair[0] + 1).count();
    assert!(gaps >= 1, "lines were skipped: {taken:?}");
    // At the end both streams are whole, and every line is accounted for.
    let (reader, stalled) = std::thread::scope(|scope| {
        let rest = |mut client: Client| {
            let mut lines = 0_u64;
            while client.chunk().is_some() {
                lines += 1;
            }
            assert_eq!(client.rest(), "");
            lines
        };
        let (reader, stalled) = (scope.spawn(move || rest(reader)), scope.spawn(move || rest(stalled)));
        daemon.stop.request();
        (reader.join().expect("no panic"), stalled.join().expect("no panic"))
    });
    let summary = daemon.end();
    let received = read + reader + stalled + taken.len() as u64;
    assert_eq!(summary.lines_sent, received, "{summary:?}");
    assert_eq!(summary.lines_cut, 0);
    assert_eq!(summary.lines_due, received + summary.lines_skipped);
    assert!(summary.lines_skipped >= 50);
}

#[test]
fn a_reader_that_never_reads_on_is_closed() {
    let daemon = Daemon::start(5, |config| config.deadlines.stalled = Duration::from_millis(50));
    let stalled = small_subscriber(daemon.address);
    until("it is closed", || daemon.counts.summary().timeouts == 1);
    until("its end is counted", || daemon.counts.subscribers_now() == 0);
    drop(stalled);
    let summary = daemon.end();
    // Whether a line was begun when the buffers were full depends on how the kernel divides them.
    assert!(summary.lines_cut <= 1 && summary.lines_skipped > 0, "{summary:?}");
}

#[test]
fn a_subscriber_that_is_reset_is_forgotten() {
    let daemon = Daemon::start(5, |_| {});
    for _ in 0..20 {
        let mut client = daemon.subscribe();
        client.sample();
        sockopt::set_socket_linger(client.stream.get_ref(), Some(Duration::ZERO)).expect("an option");
    }
    until("all are gone", || daemon.counts.subscribers_now() == 0);
    let summary = daemon.end();
    assert_eq!(summary.subscribers, 20);
    assert!(summary.lines_sent >= 20);
}

#[test]
fn two_thousand_subscribers_get_the_same_lines() {
    const SUBSCRIBERS: usize = 2000;
    const LINES: u64 = 4;
    c10k_monitor::raise_descriptor_limit();
    // The first ones are not read before all are connected: what comes meanwhile has to fit into the buffers.
    let daemon = Daemon::start(400, |_| {});
    let mut clients: Vec<Client> = (0..SUBSCRIBERS).map(|_| daemon.subscribe()).collect();
    assert_eq!(daemon.counts.subscribers_now(), SUBSCRIBERS as u64);
    // Who subscribed last has missed the samples before; from its first line on all have the same.
    let first = clients.last_mut().expect("there are some").sample().sequence;
    let mut lines: BTreeMap<u64, String> = BTreeMap::new();
    let mut received = BTreeMap::<u64, usize>::new();
    let last_client = clients.len() - 1;
    for (number, client) in clients.iter_mut().enumerate() {
        let mut sequence = if number == last_client { first } else { 0 };
        while sequence < first + LINES {
            let line = client.chunk().expect("the stream goes on");
            let sample: c10k_record::MonitorSample = c10k_record::read::object(line.as_bytes()).expect("a record");
            assert!(sample.sequence == sequence + 1 || sequence == 0, "a line is missing");
            sequence = sample.sequence;
            if sequence > first && sequence <= first + LINES {
                *received.entry(sequence).or_default() += 1;
                let same = lines.entry(sequence).or_insert_with(|| line.clone());
                assert_eq!(*same, line);
            }
        }
    }
    let wanted: Vec<(u64, usize)> = (first + 1..=first + LINES)
        .map(|sequence| (sequence, SUBSCRIBERS))
        .collect();
    assert_eq!(received.into_iter().collect::<Vec<_>>(), wanted);
    drop(clients);
    let summary = daemon.end();
    assert_eq!((summary.subscribers, summary.subscribers_max), (2000, 2000));
    assert!(summary.lines_due >= LINES * SUBSCRIBERS as u64, "{summary:?}");
}

#[test]
fn a_stop_ends_streams_with_the_last_chunk_and_idle_connections_at_once() {
    let daemon = Daemon::start(20, |_| {});
    let mut subscriber = daemon.subscribe();
    let (mut idle, mut silent) = (daemon.connect(), daemon.connect());
    idle.send("GET /sample HTTP/1.1\r\nHost: a\r\n\r\n");
    idle.reply();
    silent.send("GET /sam");
    subscriber.sample();
    until("all are accepted", || daemon.counts.summary().accepted == 3);
    let address = daemon.address;
    daemon.stop.request();
    while subscriber.chunk().is_some() {}
    assert_eq!(subscriber.rest(), "");
    assert_eq!((idle.rest(), silent.rest()), (String::new(), String::new()));
    drop((subscriber, idle, silent));
    let summary = daemon.end();
    assert_eq!((summary.lines_cut, summary.accepted), (0, 3));
    assert!(TcpStream::connect(address).is_err(), "nothing listens any more");
}

#[test]
fn a_stop_does_not_wait_for_a_reader_beyond_the_drain_deadline() {
    let daemon = Daemon::start(5, |config| config.deadlines.drain = Duration::from_millis(100));
    let stalled = small_subscriber(daemon.address);
    until("lines are skipped", || daemon.counts.summary().lines_skipped > 5);
    let summary = daemon.end();
    assert!(summary.lines_skipped > 5 && summary.lines_cut <= 1, "{summary:?}");
    drop(stalled);
}
