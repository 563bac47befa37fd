//! Every decision of the core, in virtual time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use c10k_event::Mechanism;
use c10k_http::{Date, Disk, Ending, Resources, Step};

use super::{BodyBudget, ConnectionCore, Expired, Output, WorkerCore, evict};
use crate::timeout::{TICK, Tick};
use crate::{Config, Deadlines};

const LIMITS: Deadlines = Deadlines {
    head: Duration::from_secs(20),
    body: Duration::from_secs(30),
    send: Duration::from_secs(10),
    min_send_rate: 500,
    idle: Duration::from_secs(75),
    spare: Duration::from_secs(1),
    linger: Duration::from_secs(2),
    back_off: Duration::from_millis(100),
    drain: Duration::from_secs(10),
};

const REQUEST: &[u8] = b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n";
const PART_OF_A_HEAD: &[u8] = b"GET /bytes/3 HTTP/1.1\r\nHo";
const PART_OF_A_BODY: &[u8] = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc";
const LONG_REPLY: &[u8] = b"GET /bytes/1m HTTP/1.1\r\nHost: a\r\n\r\n";

/// A worker and one of its connections.
struct Played {
    worker: WorkerCore,
    connection: ConnectionCore,
}

impl Played {
    fn new() -> Played {
        let mut config = Config::new(Mechanism::named("epoll-edge").expect("a known mechanism"));
        config.deadlines = LIMITS;
        config.resources = Resources::Lab;
        let bodies = BodyBudget::new(Box::leak(Box::default()), 1 << 20);
        let mut played = Played {
            worker: WorkerCore::new(&config, bodies, 2, Date::from_unix(0)),
            connection: ConnectionCore::new(),
        };
        played.renew(Output::Sent);
        played
    }

    /// A connection that has received some input, and sent the replies, as far as they are not long.
    fn fed(input: &[u8]) -> Played {
        let mut played = Played::new();
        played.feed(input);
        played
    }

    fn feed(&mut self, input: &[u8]) {
        // The driver reads or writes next.
        let _ = self.connection.feed(input, &mut self.worker);
        self.connection.take_replies(&mut self.worker);
        self.worker.output.bytes.clear();
        self.renew(Output::Sent);
    }

    fn renew(&mut self, output: Output) {
        self.connection.renew_deadline(output, &self.worker);
    }

    fn pass(&mut self, time: Duration) {
        let ticks = u32::try_from(time.as_millis() / TICK.as_millis()).expect("a short time");
        self.worker.advance(Tick(self.worker.now().0 + ticks), None);
    }

    /// Asserts that the deadline is `limit` away: within the resolution, and a tick that `pass` may round off.
    fn assert_limit(&self, limit: Duration) {
        let left = self.connection.time_left(&self.worker);
        assert!((limit..=limit + TICK * 3).contains(&left), "{left:?} left of {limit:?}");
    }

    fn expire(&mut self) -> Expired {
        self.connection.expire(&mut self.worker)
    }
}

#[test]
fn an_idle_connection_is_closed_and_counted_as_a_timeout() {
    let mut played = Played::new();
    played.assert_limit(LIMITS.idle);
    assert_eq!(played.expire(), Expired::Close);
    assert_eq!(played.worker.stats.timeouts, 1);
}

#[test]
fn each_request_starts_the_idle_time_again() {
    let mut played = Played::fed(REQUEST);
    played.pass(LIMITS.idle / 2);
    played.feed(REQUEST);
    played.assert_limit(LIMITS.idle);
}

#[test]
fn a_head_has_one_deadline_however_its_bytes_trickle_in() {
    let mut played = Played::fed(&PART_OF_A_HEAD[..4]);
    played.assert_limit(LIMITS.head);
    played.pass(LIMITS.head / 2);
    played.feed(&PART_OF_A_HEAD[4..]);
    played.assert_limit(LIMITS.head / 2);
    assert_eq!(played.expire(), Expired::Refused(Step::Close(Ending::Lingering)));
    assert!(played.worker.output.bytes.starts_with(b"HTTP/1.1 408 "));
    assert_eq!(played.worker.stats.timeouts, 1);
}

#[test]
fn a_request_behind_another_has_a_deadline_of_its_own() {
    let mut played = Played::fed(PART_OF_A_HEAD);
    played.pass(LIMITS.head / 2);
    // The rest of the first request, and a part of the next.
    played.feed(b"st: a\r\n\r\nGET ");
    played.assert_limit(LIMITS.head);
}

#[test]
fn a_body_has_one_deadline_from_the_end_of_its_head() {
    let mut played = Played::fed(PART_OF_A_BODY);
    played.assert_limit(LIMITS.body);
    played.pass(LIMITS.body / 2);
    played.feed(b"def");
    played.assert_limit(LIMITS.body / 2);
    assert_eq!(played.expire(), Expired::Refused(Step::Close(Ending::Lingering)));
    assert_eq!(played.worker.stats.timeouts, 1);
}

#[test]
fn a_client_that_reads_too_slowly_is_cut_off() {
    let mut played = Played::fed(LONG_REPLY);
    played.renew(Output::Pending);
    played.assert_limit(LIMITS.send);
    // 500 bytes per second, for 10 seconds.
    played.connection.sent(4999);
    assert_eq!(played.expire(), Expired::Close);
    assert_eq!(played.worker.stats.timeouts, 1);
}

#[test]
fn a_client_that_reads_fast_enough_has_as_much_time_again() {
    let mut played = Played::fed(LONG_REPLY);
    played.renew(Output::Pending);
    played.connection.sent(5000);
    played.pass(LIMITS.send + TICK * 2);
    assert_eq!(played.expire(), Expired::Renewed);
    played.assert_limit(LIMITS.send);
    assert_eq!(played.worker.stats.timeouts, 0);
    // What it read before does not count for the new time.
    assert_eq!(played.expire(), Expired::Close);
}

#[test]
fn sending_more_of_a_reply_does_not_postpone_its_deadline() {
    let mut played = Played::fed(LONG_REPLY);
    played.renew(Output::Pending);
    played.pass(LIMITS.send / 2);
    played.connection.sent(1);
    played.renew(Output::Pending);
    played.assert_limit(LIMITS.send / 2);
}

#[test]
fn a_lingering_connection_is_closed_and_is_no_timeout() {
    let mut played = Played::fed(REQUEST);
    played.connection.start_linger(&mut played.worker);
    played.renew(Output::Sent);
    played.assert_limit(LIMITS.linger);
    played.pass(LIMITS.linger / 2);
    played.renew(Output::Sent);
    played.assert_limit(LIMITS.linger / 2);
    assert_eq!(played.expire(), Expired::Close);
    let stats = &played.worker.stats;
    assert_eq!((stats.timeouts, stats.calls.shutdown), (0, 1));
}

#[test]
fn a_drain_gives_an_idle_connection_a_short_grace_and_then_ends_it() {
    let mut played = Played::new();
    assert!(played.worker.start_drain());
    played.renew(Output::Sent);
    played.assert_limit(Duration::from_millis(250));
    assert_eq!(played.expire(), Expired::Linger);
    assert_eq!(played.worker.stats.timeouts, 0);
}

#[test]
fn a_drain_leaves_a_request_its_deadline_and_closes_after_the_reply() {
    let mut played = Played::fed(PART_OF_A_HEAD);
    played.pass(LIMITS.head / 2);
    played.worker.start_drain();
    played.renew(Output::Sent);
    played.assert_limit(LIMITS.head / 2);
    let step = played.connection.feed(b"st: a\r\n\r\n", &mut played.worker);
    assert!(matches!(step, Step::Close(_)), "{step:?}");
    let reply = String::from_utf8_lossy(&played.worker.output.bytes);
    assert!(reply.contains("\r\nConnection: close\r\n"), "{reply}");
}

#[test]
fn a_drain_starts_once_and_ends_with_the_last_connection_or_at_its_deadline() {
    let mut played = Played::new();
    assert!(!played.worker.is_drained(true), "it has not started");
    assert!(played.worker.start_drain());
    assert!(played.worker.is_drained(true));
    assert!(!played.worker.is_drained(false));
    played.pass(LIMITS.drain / 2);
    assert!(!played.worker.start_drain(), "it started before");
    assert!(!played.worker.is_drained(false));
    played.pass(LIMITS.drain / 2 + TICK * 3);
    assert!(played.worker.is_drained(false), "its deadline has passed");
}

#[test]
fn there_is_room_up_to_the_limit() {
    let worker = Played::new().worker;
    assert_eq!([0, 1, 2, 3].map(|open| worker.room(open)), [2, 1, 0, 0]);
    assert_eq!(
        [0, 1, 2, 3].map(|open| worker.may_accept(open)),
        [true, true, false, false]
    );
}

#[test]
fn accepting_resumes_after_the_back_off() {
    let mut played = Played::new();
    played.pass(TICK);
    played.worker.pause_accepting();
    assert!(!played.worker.may_accept(0));
    played.pass(TICK);
    assert!(!played.worker.may_accept(0), "100 ms have not passed");
    played.pass(TICK * 3);
    assert!(played.worker.may_accept(0));
}

#[test]
fn accepting_resumes_as_soon_as_a_connection_is_closed() {
    let mut played = Played::new();
    played.worker.pause_accepting();
    played.worker.closed();
    assert!(played.worker.may_accept(1));
    assert!(!played.worker.may_accept(2), "there is no room");
    assert_eq!(played.worker.stats.calls.close, 1);
}

/// Connections that became idle one tick after the other, the last one now.
fn idle_since(worker: &mut WorkerCore, count: u32) -> Vec<ConnectionCore> {
    let start = worker.now().0;
    (0..count)
        .map(|tick| {
            worker.advance(Tick(start + tick), None);
            let mut connection = ConnectionCore::new();
            connection.renew_deadline(Output::Sent, worker);
            connection
        })
        .collect()
}

fn evicted(worker: &mut WorkerCore, connections: &[ConnectionCore]) -> Vec<usize> {
    let mut evicted = evict(worker, connections.iter().map(ConnectionCore::awaited).enumerate());
    evicted.sort_unstable();
    evicted
}

#[test]
fn the_longest_idle_are_evicted_and_no_more_than_32_at_once() {
    let mut played = Played::new();
    let connections = idle_since(&mut played.worker, 100);
    assert_eq!(evicted(&mut played.worker, &connections), (0..32).collect::<Vec<_>>());
    assert_eq!(played.worker.stats.evicted, 32);
}

#[test]
fn nothing_is_evicted_again_within_the_back_off() {
    let mut played = Played::new();
    let connections = idle_since(&mut played.worker, 100);
    evicted(&mut played.worker, &connections);
    assert_eq!(evicted(&mut played.worker, &connections[32..]), Vec::<usize>::new());
    played.pass(TICK * 3);
    assert_eq!(evicted(&mut played.worker, &connections[32..]).len(), 32);
    assert_eq!(played.worker.stats.evicted, 64);
}

#[test]
fn what_has_been_idle_for_less_than_the_spare_time_is_not_evicted() {
    let mut played = Played::new();
    let connections = idle_since(&mut played.worker, 1);
    played.pass(LIMITS.spare - TICK * 2);
    assert_eq!(evicted(&mut played.worker, &connections), Vec::<usize>::new());
    played.pass(TICK * 5);
    assert_eq!(evicted(&mut played.worker, &connections), [0]);
}

#[test]
fn only_idle_connections_are_evicted() {
    let mut worker = Played::new().worker;
    let connections: Vec<ConnectionCore> = [PART_OF_A_HEAD, PART_OF_A_BODY, LONG_REPLY]
        .iter()
        .map(|input| Played::fed(input).connection)
        .collect();
    worker.advance(Tick(1000), None);
    assert_eq!(evicted(&mut worker, &connections), Vec::<usize>::new());
}

#[test]
fn replies_are_counted_when_they_are_sent_and_requests_when_they_are_received() {
    let mut played = Played::fed(&[REQUEST, REQUEST].concat());
    assert_eq!(played.worker.stats.replies, 0);
    played.connection.all_sent(&mut played.worker);
    let stats = played.worker.stats_to_report();
    assert_eq!((stats.requests, stats.replies, stats.refused), (2, 2, 0));
}

#[test]
fn statistics_are_due_once_a_tick() {
    let mut played = Played::new();
    assert!(!played.worker.report_is_due());
    played.pass(TICK);
    assert!(played.worker.report_is_due());
    played.worker.stats_to_report();
    assert!(!played.worker.report_is_due());
}

#[test]
fn a_request_for_the_statistics_is_answered_with_them() {
    let mut played = Played::new();
    let step = played
        .connection
        .feed(b"GET /stats HTTP/1.1\r\nHost: a\r\n\r\n", &mut played.worker);
    assert_eq!(step, Step::Stats);
    let step = played.connection.answer_stats(b"{\"a\":1}", &mut played.worker);
    assert_eq!(step, Step::Read);
    assert!(played.worker.output.bytes.ends_with(b"\r\n\r\n{\"a\":1}"));
}

#[test]
fn the_bodies_of_ten_thousand_connections_together_stay_within_the_bound() {
    const BOUND: usize = 1 << 20;
    let mut played = Played::new();
    let request = |bytes: usize| {
        let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n";
        format!("{head}{}", "b".repeat(bytes))
    };
    let mut connections: Vec<ConnectionCore> = Vec::new();
    let mut refused = 0;
    for _ in 0..10_000 {
        let mut connection = ConnectionCore::new();
        match connection.feed(request(1000).as_bytes(), &mut played.worker) {
            Step::Read => connections.push(connection),
            Step::Close(Ending::Lingering) => refused += 1,
            step => panic!("{step:?}"),
        }
        let reply = std::mem::take(&mut played.worker.output.bytes);
        assert!(reply.is_empty() || reply.starts_with(b"HTTP/1.1 503 "));
    }
    let held: usize = connections.iter().map(|core| core.machine.kept_of_body()).sum();
    assert!((BOUND - 1000..=BOUND).contains(&held), "{held}");
    assert_eq!(connections.len() + refused, 10_000);
    // A whole body counts until its reply is sent.
    let mut first = connections.swap_remove(0);
    assert_eq!(first.feed(b"b", &mut played.worker), Step::Read);
    let mut late = ConnectionCore::new();
    let step = late.feed(request(1000).as_bytes(), &mut played.worker);
    assert_eq!(step, Step::Close(Ending::Lingering));
    first.take_replies(&mut played.worker);
    first.all_sent(&mut played.worker);
    let mut late = ConnectionCore::new();
    assert_eq!(late.feed(request(1000).as_bytes(), &mut played.worker), Step::Read);
    // A connection that ends gives its share back.
    drop((late, connections));
    let mut last = ConnectionCore::new();
    assert_eq!(last.feed(request(1000).as_bytes(), &mut played.worker), Step::Read);
    assert_eq!(last.machine.kept_of_body(), 1000);
}

#[test]
fn a_message_counts_until_its_work_is_over_although_its_connection_is_closed() {
    let mut played = Played::new();
    let held: &AtomicU64 = Box::leak(Box::default());
    played.worker.bodies = BodyBudget::new(held, 5000);
    played.worker.host.disk = Disk::Present;
    let request = format!(
        "POST /mail/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{}",
        "b".repeat(1000)
    );
    let step = played.connection.feed(request.as_bytes(), &mut played.worker);
    assert_eq!(step, Step::Block);
    let work = played.connection.machine.blocking_work();
    assert!(work.is_some());
    let during = held.load(Ordering::Relaxed);
    assert!(during >= 1000, "{during}");
    played.connection.close_during_work();
    assert_eq!(held.load(Ordering::Relaxed), during);
    drop(played.connection);
    assert_eq!(held.load(Ordering::Relaxed), 0);
}
