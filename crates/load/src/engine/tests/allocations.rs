//! In steady state the engine allocates nothing for a request, whatever the pattern.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::time::Duration;

use c10k_event::Readiness;
use c10k_testkit::allocations::{Counting, of_this_thread};

use crate::accounting::failure::Failure;
use crate::clock::Moment;
use crate::engine::Engine;
use crate::engine::world::{Link, ReadResult, World};
use crate::plan::{LoadPlan, MixRow, Pattern, Rate, Sessions, Target};
use crate::schedule::thread_share::ThreadShare;
use crate::schedule::timetable::{Timetable, Window};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const MS: u64 = 1_000_000;

/// A server that answers at once and allocates nothing.
struct PromptServer {
    now: Cell<u64>,
    /// The length of every request, the same for all.
    request_length: usize,
    /// The number of unread replies by slot.
    unread: [usize; SLOTS],
}

const SLOTS: usize = 64;

impl World for PromptServer {
    fn now(&self) -> Moment {
        Moment(self.now.get())
    }

    fn connect(&mut self, _: u32) -> Result<Link, Failure> {
        Ok(Link::Connected)
    }

    fn connected(&mut self, _: u32) -> Result<(), Failure> {
        Ok(())
    }

    fn write(&mut self, slot: u32, bytes: &[u8]) -> Result<usize, Failure> {
        self.unread[slot as usize] += bytes.len() / self.request_length;
        Ok(bytes.len())
    }

    fn read(&mut self, slot: u32, buffer: &mut [u8]) -> Result<ReadResult, Failure> {
        let unread = &mut self.unread[slot as usize];
        if *unread == 0 {
            return Ok(ReadResult::WouldBlock);
        }
        *unread -= 1;
        buffer[..REPLY.len()].copy_from_slice(REPLY);
        Ok(ReadResult::Bytes(REPLY.len()))
    }

    fn close(&mut self, slot: u32) {
        self.unread[slot as usize] = 0;
    }
}

/// Simulates `plan` in steps of a millisecond; returns the requests and the allocations after the first second.
fn simulate(plan: &LoadPlan) -> (u64, u64) {
    let world = PromptServer {
        now: Cell::new(0),
        request_length: plan.target.test_request().len(),
        unread: [0; SLOTS],
    };
    let mut engine = Engine::new(plan, ThreadShare { thread: 0, threads: 1 }, world);
    engine.start(Window {
        timetable: Timetable::new(plan, Moment(0)),
        seed: plan.seed,
    });
    let mut before = (0, 0);
    for millisecond in 0..10_000 {
        if millisecond == 1000 {
            before = (engine.stats().completed, of_this_thread());
        }
        engine.world_mut().now.set(millisecond * MS);
        engine.step();
        for slot in 0..engine.slot_count() {
            while engine.world_mut().unread[slot as usize] > 0 {
                engine.event(slot, Readiness::READABLE);
            }
        }
    }
    (engine.stats().completed - before.0, of_this_thread() - before.1)
}

#[test]
fn a_request_allocates_nothing() {
    let number = |number| NonZeroU64::new(number).unwrap();
    let round_robin = |per_connection| Pattern::RoundRobin {
        connections: number(50),
        per_connection,
    };
    let patterns = [
        (Rate::PerSecond(2000.0), round_robin(None)),
        (Rate::Max, round_robin(None)),
        (Rate::PerSecond(2000.0), round_robin(Some(number(3)))),
        (
            Rate::PerSecond(2000.0),
            Pattern::OnDemand {
                per_connection: number(1),
            },
        ),
        (
            Rate::PerSecond(500.0),
            Pattern::Sessions(Sessions {
                total: NonZeroU64::MAX,
                calls: number(4),
                burst: number(2),
                think: Duration::from_millis(5),
            }),
        ),
    ];
    for (rate, pattern) in patterns {
        let plan = LoadPlan {
            rate,
            pattern,
            duration: Duration::from_secs(10),
            ..LoadPlan::new(Target::parse("http://127.0.0.1:80/bytes/5").unwrap())
        };
        let rows = ["3=POST /{uniform:10} 64", "1=POST /{zipf:10} 64"].map(|row| MixRow::parse(row).unwrap());
        let mixed = LoadPlan {
            target: Target::parse("http://127.0.0.1:80").unwrap().with_mix(&rows).unwrap(),
            ..plan.clone()
        };
        for plan in [plan, mixed] {
            let (requests, allocations) = simulate(&plan);
            assert!(requests > 10_000, "{requests}, {pattern:?}");
            assert_eq!(allocations, 0, "for {requests} requests, {pattern:?}");
        }
    }
}
