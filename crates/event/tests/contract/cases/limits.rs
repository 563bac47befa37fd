//! Many sources, small batches, short queues.

use crate::{
    About::EachTrigger,
    Isolation::{OwnProcess, SharedProcess},
    Outcome, Setup,
    queued::Queued,
    rig::{Filler, HANG_TIMEOUT, Rig, drain, limit_files, raise_file_limit, stream_pair, write},
};
use c10k_event::{
    BusyPoll, DeclareError, Interest, InterestSet, Interrupts, Key, OpenError, Readiness, SignalQueue, Trigger, Watch,
};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType},
};
use std::{
    collections::HashMap,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

super::cases! {
    one_ready_source_of_ten_thousand_is_reported: EachTrigger, OwnProcess;
    a_small_batch_starves_no_source: EachTrigger, SharedProcess;
    a_batch_of_one_starves_no_source: EachTrigger, SharedProcess;
    a_batch_may_hold_more_than_the_kernel_returns_at_once: EachTrigger, OwnProcess;
    a_signal_queue_of_1_loses_no_source: EachTrigger, OwnProcess;
    a_signal_queue_of_8_loses_no_source: EachTrigger, OwnProcess;
    a_signal_queue_of_64_loses_no_source: EachTrigger, OwnProcess;
    a_signal_queue_with_room_for_each_source_overflows_only_with_one_signal_per_event: EachTrigger, OwnProcess;
    a_signal_queue_filled_by_another_process_loses_no_source: EachTrigger, OwnProcess;
    a_completion_queue_of_2_loses_no_source: EachTrigger, SharedProcess;
    a_source_whose_state_cannot_be_read_is_returned: EachTrigger, OwnProcess;
    busy_polling_works_or_is_refused: EachTrigger, SharedProcess;
}

fn one_ready_source_of_ten_thousand_is_reported(setup: Setup) -> Outcome {
    const SOURCES: usize = 10_000;
    let limit = raise_file_limit();
    if limit < SOURCES as u64 + 100 {
        return Outcome::Unavailable(format!("RLIMIT_NOFILE is {limit}: raise it above {SOURCES}"));
    }
    let mut rig = Rig::new(setup);
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    for _ in 0..SOURCES - 1 {
        let idle = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).expect("a socket");
        rig.declare(idle, Interest::READABLE);
    }
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    rig.assert_silent();
    write(&ours, b"x");
    let batch = rig.batch(HANG_TIMEOUT);
    assert_eq!(batch.iter().map(|event| event.key).collect::<Vec<_>>(), [key]);
    Outcome::Pass
}

/// Declares one end of each of `size` socket pairs. Returns the other ends, by key.
fn declare_pairs(rig: &mut Rig, size: usize) -> HashMap<Key, OwnedFd> {
    let mut peers = HashMap::new();
    for _ in 0..size {
        let (ours, theirs) = stream_pair();
        peers.insert(rig.declare(theirs, Interest::READABLE), ours);
    }
    peers
}

/// `epoll_wait` accepts at most `INT_MAX` bytes of events, and room for one more is `EINVAL`.
fn a_batch_may_hold_more_than_the_kernel_returns_at_once(setup: Setup) -> Outcome {
    /// The size of an event of epoll(7), which a batch stores.
    const EVENT_BYTES: usize = 12;
    const MOST: usize = i32::MAX as usize / EVENT_BYTES;
    if Vec::<u8>::new().try_reserve_exact((MOST + 1) * EVENT_BYTES).is_err() {
        return Outcome::Unavailable("the batch needs 2 GiB of memory; in the guest give --memory 3072".to_owned());
    }
    let mut rig = Rig::with(setup, &setup.options(), MOST + 1);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    for timeout in [Duration::ZERO, Duration::from_micros(1), HANG_TIMEOUT] {
        write(&ours, b"x");
        rig.batch(timeout);
        rig.drain(key);
        rig.rearm(key);
    }
    Outcome::Pass
}

fn starves_no_source(setup: Setup, batch: usize) -> Outcome {
    const SOURCES: usize = 100;
    let mut rig = Rig::with(setup, &setup.options(), batch);
    let peers = declare_pairs(&mut rig, SOURCES);
    peers.values().for_each(|peer| write(peer, b"x"));
    let mut reported: HashMap<Key, usize> = HashMap::new();
    // No source is drained, so all remain ready with the level trigger, and each must still be reported in turn: twice
    // within this many waits. With the other triggers a wait may report a single event.
    let waits = if setup.trigger == Trigger::Level {
        SOURCES.div_ceil(batch) * 2
    } else {
        SOURCES
    };
    for _ in 0..waits {
        let events = rig.batch(HANG_TIMEOUT);
        assert!(events.len() <= batch, "{} events in a batch of {batch}", events.len());
        events
            .iter()
            .for_each(|event| *reported.entry(event.key).or_default() += 1);
        if setup.trigger != Trigger::Level && reported.len() == SOURCES {
            break;
        }
    }
    assert_eq!(reported.len(), SOURCES, "every source is reported");
    if setup.trigger == Trigger::Level {
        let (least, most) = (reported.values().min(), reported.values().max());
        assert!(
            most <= least.map(|least| least + 1).as_ref(),
            "reported {least:?} to {most:?} times"
        );
    }
    Outcome::Pass
}

fn a_small_batch_starves_no_source(setup: Setup) -> Outcome {
    starves_no_source(setup, 8)
}

fn a_batch_of_one_starves_no_source(setup: Setup) -> Outcome {
    starves_no_source(setup, 1)
}

fn a_signal_queue_of_1_loses_no_source(setup: Setup) -> Outcome {
    loses_no_source(setup, 1)
}

fn a_signal_queue_of_8_loses_no_source(setup: Setup) -> Outcome {
    loses_no_source(setup, 8)
}

fn a_signal_queue_of_64_loses_no_source(setup: Setup) -> Outcome {
    loses_no_source(setup, 64)
}

/// 5,000 events on 100 sources. All bytes arrive although most signals do not fit into the queue.
fn loses_no_source(setup: Setup, signal_queue: u64) -> Outcome {
    const SOURCES: usize = 100;
    const ROUNDS: usize = 50;
    let mut options = setup.options();
    options.signal_queue = Some(signal_queue);
    let mut rig = Rig::with(setup, &options, 64);
    let peers = declare_pairs(&mut rig, SOURCES);
    for _ in 0..ROUNDS {
        peers.values().for_each(|peer| write(peer, b"x"));
        read_all(&mut rig, SOURCES);
    }
    let counters = rig.set.counters();
    if setup.mechanism.signal_queue().is_some() {
        assert!(
            counters.overflows >= ROUNDS as u64 && counters.rescans >= ROUNDS as u64,
            "{counters:?}"
        );
    } else {
        assert_eq!(counters.rescans, 0);
    }
    Outcome::Pass
}

/// Reads this many bytes from the ready sources.
fn read_all(rig: &mut Rig, bytes: usize) {
    let until = Instant::now() + HANG_TIMEOUT;
    let mut left = bytes;
    while left > 0 {
        let events = rig.batch(until.saturating_duration_since(Instant::now()));
        assert!(!events.is_empty(), "{left} sources were lost; {:?}", rig.set.counters());
        for event in events {
            left -= drain(&rig.set[event.key]).0.len();
            rig.rearm(event.key);
        }
    }
}

/// Ten events occur on each source before the next wait. The queue has room for one signal per source but not for ten.
/// It is shared by all processes of the user, so it has additional room for their signals. On a kernel with signal-per-fd no
/// mechanism overflows it.
fn a_signal_queue_with_room_for_each_source_overflows_only_with_one_signal_per_event(setup: Setup) -> Outcome {
    const SOURCES: usize = 100;
    const WRITES: usize = 10;
    const ROUNDS: u64 = 5;
    const OTHERS: u64 = 400;
    let queued = Queued::once_for();
    let mut options = setup.options();
    options.signal_queue = Some(SOURCES as u64 + queued_by_user() + OTHERS);
    let mut rig = Rig::with(setup, &options, 64);
    let peers = declare_pairs(&mut rig, SOURCES);
    for _ in 0..ROUNDS {
        for _ in 0..WRITES {
            peers.values().for_each(|peer| write(peer, b"x"));
        }
        read_all(&mut rig, SOURCES * WRITES);
    }
    let counters = rig.set.counters();
    match (setup.mechanism.signal_queue(), queued) {
        (Some(SignalQueue::PerEvent), Queued::Event) => assert!(counters.overflows >= ROUNDS, "{counters:?}"),
        (Some(SignalQueue::PerEvent), Queued::Descriptor) | (Some(SignalQueue::PerSource) | None, _) => {
            assert_eq!((counters.overflows, counters.rescans), (0, 0), "{counters:?}");
        }
    }
    Outcome::Pass
}

/// The number of signals that are queued for processes of this user (proc_pid_status(5)).
fn queued_by_user() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a mounted /proc");
    let queued = status
        .lines()
        .find_map(|line| line.strip_prefix("SigQ:\t")?.split('/').next());
    queued
        .and_then(|queued| queued.parse().ok())
        .expect("SigQ is QUEUED/LIMIT")
}

fn a_signal_queue_filled_by_another_process_loses_no_source(setup: Setup) -> Outcome {
    const SOURCES: usize = 50;
    const QUEUE: u64 = 200;
    let mut options = setup.options();
    options.signal_queue = Some(QUEUE);
    let mut rig = Rig::with(setup, &options, 64);
    let peers = declare_pairs(&mut rig, SOURCES);
    // The other process shares the queue, which belongs to the user.
    let mut filler = Filler::start(QUEUE);
    for _ in 0..10 {
        peers.values().for_each(|peer| write(peer, b"x"));
        read_all(&mut rig, SOURCES);
    }
    if setup.mechanism.signal_queue().is_some() {
        assert!(rig.set.counters().overflows > 0, "{:?}", rig.set.counters());
    }
    filler.stop();
    Outcome::Pass
}

fn a_completion_queue_of_2_loses_no_source(setup: Setup) -> Outcome {
    const SOURCES: usize = 100;
    let mut options = setup.options();
    options.completion_queue = Some(2);
    let mut rig = Rig::with(setup, &options, 64);
    let peers = declare_pairs(&mut rig, SOURCES);
    for _ in 0..20 {
        peers.values().for_each(|peer| write(peer, b"x"));
        read_all(&mut rig, SOURCES);
    }
    if setup.mechanism.waits().contains(&"io_uring_enter") {
        assert!(rig.set.counters().overflows > 0, "{:?}", rig.set.counters());
    }
    Outcome::Pass
}

/// `ppoll` refuses more entries than `RLIMIT_NOFILE`, which a program may lower when all its files are open.
fn a_source_whose_state_cannot_be_read_is_returned(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    write(&ours, b"x");
    let watch = Watch::new(Interest::READABLE, setup.trigger).returning_state();
    let before = limit_files(Some(0));
    let declined = rig
        .set
        .declare_with(theirs, watch)
        .expect_err("the state cannot be read");
    limit_files(before);
    assert_eq!(
        declined.error,
        DeclareError::System {
            call: "ppoll",
            errno: Errno::INVAL
        }
    );
    rig.assert_silent();
    let declared = rig.set.declare_with(declined.source, watch).expect("the limit is back");
    assert_eq!(declared.state, Some(Readiness::READABLE));
    rig.expect(declared.key, Readiness::READABLE);
    Outcome::Pass
}

fn busy_polling_works_or_is_refused(setup: Setup) -> Outcome {
    let mut options = setup.options();
    options.busy_poll = Some(BusyPoll {
        duration_us: 50,
        interrupts: Interrupts::Kept,
    });
    match InterestSet::<OwnedFd>::open_with(setup.mechanism, &options) {
        Ok(set) => {
            drop(set);
            let mut rig = Rig::with(setup, &options, 8);
            let peers = declare_pairs(&mut rig, 4);
            peers.values().for_each(|peer| write(peer, b"x"));
            read_all(&mut rig, 4);
            Outcome::Pass
        }
        Err(OpenError::UnsupportedOption { option, .. }) => {
            assert_eq!(option, "busy polling");
            Outcome::Unsupported("busy polling")
        }
        Err(error) => Outcome::Unavailable(error.to_string()),
    }
}
