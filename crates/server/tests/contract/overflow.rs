//! Cases for a small, bounded queue of events in the kernel.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Case;
use crate::client::{Client, PATIENCE, get};
use crate::subject::{Needs, Running, Subject};

pub(crate) const CASES: &[Case] = &[
    (
        "a_burst_over_a_queue_of_8_is_answered_in_full_by_poll",
        Needs::SignalQueue,
        burst_and_poll,
    ),
    (
        "a_burst_over_a_queue_of_8_is_answered_in_full_by_select",
        Needs::SignalQueue,
        burst_and_select,
    ),
    (
        "without_a_rescan_the_server_hangs_and_still_drains",
        Needs::SignalQueue,
        hang,
    ),
];

const CONNECTIONS: usize = 2000;

/// Opens the connections of a burst and one more, one after another: each gets a reply before the next is opened, so that
/// the server itself never fills its queue. `None` if a reply does not come in time.
fn connect(server: &Running, patience: Duration) -> Option<Vec<Client>> {
    let opened = (0..=CONNECTIONS).map(|_| {
        let mut client = Client::connect(server.address);
        client.set_patience(patience);
        client.send(get("/bytes/1"));
        let reply = client.try_reply().ok()?.expect("a reply before the end of the stream");
        assert_eq!(reply.status, 200);
        client.set_patience(PATIENCE);
        Some(client)
    });
    opened.collect()
}

/// Sends one request on each connection while the server is busy, so that events accumulate. The last one is the busy one.
fn overflow(clients: &mut [Client]) {
    let (busy, clients) = clients.split_last_mut().expect("one more than the burst has");
    busy.send(get("/spin/300ms"));
    for client in clients {
        client.send(get("/bytes/92"));
    }
}

fn burst_and_poll(subject: &Subject) {
    burst(subject, "rescan-poll");
}

fn burst_and_select(subject: &Subject) {
    burst(subject, "rescan-select");
}

fn burst(subject: &Subject, on_overflow: &str) {
    let server = subject.start(&[("signal-queue", "8"), ("on-overflow", on_overflow)]);
    let mut clients = connect(&server, PATIENCE).expect("no event is lost for good");
    overflow(&mut clients);
    for client in &mut clients {
        assert_eq!(client.reply().status, 200);
    }
    drop(clients);
    let summary = server.stop();
    assert_eq!(summary.replies, 2 * CONNECTIONS as u64 + 2);
    assert!(summary.overflows > 0 && summary.rescans > 0, "{summary:?}");
    assert_eq!(summary.open_connections, 0);
}

/// A server without a rescan, and connections of which it has answered a request each. The kernel counts the queued signals of
/// a user, so those of other programs may fill the server's queue before the burst. Then this starts again.
fn without_rescan(subject: &Subject) -> (Running, Vec<Client>) {
    let started = (0..60).find_map(|_| {
        let server = subject.start(&[("signal-queue", "8"), ("on-overflow", "none")]);
        let clients = connect(&server, Duration::from_secs(5))?;
        Some((server, clients))
    });
    started.expect("the signals of other programs always filled the queue")
}

fn hang(subject: &Subject) {
    let (server, mut clients) = without_rescan(subject);
    overflow(&mut clients);
    // The spinning request is answered when the spin ends. Events lost in the meantime stay lost.
    assert_eq!(clients.pop().expect("the busy one").reply().status, 200);
    let answered = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for part in clients.chunks_mut(CONNECTIONS / 8) {
            let answered = &answered;
            scope.spawn(move || {
                for client in part {
                    client.set_patience(Duration::from_millis(5));
                    match client.try_reply() {
                        Ok(reply) => {
                            assert_eq!(reply.expect("a reply").status, 200);
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                    }
                }
            });
        }
    });
    let answered = answered.into_inner();
    assert!(
        answered < CONNECTIONS as u64,
        "every request was answered although events were lost"
    );
    // Stopping does not depend on events: requests whose events were lost are found and answered.
    server.terminate();
    for client in &mut clients {
        client.set_patience(PATIENCE);
    }
    let late = clients
        .iter_mut()
        .filter_map(|client| client.try_reply().expect("no truncated reply"))
        .count();
    assert_eq!(answered + late as u64, CONNECTIONS as u64);
    drop(clients);
    let summary = server.wait();
    assert!(summary.overflows > 0, "{summary:?}");
    assert_eq!(summary.rescans, 0);
}
