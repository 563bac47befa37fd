//! Loops that fetch few events in a wait.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Case;
use crate::client::{Client, get};
use crate::subject::{Needs, Subject};

pub(crate) const CASES: &[Case] = &[
    (
        "with_one_event_a_wait_all_that_are_ready_are_served",
        Needs::Batches,
        all_are_served,
    ),
    (
        "with_one_event_a_wait_busy_connections_starve_none",
        Needs::Batches,
        none_starves,
    ),
];

/// One event a wait, in one loop.
const ONE: &[(&str, &str)] = &[("events-per-wait", "1"), ("workers", "1")];

fn all_are_served(subject: &Subject) {
    const CLIENTS: usize = 40;
    let server = subject.start(ONE);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(server.address)).collect();
    // While the loop computes, the others become ready.
    clients[0].send(get("/spin/50ms"));
    clients[1..].iter_mut().for_each(|client| client.send(get("/bytes/3")));
    assert!(clients.iter_mut().all(|client| client.reply().status == 200));
    // Each gets a connection that is ready before it is accepted, too.
    clients[0].send(get("/spin/50ms"));
    let mut others: Vec<Client> = (1..CLIENTS).map(|_| Client::connect(server.address)).collect();
    others.iter_mut().for_each(|client| client.send(get("/bytes/3")));
    assert!(others.iter_mut().all(|client| client.reply().status == 200));
    assert_eq!(clients[0].reply().status, 200);
    drop((clients, others));
    let summary = server.stop();
    assert_eq!(summary.replies, 2 * CLIENTS as u64);
    // Mechanisms on signals also count the events that they find when a source is declared.
    assert!(summary.signals > 0 || summary.events <= summary.waits, "{summary:?}");
}

fn none_starves(subject: &Subject) {
    const BUSY: usize = 8;
    let server = subject.start(ONE);
    let over = AtomicBool::new(false);
    let connected = Barrier::new(BUSY + 1);
    std::thread::scope(|scope| {
        for _ in 0..BUSY {
            scope.spawn(|| {
                let mut client = Client::connect(server.address);
                connected.wait();
                while !over.load(Ordering::Relaxed) {
                    // There is always one more, so the connection is ready again as soon as it is served.
                    client.send([get("/bytes/3"), get("/bytes/3")].concat());
                    assert_eq!((client.reply().status, client.reply().status), (200, 200));
                }
            });
        }
        connected.wait();
        let mut last = Client::connect(server.address);
        for _ in 0..200 {
            assert_eq!(last.get("/bytes/3").status, 200);
        }
        over.store(true, Ordering::Relaxed);
    });
    server.stop();
}
