//! A loop that polls for events before it sleeps.

use c10k_record::ServeSummary;

use crate::Case;
use crate::client::{Client, PATIENCE};
use crate::dialogue::until;
use crate::subject::{Needs, Subject};

pub(crate) const CASES: &[Case] = &[
    (
        "a_loop_that_polls_finds_the_next_request_without_a_sleep",
        Needs::Spin,
        finds,
    ),
    ("a_loop_that_polls_in_vain_sleeps", Needs::Spin, sleeps),
    ("a_loop_that_may_not_poll_sleeps_at_once", Needs::Spin, never),
    (
        "an_adaptive_loop_polls_while_requests_come_in_time",
        Needs::Spin,
        adapts,
    ),
    (
        "an_adaptive_loop_never_polls_if_no_request_comes_in_time",
        Needs::Spin,
        adapts_to_long_gaps,
    ),
];

fn stats(client: &mut Client) -> ServeSummary {
    serde_json::from_slice(&client.get("/stats").body).expect("the counters")
}

fn finds(subject: &Subject) {
    let server = subject.start(&[("spin", "50ms"), ("workers", "1")]);
    let mut client = Client::connect(server.address);
    assert!(
        until(PATIENCE, || stats(&mut client).spins_found >= 20),
        "no request came while the loop polled"
    );
    drop(client);
    assert_is_consistent(&server.stop());
}

fn sleeps(subject: &Subject) {
    let server = subject.start(&[("spin", "1ns"), ("workers", "1")]);
    let mut client = Client::connect(server.address);
    assert!(
        until(PATIENCE, || stats(&mut client).spins_slept >= 20),
        "the loop found a request each time that it polled once"
    );
    drop(client);
    assert_is_consistent(&server.stop());
}

fn never(subject: &Subject) {
    let server = subject.start(&[]);
    assert_eq!(Client::connect(server.address).get("/bytes/1").status, 200);
    let summary = server.stop();
    assert_eq!((summary.spins_found, summary.spins_slept), (0, 0));
}

fn adapts(subject: &Subject) {
    let server = subject.start(&[("spin", "adaptive:50ms"), ("workers", "1")]);
    let mut client = Client::connect(server.address);
    assert!(
        until(PATIENCE, || stats(&mut client).spins_found >= 20),
        "no request came while the loop polled"
    );
    drop(client);
    assert_is_consistent(&server.stop());
}

fn adapts_to_long_gaps(subject: &Subject) {
    // A wait takes longer than this even if there is an event.
    let server = subject.start(&[("spin", "adaptive:1ns"), ("workers", "1")]);
    let mut client = Client::connect(server.address);
    for _ in 0..50 {
        assert_eq!(client.get("/bytes/1").status, 200);
    }
    drop(client);
    let summary = server.stop();
    assert_eq!((summary.spins_found, summary.spins_slept), (0, 0));
}

/// A spin that finds events is at least one wait; one that does not is at least two.
fn assert_is_consistent(summary: &ServeSummary) {
    assert!(
        summary.spins_found + 2 * summary.spins_slept <= summary.waits,
        "{summary:?}"
    );
}
