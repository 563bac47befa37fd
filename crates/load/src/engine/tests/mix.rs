//! A mix of requests: who makes which request does not depend on threads, connections or replies, and each row has its own
//! counts.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use c10k_event::Readiness;

use super::virtual_world::{OnConnect, OnRequest, Script, play, play_share, play_through, reply};
use crate::accounting::failure::Failure;
use crate::accounting::request_stats::RequestStats;
use crate::accounting::row_stats::RowStats;
use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::world::{Link, ReadResult, World};
use crate::plan::{Arrival, Choice, LoadPlan, MixRow, Pattern, Rate, Sessions, Target};
use crate::schedule::choices::Choices;
use crate::schedule::thread_share::ThreadShare;
use crate::schedule::timetable::{Timetable, Window};

const MS: u64 = 1_000_000;

fn target(rows: &[&str]) -> Target {
    let rows: Vec<MixRow> = rows.iter().map(|row| MixRow::parse(row).unwrap()).collect();
    Target::parse("http://127.0.0.1:80").unwrap().with_mix(&rows).unwrap()
}

fn mail_and_files() -> Target {
    target(&[
        "8=/file/{zipf:10000}",
        "1=/file/{zipf:10000}/cold",
        "1=POST /mail/{uniform:4} 300",
    ])
}

fn round_robin(connections: u64) -> Pattern {
    Pattern::RoundRobin {
        connections: NonZeroU64::new(connections).unwrap(),
        per_connection: None,
    }
}

fn on_demand() -> Pattern {
    Pattern::OnDemand {
        per_connection: NonZeroU64::MIN,
    }
}

fn sessions() -> Pattern {
    Pattern::Sessions(Sessions {
        total: NonZeroU64::MAX,
        calls: NonZeroU64::new(5).unwrap(),
        burst: NonZeroU64::new(3).unwrap(),
        think: Duration::from_millis(2),
    })
}

fn plan(target: Target, pattern: Pattern) -> LoadPlan {
    LoadPlan {
        rate: Rate::PerSecond(1000.0),
        arrival: Arrival::Poisson,
        pattern,
        seed: 11,
        duration: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        ..LoadPlan::new(target)
    }
}

/// A server that answers request n `delay_ns` later.
fn delays(delay_ns: impl Fn(u64) -> u64 + 'static) -> Script {
    Script {
        on_connect: Box::new(|_| OnConnect::AtOnce),
        on_request: Box::new(move |n, _| OnRequest::Reply {
            after_ns: delay_ns(n),
            bytes: reply(5),
        }),
    }
}

fn bytes(target: &Target, choice: Choice) -> Vec<u8> {
    let mut bytes = Vec::new();
    target.append(choice, &mut bytes);
    bytes
}

#[test]
fn the_requests_are_those_of_the_seed_for_any_number_of_threads() {
    for pattern in [round_robin(7), on_demand(), sessions()] {
        let plan = plan(mail_and_files(), pattern);
        let received = |threads| -> Vec<Vec<u8>> {
            let shares = (0..threads).map(|thread| ThreadShare { thread, threads });
            let mut all: Vec<_> = shares
                .flat_map(|share| play_share(&plan, share, delays(|_| MS), None, usize::MAX).received)
                .collect();
            all.sort_unstable();
            all
        };
        let alone = received(1);
        assert!(alone.len() > 800, "{}", alone.len());
        assert!(alone == received(4), "{pattern:?}");
        let other = LoadPlan {
            seed: 12,
            ..plan.clone()
        };
        assert_ne!(
            play(&other, delays(|_| MS)).received,
            play(&plan, delays(|_| MS)).received
        );
    }
}

#[test]
fn request_n_of_the_schedule_is_choice_n() {
    let plan = plan(mail_and_files(), round_robin(1));
    let choices = Choices::new(&plan.target.rows, plan.seed);
    let played = play(&plan, delays(|_| 1000));
    assert_eq!(played.stats.completed, played.received.len() as u64);
    for (index, request) in (0..).zip(&played.received) {
        assert_eq!(request, &bytes(&plan.target, choices.at(index)), "{index}");
    }
}

#[test]
fn a_connection_of_a_closed_loop_makes_the_same_requests_whatever_the_server_and_the_threads_do() {
    let plan = LoadPlan {
        rate: Rate::Max,
        ..plan(mail_and_files(), round_robin(4))
    };
    let choices = Choices::new(&plan.target.rows, plan.seed);
    // Each thread has one connection.
    for thread in 0..4 {
        let share = ThreadShare { thread, threads: 4 };
        let delay = move |n: u64| MS + n % 3 * thread * MS;
        let played = play_share(&plan, share, delays(delay), None, usize::MAX);
        assert!(played.received.len() > 100);
        for (number, request) in (0..).zip(&played.received) {
            let choice = choices.at(number * 4 + thread);
            assert_eq!(request, &bytes(&plan.target, choice), "{number} of {thread}");
        }
    }
    // One thread has all of them, and no connection is faster than the others.
    let played = play(&plan, delays(|_| MS));
    let mut together = played.received[..400].to_vec();
    let mut expected: Vec<_> = (0..400).map(|index| bytes(&plan.target, choices.at(index))).collect();
    together.sort_unstable();
    expected.sort_unstable();
    assert!(together == expected);
}

#[test]
fn requests_of_different_lengths_arrive_whole_however_few_bytes_a_write_accepts() {
    for (depth, write_max) in [(1, 1), (1, 100), (5, 7), (5, 199), (5, usize::MAX)] {
        let plan = LoadPlan {
            depth,
            arrival: Arrival::Constant,
            ..plan(mail_and_files(), round_robin(2))
        };
        let played = play_through(&plan, delays(|_| 3 * MS), None, write_max);
        assert_eq!(played.stats.completed, played.stats.intended, "{depth}, {write_max}");
        assert_eq!(played.received.len(), 1000);
        let written: usize = played.received.iter().map(Vec::len).sum();
        assert_eq!(played.traffic.bytes_out, written as u64);
    }
}

#[test]
fn each_row_has_its_own_response_times_and_the_rows_add_up() {
    let plan = LoadPlan {
        arrival: Arrival::Constant,
        // As many connections as requests: none waits for another.
        pattern: round_robin(1000),
        ..plan(mail_and_files(), round_robin(1))
    };
    let choices = Choices::new(&plan.target.rows, plan.seed);
    let of_row = choices.clone();
    let played = play(
        &plan,
        delays(move |n| [MS, 20 * MS, 5 * MS][usize::from(of_row.at(n).row)]),
    );
    let mut counts = [0; 3];
    (0..1000).for_each(|index| counts[usize::from(choices.at(index).row)] += 1);
    let RequestStats { rows, completed, .. } = &played.stats;
    let completed_of: Vec<u64> = rows.iter().map(|row| row.completed).collect();
    assert_eq!((completed_of.as_slice(), *completed), (&counts[..], 1000));
    for (row, delay) in rows.iter().zip([MS, 20 * MS, 5 * MS]) {
        for quantile in [0.001, 0.5, 0.99, 1.0] {
            for read in [row.latency.at(quantile), row.service.at(quantile)] {
                assert!(read >= delay && read - delay <= delay / 1000 + 1, "{read} for {delay}");
            }
        }
        assert_eq!(row.statuses(), BTreeMap::from([("200".to_owned(), row.completed)]));
        assert_eq!((row.intended, row.in_flight()), (row.completed, 0));
    }
    let replies = |row: &RowStats| row.series.slices().iter().map(|slice| slice.replies).sum::<u64>();
    assert_eq!(rows.iter().map(replies).sum::<u64>(), played.stats.replies_in_window);
}

#[test]
fn a_slow_row_delays_the_requests_behind_it_on_its_connection() {
    let plan = LoadPlan {
        rate: Rate::PerSecond(100.0),
        arrival: Arrival::Constant,
        ..plan(target(&["9=/warm", "1=/cold"]), round_robin(1))
    };
    let choices = Choices::new(&plan.target.rows, plan.seed);
    let played = play(&plan, delays(move |n| [MS, 15 * MS][usize::from(choices.at(n).row)]));
    let [warm, cold] = &played.stats.rows[..] else {
        panic!("two rows")
    };
    assert!(cold.completed > 0 && warm.service.at(1.0) <= MS + MS / 1000);
    // A warm request that is due 10 ms after a cold one waits 5 ms for it.
    assert!(warm.latency.at(1.0) >= 6 * MS, "{}", warm.latency.at(1.0));
}

#[test]
fn failures_count_in_their_row() {
    let plan = LoadPlan {
        timeout: Duration::from_millis(50),
        ..plan(target(&["1=/good", "1=/busy", "1=/reset", "1=/silent"]), on_demand())
    };
    let choices = Choices::new(&plan.target.rows, plan.seed);
    let script = Script {
        on_connect: Box::new(|_| OnConnect::AtOnce),
        on_request: Box::new(move |n, _| match choices.at(n).row {
            0 => OnRequest::Reply {
                after_ns: MS,
                bytes: reply(5),
            },
            1 => OnRequest::Reply {
                after_ns: MS,
                bytes: b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec(),
            },
            2 => OnRequest::Reset { after_ns: MS },
            _ => OnRequest::Silence,
        }),
    };
    let stats = play(&plan, script).stats;
    let [good, busy, reset, silent] = &stats.rows[..] else {
        panic!("four rows")
    };
    let one = |name: &str, row: &RowStats| BTreeMap::from([(name.to_owned(), row.intended)]);
    assert_eq!((good.completed, good.errors()), (good.intended, BTreeMap::new()));
    assert_eq!(
        (busy.errors(), busy.statuses()),
        (one("bad-status", busy), one("503", busy))
    );
    assert_eq!(
        (reset.errors(), reset.statuses()),
        (one("connreset", reset), BTreeMap::new())
    );
    assert_eq!(
        (silent.timed_out, silent.statuses()),
        (silent.intended, BTreeMap::new())
    );
    assert!(stats.rows.iter().all(|row| row.intended > 100));
    assert_eq!(stats.completed, good.completed);
}

#[test]
fn a_reply_to_a_half_written_request_ends_its_connection_and_not_its_successors() {
    let plan = LoadPlan {
        arrival: Arrival::Constant,
        rate: Rate::PerSecond(100.0),
        ..plan(target(&["1=POST /mail/{uniform:4} 300"]), round_robin(1))
    };
    let timetable = Timetable::new(&plan, Moment(0));
    let share = ThreadShare { thread: 0, threads: 1 };
    let mut engine = Engine::new(&plan, share, Hasty::default());
    engine.start(Window { timetable, seed: 1 });
    for millisecond in 0..1100 {
        engine.world_mut().now = millisecond * MS;
        engine.step();
        while engine.world_mut().has_replied {
            engine.event(0, Readiness::READABLE);
        }
    }
    assert_eq!((engine.stats().completed, engine.stats().failed_total()), (100, 0));
    assert_eq!(engine.world().connects, 100, "each reply came early");
}

/// A server that reads ten bytes of a request and answers.
#[derive(Default)]
struct Hasty {
    now: u64,
    connects: u64,
    is_open: bool,
    has_replied: bool,
    is_fresh: bool,
}

impl World for Hasty {
    fn now(&self) -> Moment {
        Moment(self.now)
    }

    fn connect(&mut self, _: u32) -> Result<Link, Failure> {
        self.connects += 1;
        (self.is_open, self.is_fresh) = (true, true);
        Ok(Link::Connected)
    }

    fn connected(&mut self, _: u32) -> Result<(), Failure> {
        Ok(())
    }

    fn write(&mut self, _: u32, bytes: &[u8]) -> Result<usize, Failure> {
        if !std::mem::take(&mut self.is_fresh) {
            return Ok(0);
        }
        assert!(
            bytes.starts_with(b"POST /mail/"),
            "a request starts on a new connection"
        );
        self.has_replied = true;
        Ok(10)
    }

    fn read(&mut self, _: u32, buffer: &mut [u8]) -> Result<ReadResult, Failure> {
        if !std::mem::take(&mut self.has_replied) {
            return Ok(ReadResult::WouldBlock);
        }
        let reply = reply(5);
        buffer[..reply.len()].copy_from_slice(&reply);
        Ok(ReadResult::Bytes(reply.len()))
    }

    fn close(&mut self, _: u32) {
        assert!(std::mem::take(&mut self.is_open));
    }
}
