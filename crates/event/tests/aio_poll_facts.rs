//! What is particular to `aio-poll`: how a set outgrows its context, and what it does with requests and completions.
#![forbid(unsafe_code)]

#[path = "support/sockets.rs"]
mod sockets;
mod support;

use c10k_event::{DeclareError, Events, Interest, InterestSet, Key, Mechanism, Readiness, Trigger};
use c10k_sys::fork::in_child;
use c10k_testkit::seccomp;
use rustix::{io::Errno, net::SendFlags};
use sockets::{HANG_TIMEOUT, QUIET_PERIOD, stream_pair, tcp_pair, write};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};
use support::unavailable;

/// How many requests the first context has room for, as the chapter on the mechanism says.
const FIRST_CAPACITY: usize = 128;

struct Rig {
    set: InterestSet<OwnedFd>,
    events: Events,
    trigger: Trigger,
}

/// A set on `aio-poll`; `None` if it cannot run here.
fn rig(trigger: Trigger) -> Option<Rig> {
    let mechanism = Mechanism::named("aio-poll").expect("it is in the table");
    match unavailable(mechanism) {
        Ok(None) => {}
        Ok(Some(_)) => return None,
        Err(required) => panic!("{required}"),
    }
    Some(Rig {
        set: InterestSet::open(mechanism).expect("it was probed"),
        events: Events::with_capacity(64),
        trigger,
    })
}

impl Rig {
    fn declare(&mut self, source: OwnedFd) -> Key {
        self.set
            .declare(source, Interest::READABLE, self.trigger)
            .expect("a socket can be watched")
    }

    /// Declares one end of each of `count` socket pairs. Returns the other ends, by key.
    fn declare_pairs(&mut self, count: usize) -> BTreeMap<Key, OwnedFd> {
        (0..count)
            .map(|_| {
                let (ours, theirs) = stream_pair();
                (self.declare(theirs), ours)
            })
            .collect()
    }

    fn batch(&mut self, timeout: Duration) -> Vec<(Key, Readiness)> {
        self.set
            .next_events(&mut self.events, Some(timeout))
            .expect("the wait succeeds");
        std::iter::from_fn(|| self.set.take(&mut self.events))
            .map(|event| (event.key, event.readiness))
            .collect()
    }

    /// Reads one byte from each source that is reported, until all of them were.
    fn expect_a_byte_each<'k>(&mut self, keys: impl IntoIterator<Item = &'k Key>) {
        let mut left: Vec<Key> = keys.into_iter().copied().collect();
        while !left.is_empty() {
            let batch = self.batch(HANG_TIMEOUT);
            assert!(!batch.is_empty(), "{} sources were lost", left.len());
            for (key, _) in batch {
                assert_eq!(rustix::io::read(&self.set[key], &mut [0]), Ok(1), "{key:?}");
                let at = left.iter().position(|&other| other == key);
                left.swap_remove(at.expect("it has one byte, and is reported once"));
                if self.trigger == Trigger::Oneshot {
                    self.set.rearm(key).expect("it is watched");
                }
            }
        }
    }

    /// Waits for at least one byte, or for the timeout, and reads the sources that are reported. Returns the number of bytes.
    fn read_what_is_reported(&mut self, timeout: Duration) -> usize {
        let until = Instant::now() + timeout;
        loop {
            let mut bytes = 0;
            for (key, _) in self.batch(until.saturating_duration_since(Instant::now())) {
                // What was read after an earlier event may be reported once more.
                bytes += rustix::io::read(&self.set[key], &mut [0; 64]).unwrap_or(0);
                if self.trigger == Trigger::Oneshot {
                    self.set.rearm(key).expect("it is watched");
                }
            }
            if bytes > 0 || Instant::now() >= until {
                return bytes;
            }
        }
    }

    fn calls(&self, name: &str) -> u64 {
        self.set.counters().syscall(name)
    }
}

#[test]
fn a_set_that_outgrows_its_context_loses_no_event() {
    for trigger in [Trigger::Level, Trigger::Oneshot] {
        let Some(mut rig) = rig(trigger) else { return };
        let first = rig.declare_pairs(FIRST_CAPACITY);
        assert!(rig.batch(Duration::ZERO).is_empty());
        // Half of them complete, and the others are with the kernel, when the context is replaced.
        let pending: Vec<_> = first.iter().step_by(2).collect();
        pending.iter().for_each(|(_, peer)| write(peer, b"x"));
        assert_eq!(rig.calls("io_setup"), 0);
        let second = rig.declare_pairs(4 * FIRST_CAPACITY);
        // The largest context has room for 1,024.
        assert_eq!((rig.calls("io_setup"), rig.calls("io_destroy")), (3, 3));
        second.values().step_by(3).for_each(|peer| write(peer, b"x"));
        let ready = pending.iter().map(|&(key, _)| key).chain(second.keys().step_by(3));
        rig.expect_a_byte_each(ready);
        assert!(rig.batch(QUIET_PERIOD).is_empty());
        first.values().chain(second.values()).for_each(|peer| write(peer, b"x"));
        rig.expect_a_byte_each(first.keys().chain(second.keys()));
        assert_eq!((rig.calls("io_setup"), rig.set.counters().stale_events), (3, 0));
    }
}

/// Wake-ups on other CPUs complete requests while this thread submits, cancels and replaces the context.
#[test]
fn no_byte_of_concurrent_writers_is_lost_while_the_set_grows() {
    const WRITERS: usize = 4;
    const SOURCES: usize = 3 * FIRST_CAPACITY;
    for trigger in [Trigger::Level, Trigger::Oneshot] {
        let Some(mut rig) = rig(trigger) else { return };
        let (mut keys, mut writers, mut got) = (Vec::new(), Vec::new(), 0);
        for _ in 0..WRITERS {
            let (peers, sources): (Vec<_>, Vec<_>) = (0..SOURCES / WRITERS).map(|_| stream_pair()).unzip();
            writers.push(std::thread::spawn(move || {
                for _ in 0..10 {
                    peers.iter().for_each(|peer| write(peer, b"x"));
                }
                peers
            }));
            for source in sources {
                keys.push(rig.declare(source));
                got += rig.read_what_is_reported(Duration::ZERO);
                let key = keys.swap_remove(keys.len() / 2);
                let source = rig.set.withdraw(key).expect("the key is current");
                keys.push(rig.declare(source));
            }
        }
        while got < 10 * SOURCES {
            let bytes = rig.read_what_is_reported(HANG_TIMEOUT);
            assert!(bytes > 0, "{trigger}: {got} bytes arrived");
            got += bytes;
        }
        assert_eq!((rig.calls("io_setup"), rig.set.counters().stale_events), (2, 0));
        for writer in writers {
            drop(writer.join().expect("the writer returns"));
        }
    }
}

#[test]
fn the_limit_of_the_system_is_named_and_the_set_keeps_its_sources() {
    let Some(rig) = rig(Trigger::Level) else { return };
    let status = in_child(|| {
        let Ok(mut set) = InterestSet::open(rig.set.mechanism()) else {
            return 1;
        };
        let mut others = Vec::new();
        for _ in 0..FIRST_CAPACITY {
            let (ours, theirs) = stream_pair();
            others.push(ours);
            if set.declare(theirs, Interest::READABLE, Trigger::Level).is_err() {
                return 2;
            }
        }
        // What io_setup returns beyond fs.aio-max-nr, which all programs of the system share.
        if seccomp::refuse(libc::SYS_io_setup, Errno::AGAIN).is_err() {
            return 3;
        }
        let (_ours, theirs) = stream_pair();
        let Err(declined) = set.declare(theirs, Interest::READABLE, Trigger::Level) else {
            return 4;
        };
        let expected = DeclareError::System {
            call: "io_setup",
            errno: Errno::AGAIN,
        };
        if declined.error != expected || !declined.error.to_string().contains("sysctl -w fs.aio-max-nr") {
            return 5;
        }
        others.iter().for_each(|peer| write(peer, b"x"));
        let mut events = Events::with_capacity(2 * FIRST_CAPACITY);
        u8::from(set.next_events(&mut events, Some(HANG_TIMEOUT)) != Ok(FIRST_CAPACITY)) * 6
    });
    assert_eq!(status, Ok(Some(0)));
}

#[test]
fn declarations_and_rearmings_are_submitted_together_and_events_in_the_ring_cost_no_call() {
    let Some(mut rig) = rig(Trigger::Oneshot) else { return };
    let peers = rig.declare_pairs(50);
    assert!(rig.batch(Duration::ZERO).is_empty());
    for round in 1..=3 {
        assert_eq!((rig.calls("io_submit"), rig.calls("io_getevents")), (round, 0));
        peers.values().for_each(|peer| write(peer, b"x"));
        rig.expect_a_byte_each(peers.keys());
        assert_eq!((rig.calls("io_submit"), rig.calls("io_cancel")), (round, 0));
        // Wake-ups of sockets mention priority, which nobody asked for.
        assert_eq!(rig.calls("ppoll"), 0);
        assert!(rig.batch(Duration::ZERO).is_empty());
    }
}

#[test]
fn a_source_whose_event_is_in_the_ring_is_withdrawn_without_waiting() {
    let Some(mut rig) = rig(Trigger::Level) else { return };
    let peers = rig.declare_pairs(3);
    assert!(rig.batch(Duration::ZERO).is_empty());
    peers.values().for_each(|peer| write(peer, b"x"));
    let middle = *peers.keys().nth(1).expect("there are three");
    drop(rig.set.withdraw(middle).expect("the key is current"));
    assert_eq!((rig.calls("io_cancel"), rig.calls("io_getevents")), (1, 0));
    rig.expect_a_byte_each(peers.keys().filter(|&&key| key != middle));
    assert_eq!(rig.set.counters().stale_events, 0);
}

#[test]
fn a_withdrawal_that_waits_keeps_the_events_of_other_sources() {
    let Some(mut rig) = rig(Trigger::Oneshot) else { return };
    let peers = rig.declare_pairs(9);
    assert!(rig.batch(Duration::ZERO).is_empty());
    let idle = *peers.keys().nth(4).expect("there are nine");
    let others = || peers.iter().filter(|&(&key, _)| key != idle);
    others().for_each(|(_, peer)| write(peer, b"x"));
    let source = rig.set.withdraw(idle).expect("the key is current");
    write(&peers[&idle], b"x");
    rig.expect_a_byte_each(others().map(|(key, _)| key));
    assert!(
        rig.batch(QUIET_PERIOD).is_empty(),
        "the withdrawn source is not watched"
    );
    drop(source);
}

#[test]
fn a_source_after_its_event_is_withdrawn_and_modified_without_a_call() {
    let Some(mut rig) = rig(Trigger::Level) else { return };
    let peers = rig.declare_pairs(2);
    peers.values().for_each(|peer| write(peer, b"x"));
    rig.expect_a_byte_each(peers.keys());
    let keys: Vec<_> = peers.keys().copied().collect();
    rig.set
        .modify(keys[0], Interest::WRITABLE, Trigger::Level)
        .expect("it is watched");
    drop(rig.set.withdraw(keys[1]).expect("the key is current"));
    assert_eq!((rig.calls("io_cancel"), rig.calls("io_getevents")), (0, 0));
    assert_eq!(rig.batch(HANG_TIMEOUT), [(keys[0], Readiness::WRITABLE)]);
}

/// The kernel does not refuse the call, but a sandbox that a program enters later may.
#[test]
fn a_source_is_withdrawn_although_its_request_cannot_be_cancelled() {
    let Some(rig) = rig(Trigger::Level) else { return };
    let status = in_child(|| {
        let Ok(set) = InterestSet::open(rig.set.mechanism()) else {
            return 1;
        };
        let mut rig = Rig {
            set,
            events: Events::with_capacity(8),
            trigger: Trigger::Level,
        };
        let peers = rig.declare_pairs(3);
        if !rig.batch(Duration::ZERO).is_empty() || seccomp::refuse(libc::SYS_io_cancel, Errno::AGAIN).is_err() {
            return 2;
        }
        let keys: Vec<Key> = peers.keys().copied().collect();
        write(&peers[&keys[0]], b"x");
        let Ok(source) = rig.set.withdraw(keys[1]) else {
            return 3;
        };
        drop(source);
        // The kernel holds the file no longer: its peer has no other end.
        if rustix::io::read(&peers[&keys[1]], &mut [0]) != Ok(0) {
            return 4;
        }
        write(&peers[&keys[2]], b"x");
        rig.expect_a_byte_each([&keys[0], &keys[2]]);
        u8::from(rig.calls("io_destroy") != 1) * 5
    });
    assert_eq!(status, Ok(Some(0)));
}

#[test]
fn requests_whose_completions_were_taken_make_room_for_others() {
    let Some(mut rig) = rig(Trigger::Level) else { return };
    for round in 0..3 * FIRST_CAPACITY {
        let (ours, theirs) = stream_pair();
        let key = rig.declare(theirs);
        if round % 2 == 0 {
            assert!(rig.batch(Duration::ZERO).is_empty(), "round {round}");
        }
        write(&ours, b"x");
        if round % 3 == 0 {
            assert_eq!(rig.batch(HANG_TIMEOUT), [(key, Readiness::READABLE)]);
        }
        drop(rig.set.withdraw(key).expect("the key is current"));
    }
    assert!(rig.batch(QUIET_PERIOD).is_empty());
    assert_eq!((rig.calls("io_setup"), rig.set.counters().stale_events), (0, 0));
}

#[test]
fn a_file_in_two_sets_is_reported_by_both() {
    let (Some(mut first), Some(mut second)) = (rig(Trigger::Level), rig(Trigger::Oneshot)) else {
        return;
    };
    let (ours, theirs) = stream_pair();
    let key = first.declare(theirs.try_clone().expect("a duplicate"));
    let other = second.declare(theirs);
    assert!(first.batch(Duration::ZERO).is_empty() && second.batch(Duration::ZERO).is_empty());
    write(&ours, b"x");
    assert_eq!(second.batch(HANG_TIMEOUT), [(other, Readiness::READABLE)]);
    drop(second);
    assert_eq!(first.batch(HANG_TIMEOUT), [(key, Readiness::READABLE)]);
}

#[test]
fn ordinary_data_is_not_reported_as_priority() {
    for interest in [Interest::PRIORITY, Interest::PRIORITY | Interest::READABLE] {
        let Some(mut rig) = rig(Trigger::Level) else { return };
        let (ours, theirs) = tcp_pair();
        let key = rig
            .set
            .declare(theirs, interest, Trigger::Level)
            .expect("a socket can be watched");
        assert!(rig.batch(Duration::ZERO).is_empty());
        write(&ours, b"x");
        if interest == Interest::PRIORITY {
            assert!(rig.batch(QUIET_PERIOD).is_empty());
        } else {
            assert_eq!(rig.batch(HANG_TIMEOUT), [(key, Readiness::READABLE)]);
        }
        assert_eq!(rustix::net::send(&ours, b"!", SendFlags::OOB), Ok(1));
        while !rig
            .batch(HANG_TIMEOUT)
            .iter()
            .any(|(_, readiness)| readiness.is_priority())
        {}
    }
}

/// A source whose descriptor can be closed while it is in a set.
struct Closable(Option<OwnedFd>);

impl AsFd for Closable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_ref().expect("it is open").as_fd()
    }
}

/// Returns the other end of a pair.
fn declare_closable(set: &mut InterestSet<Closable>) -> (OwnedFd, Key) {
    let (ours, theirs) = stream_pair();
    let declared = set.declare(Closable(Some(theirs)), Interest::READABLE, Trigger::Level);
    (
        ours,
        declared
            .map_err(|declined| declined.error)
            .expect("a socket can be watched"),
    )
}

/// In a process of its own: another thread could open a file with the number.
#[test]
fn a_source_that_was_closed_is_reported_as_an_error_until_it_is_withdrawn() {
    let Some(rig) = rig(Trigger::Level) else { return };
    let status = in_child(|| {
        let Ok(mut set) = InterestSet::open(rig.set.mechanism()) else {
            return 1;
        };
        let mut events = Events::with_capacity(8);
        let (_first_peer, first) = declare_closable(&mut set);
        let (last_peer, last) = declare_closable(&mut set);
        write(&last_peer, b"x");
        drop(set[first].0.take());
        let is_reported = (0..3).all(|_| {
            let waited = set.next_events(&mut events, Some(HANG_TIMEOUT));
            let mut found: Vec<_> = std::iter::from_fn(|| set.take(&mut events)).collect();
            found.sort_by_key(|event| event.key);
            waited == Ok(2)
                && (found[0].key, found[1].key) == (first, last)
                && found[0].readiness.is_error()
                && found[1].readiness == Readiness::READABLE
        });
        // A set needs the descriptors of its sources when it is dropped.
        set[first].0 = Some(stream_pair().0);
        u8::from(!is_reported)
    });
    assert_eq!(status, Ok(Some(0)));
}
