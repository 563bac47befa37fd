//! `SharedSet`: several threads wait for one set.
#![forbid(unsafe_code)]

#[path = "support/sockets.rs"]
mod sockets;
mod support;

use c10k_event::{
    DeclareError, Events, Interest, Key, Mechanism, OpenError, SharedSet, Threading, TryHold, Unsupported, WaitError,
    WakerError, WithdrawError, WrongContext,
};
use c10k_sys::fork::in_child;
use rand_pcg::{Pcg32, rand_core::Rng as _};
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use sockets::{HANG_TIMEOUT, QUIET_PERIOD, stream_pair, write};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Barrier, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Threads that wait. More than this machine has CPUs, so that the scheduler stops them anywhere.
const THREADS: usize = 8;

/// Sources of the larger tests.
const SOURCES: usize = 2000;

fn mechanisms() -> impl Iterator<Item = Mechanism> {
    Mechanism::all().filter(|mechanism| {
        let reason = support::unavailable(*mechanism).expect("what is required is available");
        mechanism.threading() == Threading::Concurrent && reason.is_none()
    })
}

fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("a process may raise its soft limit");
}

/// One end of a socket pair, with a number.
struct Numbered {
    number: usize,
    socket: OwnedFd,
}

impl AsFd for Numbered {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Many sources, the other ends, and what is known about each by its number.
struct Crowd {
    set: SharedSet<Numbered>,
    others: Vec<OwnedFd>,
    keys: Mutex<Vec<Key>>,
    /// Whether a thread is in a turn of the source. This does not rely on the set's own lock.
    in_turn: Vec<AtomicBool>,
    read: AtomicU64,
    taken: AtomicU64,
    /// Bytes that are written in all.
    bytes: u64,
}

impl Crowd {
    fn new(mechanism: Mechanism, bytes: u64) -> Self {
        raise_descriptor_limit();
        let set = SharedSet::open(mechanism).expect("it is available");
        let mut others = Vec::new();
        let mut keys = Vec::new();
        for number in 0..SOURCES {
            let (ours, socket) = stream_pair();
            others.push(ours);
            keys.push(
                set.declare(Numbered { number, socket }, Interest::READABLE)
                    .expect("a socket"),
            );
        }
        Self {
            set,
            others,
            keys: Mutex::new(keys),
            in_turn: (0..SOURCES).map(|_| AtomicBool::new(false)).collect(),
            read: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            bytes,
        }
    }

    /// Reads at most `most` bytes while nobody else may be in a turn of this source.
    fn turn(&self, source: &Numbered, most: usize) {
        let entered = self.in_turn[source.number].swap(true, Ordering::SeqCst);
        assert!(!entered, "two threads have source {}", source.number);
        let mut buffer = vec![0; most];
        match rustix::io::read(source, &mut buffer) {
            Ok(count) => self.count(count as u64),
            Err(error) => assert_eq!(error, Errno::AGAIN),
        }
        self.in_turn[source.number].store(false, Ordering::SeqCst);
    }

    fn count(&self, bytes: u64) {
        if self.read.fetch_add(bytes, Ordering::SeqCst) + bytes == self.bytes {
            self.set.end_waits().expect("the waits end");
        }
    }

    /// Serves until the last byte was read.
    fn work(&self, most: usize) {
        let mut events = Events::with_capacity(3);
        loop {
            self.set.wait(&mut events, Some(HANG_TIMEOUT)).expect("the wait");
            if events.woken() {
                return;
            }
            assert!(!events.is_empty(), "no event within {HANG_TIMEOUT:?}");
            while let Some((mut source, readiness)) = self.set.take(&mut events) {
                assert!(readiness.is_readable());
                self.taken.fetch_add(1, Ordering::SeqCst);
                self.turn(&source, most);
                source.arm(Interest::READABLE).expect("it is armed again");
            }
        }
    }
}

#[test]
fn no_event_is_lost_and_no_source_is_in_two_threads() {
    const ROUNDS: usize = 20;
    for mechanism in mechanisms() {
        let crowd = Crowd::new(mechanism, (ROUNDS * SOURCES) as u64);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                // One byte for each event, so that the number of events is known.
                scope.spawn(|| crowd.work(1));
            }
            for round in 0..ROUNDS {
                for number in 0..SOURCES {
                    write(&crowd.others[(number * 7 + round) % SOURCES], b"x");
                }
            }
        });
        assert_eq!(crowd.read.into_inner(), crowd.bytes);
        let counters = crowd.set.counters();
        // A byte that is left when the source is armed is another event, and nothing else is one.
        assert_eq!(crowd.taken.into_inner(), crowd.bytes, "{mechanism}");
        assert_eq!(
            (counters.events, counters.stale_events),
            (crowd.bytes, 0),
            "{mechanism}"
        );
        assert!(
            counters.wakeups <= THREADS as u64 && counters.wakeups > 0,
            "{counters:?}"
        );
        let controls = counters.syscall("epoll_ctl");
        assert_eq!(
            controls,
            1 + SOURCES as u64 + crowd.bytes,
            "{mechanism}: the waker, declarations and armings"
        );
    }
}

#[test]
fn sources_can_be_withdrawn_while_their_events_are_in_other_threads() {
    const MOVES: u32 = 20_000;
    for mechanism in mechanisms() {
        // The last byte is written when the sources no longer move.
        let crowd = Crowd::new(mechanism, u64::from(2 * MOVES) + 1);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| crowd.work(64));
            }
            let movers = (0..2_u64).map(|seed| {
                let crowd = &crowd;
                scope.spawn(move || {
                    let mut random = Pcg32::new(seed, 1);
                    for _ in 0..MOVES {
                        let number = random.next_u32() as usize % SOURCES;
                        write(&crowd.others[number], b"x");
                        move_source(crowd, random.next_u32() as usize % SOURCES);
                    }
                })
            });
            let movers: Vec<_> = movers.collect();
            movers
                .into_iter()
                .for_each(|mover| mover.join().expect("it moves sources"));
            write(&crowd.others[0], b"x");
        });
        assert_eq!(crowd.read.into_inner(), crowd.bytes);
        assert_eq!(crowd.set.len(), SOURCES);
        let mut keys = crowd.set.keys();
        let mut expected = crowd.keys.into_inner().expect("no panic");
        keys.sort_unstable();
        expected.sort_unstable();
        assert_eq!(keys, expected);
        let counters = crowd.set.counters();
        // Nothing is left in a batch: a thread that was woken had taken all of its last one, or had found only the end.
        assert!(
            counters.events >= crowd.taken.into_inner() + counters.stale_events,
            "{counters:?}"
        );
    }
}

/// Withdraws a source, reads what it has, and declares it again.
fn move_source(crowd: &Crowd, number: usize) {
    let mut keys = crowd.keys.lock().expect("no panic");
    let source = crowd.set.withdraw(keys[number]).expect("nobody else withdraws");
    assert!(crowd.set.hold(keys[number]).is_none());
    crowd.turn(&source, 64);
    keys[number] = crowd
        .set
        .declare(source, Interest::READABLE)
        .expect("it is not declared");
}

#[test]
fn an_event_of_a_source_that_was_withdrawn_is_dropped_and_counted() {
    for mechanism in mechanisms() {
        let set = SharedSet::open(mechanism).expect("it is available");
        let pairs: Vec<_> = (0..3).map(|_| stream_pair()).collect();
        let mut others = Vec::new();
        let mut keys = Vec::new();
        for (ours, theirs) in pairs {
            write(&ours, b"x");
            others.push(ours);
            keys.push(set.declare(theirs, Interest::READABLE).expect("a socket"));
        }
        let mut events = Events::with_capacity(8);
        assert_eq!(set.wait(&mut events, Some(HANG_TIMEOUT)), Ok(3));
        // In another thread, and the slot has another source by the time the event is taken.
        let (_ours, next) = stream_pair();
        let next = thread::scope(|scope| {
            let withdrawn = scope.spawn(|| {
                drop(set.withdraw(keys[1]).expect("it is in the set"));
                set.declare(next, Interest::READABLE).expect("a socket")
            });
            withdrawn.join().expect("no panic")
        });
        assert_eq!((next.slot(), next == keys[1]), (keys[1].slot(), false));
        let taken: Vec<Key> = std::iter::from_fn(|| set.take(&mut events).map(|(held, _)| held.key())).collect();
        assert_eq!(taken, [keys[0], keys[2]]);
        let counters = set.counters();
        assert_eq!((counters.events, counters.stale_events), (3, 1));
        assert!(matches!(set.withdraw(keys[1]), Err(WithdrawError::UnknownKey(_))));
        assert_eq!(
            set.modify(keys[1], Interest::READABLE),
            Err(DeclareError::UnknownKey(keys[1]))
        );
    }
}

#[test]
fn a_source_is_silent_until_it_is_armed_and_then_reports_what_holds() {
    for mechanism in mechanisms() {
        let set = SharedSet::open(mechanism).expect("it is available");
        let (ours, theirs) = stream_pair();
        let key = set.declare(theirs, Interest::READABLE).expect("a socket");
        let mut events = Events::with_capacity(1);
        for round in 0..3 {
            write(&ours, b"x");
            assert_eq!(set.wait(&mut events, Some(HANG_TIMEOUT)), Ok(1), "round {round}");
            drop(set.take(&mut events).expect("the event"));
            write(&ours, b"x");
            assert_eq!(set.wait(&mut events, Some(QUIET_PERIOD)), Ok(0));
            set.modify(key, Interest::READABLE).expect("it is armed");
            assert_eq!(set.wait(&mut events, Some(HANG_TIMEOUT)), Ok(1));
            let (mut held, _) = set.take(&mut events).expect("the event");
            assert_eq!(rustix::io::read(&*held, &mut [0; 8]), Ok(2));
            held.arm(Interest::NONE).expect("it is silent");
            drop(held);
            write(&ours, b"x");
            assert_eq!(set.wait(&mut events, Some(QUIET_PERIOD)), Ok(0));
            set.modify(key, Interest::WRITABLE).expect("it is armed");
            assert_eq!(set.wait(&mut events, Some(HANG_TIMEOUT)), Ok(1));
            let (mut held, readiness) = set.take(&mut events).expect("the event");
            assert!(readiness.is_writable() && !readiness.is_readable());
            assert_eq!(rustix::io::read(&*held, &mut [0; 8]), Ok(1));
            held.arm(Interest::READABLE).expect("it is armed");
        }
    }
}

#[test]
fn the_end_of_the_waits_reaches_every_thread_and_every_later_wait() {
    for mechanism in mechanisms() {
        let set = SharedSet::open(mechanism).expect("it is available");
        let (ours, theirs) = stream_pair();
        set.declare(theirs, Interest::READABLE).expect("a socket");
        let (waiting, woken) = (Barrier::new(THREADS + 1), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let mut events = Events::with_capacity(4);
                    waiting.wait();
                    // Without a limit: a thread that is not woken hangs.
                    assert_eq!(set.wait(&mut events, None), Ok(0));
                    assert!(events.woken());
                    woken.fetch_add(1, Ordering::SeqCst);
                });
            }
            waiting.wait();
            set.end_waits().expect("the waits end");
        });
        assert_eq!(woken.into_inner(), THREADS);
        write(&ours, b"x");
        let mut events = Events::with_capacity(4);
        for _ in 0..2 {
            assert_eq!(set.wait(&mut events, None), Ok(0));
            assert!(events.woken());
        }
        set.end_waits().expect("again");
    }
}

#[test]
fn a_source_that_another_thread_holds_is_busy_and_waited_for() {
    for mechanism in mechanisms() {
        let set = SharedSet::open(mechanism).expect("it is available");
        let (_ours, theirs) = stream_pair();
        let key = set.declare(theirs, Interest::READABLE).expect("a socket");
        let held = set.hold(key).expect("it is in the set");
        let released = AtomicBool::new(false);
        let found = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(matches!(set.try_hold(key), TryHold::Busy));
                found.wait();
                let held = set.hold(key);
                assert!(held.is_some() && released.load(Ordering::SeqCst));
            });
            found.wait();
            released.store(true, Ordering::SeqCst);
            drop(held);
        });
        assert!(matches!(set.try_hold(key), TryHold::Held(_)));
        set.withdraw(key).expect("it is in the set");
        assert!(matches!(set.try_hold(key), TryHold::Withdrawn) && set.hold(key).is_none());
    }
}

#[test]
fn what_cannot_be_watched_comes_back_with_the_reason() {
    for mechanism in mechanisms() {
        let set = SharedSet::<OwnedFd>::open(mechanism).expect("it is available");
        let file = std::fs::File::open("/proc/self/exe").expect("this test is a file");
        let declined = set
            .declare(file.into(), Interest::READABLE)
            .expect_err("a regular file");
        let what = Unsupported::FileWithoutReadiness;
        let expected = DeclareError::Unsupported {
            mechanism: mechanism.name(),
            what,
        };
        assert_eq!(declined.error, expected);
        // Its slot and its number are free again.
        assert!(set.is_empty());
        let again = set
            .declare(declined.source, Interest::READABLE)
            .expect_err("a regular file");
        assert_eq!(again.error, expected);
    }
    for mechanism in mechanisms() {
        let set = SharedSet::<BorrowedFd<'_>>::open(mechanism).expect("it is available");
        let (_ours, theirs) = stream_pair();
        let key = set.declare(theirs.as_fd(), Interest::NONE).expect("a socket");
        let again = set
            .declare(theirs.as_fd(), Interest::READABLE)
            .expect_err("it is declared");
        assert!(
            matches!(again.error, DeclareError::AlreadyDeclared { .. }),
            "{}",
            again.error
        );
        set.withdraw(key).expect("it is in the set");
        set.declare(theirs.as_fd(), Interest::READABLE)
            .expect("it was withdrawn");
        let (_ours, other) = stream_pair();
        let key = set.declare(other.as_fd(), Interest::READABLE).expect("a socket");
        let mut held = set.hold(key).expect("it is in the set");
        *held = theirs.as_fd();
        assert!(matches!(
            held.arm(Interest::READABLE),
            Err(DeclareError::DescriptorReplaced { .. })
        ));
        let refused = held.withdraw().map(drop).expect_err("it was replaced");
        assert!(matches!(refused, WithdrawError::StillWatched { .. }));
    }
}

#[test]
fn a_mechanism_that_lets_one_thread_wait_is_refused_and_the_error_names_others() {
    for mechanism in Mechanism::all() {
        let opened = SharedSet::<OwnedFd>::open(mechanism);
        match (mechanism.threading(), opened) {
            (Threading::Concurrent, _) => {}
            (_, Err(error @ OpenError::OneThreadWaits { .. })) => {
                let text = error.to_string();
                let (what, able) = text.split_once("use one of ").expect("a remedy");
                assert!(what.contains(mechanism.name()), "{text}");
                let able = able
                    .split(", ")
                    .map(|name| Mechanism::named(name).expect("a mechanism"));
                assert!(
                    able.into_iter().all(|able| able.threading() == Threading::Concurrent),
                    "{text}"
                );
            }
            (_, opened) => panic!("{mechanism}: {opened:?}"),
        }
    }
}

#[test]
fn a_batch_belongs_to_the_set_that_filled_it() {
    for mechanism in mechanisms() {
        let sets = [(); 2].map(|()| SharedSet::open(mechanism).expect("it is available"));
        let (ours, theirs) = stream_pair();
        sets[0].declare(theirs, Interest::READABLE).expect("a socket");
        write(&ours, b"x");
        let mut events = Events::with_capacity(2);
        assert_eq!(sets[0].wait(&mut events, Some(HANG_TIMEOUT)), Ok(1));
        assert!(sets[1].take(&mut events).is_none());
        assert_eq!(sets[1].wait(&mut events, None), Err(WaitError::OtherSet { left: 1 }));
        // Without a system call: nothing more is ready.
        assert_eq!(sets[0].wait(&mut events, None), Ok(1));
        assert!(sets[0].take(&mut events).is_some());
    }
}

#[test]
fn a_timeout_passes_and_never_early() {
    for mechanism in mechanisms() {
        let set = SharedSet::<OwnedFd>::open(mechanism).expect("it is available");
        let mut events = Events::with_capacity(1);
        for timeout in [0, 300, 2000].map(Duration::from_micros) {
            let started = Instant::now();
            assert_eq!(set.wait(&mut events, Some(timeout)), Ok(0));
            assert!(started.elapsed() >= timeout && !events.woken());
        }
    }
}

#[test]
fn a_child_process_cannot_use_the_set_of_its_parent_and_does_not_affect_it() {
    for mechanism in mechanisms() {
        let set = SharedSet::open(mechanism).expect("it is available");
        let (ours, theirs) = stream_pair();
        let (_others, other) = stream_pair();
        let key = set.declare(theirs, Interest::READABLE).expect("a socket");
        let (mut set, mut other) = (Some(set), Some(other));
        let status = in_child(|| {
            let (Some(set), Some(other)) = (set.take(), other.take()) else {
                return 255;
            };
            let wrong = WrongContext::Process;
            let waited = set.wait(&mut Events::with_capacity(1), Some(Duration::ZERO));
            let armed = set.modify(key, Interest::WRITABLE);
            let declared = set
                .declare(other, Interest::READABLE)
                .map_err(|declined| declined.error);
            let ended = set.end_waits();
            drop(set);
            u8::from(waited != Err(WaitError::WrongContext(wrong)))
                | u8::from(armed != Err(DeclareError::WrongContext(wrong))) << 1
                | u8::from(declared != Err(DeclareError::WrongContext(wrong))) << 2
                | u8::from(ended != Err(WakerError::WrongContext(wrong))) << 3
        });
        assert_eq!(status, Ok(Some(0)), "{mechanism}");
        let set = set.expect("only the copy of the child is dropped");
        write(&ours, b"x");
        let mut events = Events::with_capacity(1);
        assert_eq!(set.wait(&mut events, Some(HANG_TIMEOUT)), Ok(1));
        assert!(!events.woken() && set.take(&mut events).is_some());
    }
}
