//! What is particular to the ways to set up the ring of `io-uring-poll`. The contract suite runs every case on each of them.
#![forbid(unsafe_code)]

#[path = "support/sockets.rs"]
mod sockets;
mod support;

use c10k_event::{Events, Interest, InterestSet, Key, Mechanism, MinWait, OpenError, Options, RingDescriptor, Trigger};
use sockets::{HANG_TIMEOUT, QUIET_PERIOD, stream_pair, write};
use std::{os::fd::OwnedFd, time::Duration};
use support::unavailable;

struct Rig {
    set: InterestSet<OwnedFd>,
    events: Events,
}

/// A set on `io-uring-poll` with these options; `None` if it cannot run here.
fn rig(options: &Options) -> Option<Rig> {
    let mechanism = Mechanism::named("io-uring-poll").expect("it is in the table");
    match unavailable(mechanism) {
        Ok(None) => {}
        Ok(Some(_)) => return None,
        Err(required) => panic!("{required}"),
    }
    match InterestSet::open_with(mechanism, options) {
        Ok(set) => Some(Rig {
            set,
            events: Events::with_capacity(8),
        }),
        Err(error) => {
            eprintln!("unavailable here: {error}");
            let required = c10k_testkit::required::is_required(&[mechanism.name()]);
            assert!(!required, "{error}");
            None
        }
    }
}

/// A wait lasts an hour unless two requests complete.
fn patient() -> Options {
    let mut options = Options::default();
    let mut ring = c10k_event::RingSetup::default();
    ring.min_wait = Some(MinWait {
        duration_us: 3_600_000_000,
        completions: 2,
    });
    options.ring = Some(ring);
    options
}

impl Rig {
    fn declare(&mut self, source: OwnedFd) -> Key {
        let declared = self.set.declare(source, Interest::READABLE, Trigger::Edge);
        declared.expect("the source can be watched")
    }

    /// How many events a wait returns.
    fn wait(&mut self, timeout: Option<Duration>) -> usize {
        self.set
            .next_events(&mut self.events, timeout)
            .expect("the wait succeeds");
        std::iter::from_fn(|| self.set.take(&mut self.events)).count()
    }
}

#[test]
fn a_minimum_wait_collects_events_in_one_call() {
    let Some(mut rig) = rig(&patient()) else { return };
    let (peers, sources): (Vec<OwnedFd>, Vec<OwnedFd>) = (0..2).map(|_| stream_pair()).unzip();
    sources.into_iter().for_each(|source| {
        rig.declare(source);
    });
    // Submits the requests.
    assert_eq!(rig.wait(Some(Duration::ZERO)), 0);
    let before = rig.set.counters().syscall("io_uring_enter");
    let writer = std::thread::spawn(move || {
        peers.iter().for_each(|peer| write(peer, b"x"));
        peers
    });
    assert_eq!(rig.wait(Some(HANG_TIMEOUT)), 2);
    assert_eq!(rig.set.counters().syscall("io_uring_enter"), before + 1);
    drop(writer.join().expect("the writer ends"));
}

#[test]
fn a_timeout_ends_a_minimum_wait_with_what_has_come() {
    let Some(mut rig) = rig(&patient()) else { return };
    let (peer, source) = stream_pair();
    rig.declare(source);
    assert_eq!(rig.wait(Some(QUIET_PERIOD)), 0, "an hour has not passed");
    write(&peer, b"x");
    assert_eq!(rig.wait(Some(QUIET_PERIOD)), 1, "nor was it necessary");
    assert_eq!(rig.wait(Some(Duration::ZERO)), 0);
}

#[test]
fn a_wait_without_a_timeout_outlasts_its_minimum() {
    let mut options = patient();
    if let Some(min_wait) = options.ring.as_mut().and_then(|ring| ring.min_wait.as_mut()) {
        min_wait.duration_us = 1;
    }
    let Some(mut rig) = rig(&options) else { return };
    let (peer, source) = stream_pair();
    rig.declare(source);
    assert_eq!(rig.wait(Some(Duration::ZERO)), 0);
    let waiter = rustix::thread::gettid().as_raw_nonzero();
    let writer = std::thread::spawn(move || {
        // Until the other thread sleeps.
        let stat = format!("/proc/self/task/{waiter}/stat");
        while !std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") S ")) {
            std::thread::yield_now();
        }
        write(&peer, b"x");
        peer
    });
    assert_eq!(rig.wait(None), 1);
    drop(writer.join().expect("the writer ends"));
}

#[test]
fn a_withdrawal_takes_no_minimum_wait() {
    let Some(mut rig) = rig(&patient()) else { return };
    let (_peer, source) = stream_pair();
    let key = rig.declare(source);
    assert_eq!(rig.wait(Some(Duration::ZERO)), 0);
    // Waits for the last completion of the request, which is the only one.
    assert!(rig.set.withdraw(key).is_ok());
}

#[test]
fn a_minimum_wait_of_nothing_is_refused() {
    // The mechanism may be unavailable for other reasons.
    let Some(_) = rig(&Options::default()) else { return };
    let mechanism = Mechanism::named("io-uring-poll").expect("it is in the table");
    for (duration_us, completions) in [(0, 2), (5, 0), (0, 0)] {
        let mut options = patient();
        if let Some(ring) = options.ring.as_mut() {
            ring.min_wait = Some(MinWait {
                duration_us,
                completions,
            });
        }
        let refused = InterestSet::<OwnedFd>::open_with(mechanism, &options).expect_err("one of them is 0");
        assert!(matches!(refused, OpenError::OptionOutOfRange { .. }), "{refused}");
        assert!(
            refused
                .to_string()
                .ends_with("give 1 or more microseconds and completions, or None")
        );
    }
}

/// The ring is registered with the thread.
fn registered() -> Options {
    let mut options = Options::default();
    let mut ring = c10k_event::RingSetup::default();
    ring.descriptor = RingDescriptor::Registered;
    options.ring = Some(ring);
    options
}

#[test]
fn a_set_that_another_thread_drops_leaves_the_registered_ring_of_that_thread_alone() {
    let Some(foreign) = rig(&registered()) else { return };
    let other = std::thread::spawn(move || {
        // Each has the first place in the table of its thread.
        let mut own = rig(&registered()).expect("one could be opened before");
        drop(foreign);
        let (peer, source) = stream_pair();
        own.declare(source);
        write(&peer, b"x");
        own.wait(Some(HANG_TIMEOUT))
    });
    assert_eq!(other.join().expect("the thread ends"), 1);
}

#[test]
fn a_set_with_a_registered_ring_leaves_room_for_the_next() {
    let options = registered();
    // A thread has room for 16.
    let all: Vec<Option<Rig>> = (0..16).map(|_| rig(&options)).collect();
    if all.iter().any(Option::is_none) {
        return;
    }
    let mechanism = Mechanism::named("io-uring-poll").expect("it is in the table");
    let refused = InterestSet::<OwnedFd>::open_with(mechanism, &options).expect_err("the seventeenth");
    assert!(refused.to_string().contains("has registered 16 rings"), "{refused}");
    drop(all);
    assert!(rig(&options).is_some());
}
