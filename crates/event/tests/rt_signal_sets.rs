//! Sets that use real-time signals: recovery from a full queue, and signals of sources that are no longer in the set.
#![forbid(unsafe_code)]

#[path = "support/queued.rs"]
mod queued;
#[path = "support/sockets.rs"]
mod sockets;

use c10k_event::{
    DeclareError, Event, Events, Interest, InterestSet, Key, Mechanism, OnOverflow, OpenError, Options, SignalConflict,
    SignalQueue, Trigger, Unavailable, WaitError,
};
use c10k_sys::{
    fork::in_child,
    signal::{self, Async, Signal, SignalSet},
};
use queued::Queued;
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use sockets::{HANG_TIMEOUT, QUIET_PERIOD, stream_pair, write};
use std::os::fd::{AsFd, OwnedFd};

/// A set with a short signal queue, and the peers of its sources.
struct Short {
    set: InterestSet<OwnedFd>,
    events: Events,
    peers: Vec<OwnedFd>,
}

impl Short {
    fn open(mechanism: Mechanism, on_overflow: OnOverflow, sources: usize) -> Self {
        let mut options = Options::default();
        options.signal_queue = Some(8);
        options.on_overflow = on_overflow;
        let mut set = InterestSet::open_with(mechanism, &options).expect("the set opens");
        let peers = (0..sources)
            .map(|_| {
                let (ours, theirs) = stream_pair();
                set.declare(theirs, Interest::READABLE, Trigger::Edge)
                    .expect("a socket can be watched");
                ours
            })
            .collect();
        Self {
            set,
            events: Events::with_capacity(16),
            peers,
        }
    }

    fn write_all(&self) {
        self.peers.iter().for_each(|peer| write(peer, b"x"));
    }

    /// Collects events until a wait reports none.
    fn take_all(&mut self) -> Vec<Event> {
        let mut reported = Vec::new();
        while self
            .set
            .next_events(&mut self.events, Some(QUIET_PERIOD))
            .expect("the wait succeeds")
            > 0
        {
            while let Some(event) = self.set.take(&mut self.events) {
                reported.push(event);
            }
        }
        reported
    }

    fn distinct(reported: &[Event]) -> usize {
        let mut keys: Vec<Key> = reported.iter().map(|event| event.key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.len()
    }
}

/// The mechanisms without a filter: the kernel itself decides what it queues.
fn unfiltered() -> impl Iterator<Item = Mechanism> {
    Mechanism::all().filter(|mechanism| mechanism.signal_queue() == Some(SignalQueue::PerEvent))
}

/// Runs a check on each of these mechanisms in a child process. The check returns whether it holds.
fn holds_on_each(check: fn(Mechanism) -> bool) {
    for mechanism in unfiltered() {
        assert_eq!(in_child(|| u8::from(!check(mechanism))), Ok(Some(0)), "{mechanism}");
    }
}

#[test]
fn after_an_overflow_poll_finds_every_source() {
    holds_on_each(|mechanism| {
        let mut short = Short::open(mechanism, OnOverflow::RescanPoll, 50);
        short.write_all();
        let reported = short.take_all();
        let counters = short.set.counters();
        Short::distinct(&reported) == 50 && counters.rescans >= 1 && counters.syscall("ppoll") > 50
    });
}

#[test]
fn after_an_overflow_select_finds_every_source() {
    holds_on_each(|mechanism| {
        let mut short = Short::open(mechanism, OnOverflow::RescanSelect, 50);
        short.write_all();
        let reported = short.take_all();
        let counters = short.set.counters();
        Short::distinct(&reported) == 50 && counters.rescans >= 1 && counters.syscall("pselect6") >= 1
    });
}

#[test]
fn events_queued_at_an_overflow_are_not_reported_twice() {
    holds_on_each(|mechanism| {
        let mut short = Short::open(mechanism, OnOverflow::RescanPoll, 50);
        short.write_all();
        let reported = short.take_all();
        let counters = short.set.counters();
        // All signals except SIGIO were discarded: the rescan has reported every source.
        let accounted = counters.discarded_signals + counters.overflows == counters.signals;
        reported.len() == 50 && counters.rescans == 1 && counters.overflows == 1 && accounted
    });
}

#[test]
fn a_state_found_before_an_overflow_is_not_reported_twice() {
    holds_on_each(|mechanism| {
        let mut first = Short::open(mechanism, OnOverflow::RescanPoll, 20);
        let mut second = Short::open(mechanism, OnOverflow::RescanPoll, 0);
        let (ours, theirs) = stream_pair();
        write(&ours, b"x");
        let watched = second.set.declare(theirs, Interest::READABLE, Trigger::Edge).is_ok();
        first.write_all();
        let all = Short::distinct(&first.take_all()) == 20;
        watched && all && second.take_all().len() == 1 && second.set.counters().rescans == 1
    });
}

#[test]
fn a_set_opened_after_an_overflow_does_not_recover() {
    holds_on_each(|mechanism| {
        let mut first = Short::open(mechanism, OnOverflow::RescanPoll, 20);
        first.write_all();
        let all = Short::distinct(&first.take_all()) == 20;
        drop(first);
        let mut next = Short::open(mechanism, OnOverflow::RescanPoll, 1);
        all && next.take_all().is_empty() && next.set.counters().overflows == 0
    });
}

/// Runs `work` while the process may open this many files only, and `ppoll` takes no more entries.
fn with_file_limit<T>(files: u64, work: impl FnOnce() -> T) -> T {
    let before = getrlimit(Resource::Nofile);
    let set = |current| setrlimit(Resource::Nofile, Rlimit { current, ..before }).expect("below the hard limit");
    set(Some(files));
    let result = work();
    set(before.current);
    result
}

const NO_POLL: WaitError = WaitError::System {
    call: "ppoll",
    errno: Errno::INVAL,
};

#[test]
fn a_recovery_that_fails_is_repeated_and_finds_every_source() {
    holds_on_each(|mechanism| {
        let mut short = Short::open(mechanism, OnOverflow::RescanPoll, 40);
        short.write_all();
        let failed = with_file_limit(10, || {
            (0..3).all(|_| short.set.next_events(&mut short.events, Some(QUIET_PERIOD)) == Err(NO_POLL))
        });
        let reported = short.take_all();
        let counters = short.set.counters();
        failed && Short::distinct(&reported) == 40 && (counters.rescans, counters.overflows) == (1, 1)
    });
}

#[test]
fn a_modification_that_cannot_read_the_state_fails_and_changes_nothing() {
    holds_on_each(|mechanism| {
        let mut short = Short::open(mechanism, OnOverflow::RescanPoll, 1);
        let key = short.set.iter().next().expect("there is a source").0;
        let modified = with_file_limit(0, || short.set.modify(key, Interest::WRITABLE, Trigger::Edge));
        short.write_all();
        let reported = short.take_all();
        let refused = Err(DeclareError::System {
            call: "ppoll",
            errno: Errno::INVAL,
        });
        modified == refused && reported.len() == 1 && reported[0].readiness.is_readable()
    });
}

/// The signal of a number that was in use before is checked. If that is impossible, the event is kept.
#[test]
fn a_signal_that_cannot_be_checked_is_not_lost() {
    holds_on_each(|mechanism| {
        // With a queue of the usual length, which does not overflow.
        let (ours, theirs) = stream_pair();
        let mut short = Short {
            set: InterestSet::open(mechanism).expect("the set opens"),
            events: Events::with_capacity(16),
            peers: vec![ours],
        };
        short
            .set
            .declare(theirs, Interest::READABLE, Trigger::Edge)
            .expect("a socket can be watched");
        short.write_all();
        let key = short.set.iter().next().expect("there is a source").0;
        let source = short.set.withdraw(key).expect("the key is current");
        let mut byte = [0];
        let read = rustix::io::read(&source, &mut byte);
        let key = short
            .set
            .declare(source, Interest::READABLE, Trigger::Edge)
            .expect("a socket can be watched");
        short.write_all();
        let failed = with_file_limit(0, || {
            (0..3).all(|_| short.set.next_events(&mut short.events, Some(QUIET_PERIOD)) == Err(NO_POLL))
        });
        let reported = short.take_all();
        read == Ok(1) && failed && Short::distinct(&reported) == 1 && reported[0].key == key
    });
}

#[test]
fn without_recovery_lost_events_are_never_reported() {
    holds_on_each(|mechanism| {
        let mut short = Short::open(mechanism, OnOverflow::None, 50);
        short.write_all();
        let first = Short::distinct(&short.take_all());
        // The hung server of the paper: data is available but is never reported, however long the set waits.
        let counters = short.set.counters().clone();
        let silent = short.take_all().is_empty();
        first <= 8 && counters.overflows == 1 && counters.rescans == 0 && silent
    });
}

#[test]
fn after_one_sigio_every_set_of_the_thread_recovers_even_if_another_is_opened() {
    holds_on_each(|mechanism| {
        [false, true].into_iter().all(|opens| {
            let mut sets = [(); 2].map(|()| Short::open(mechanism, OnOverflow::RescanPoll, 20));
            sets.iter().for_each(Short::write_all);
            let third = opens.then(|| Short::open(mechanism, OnOverflow::RescanPoll, 1));
            let all = sets.iter_mut().all(|set| Short::distinct(&set.take_all()) == 20);
            all && third.is_none_or(|mut third| third.take_all().is_empty())
        })
    });
}

#[test]
fn a_wakeup_is_not_lost_in_an_overflow() {
    holds_on_each(|mechanism| {
        let mut short = Short::open(mechanism, OnOverflow::RescanPoll, 50);
        let waker = short.set.waker().expect("a waker");
        short.write_all();
        waker.wake().expect("the wakeup succeeds");
        let mut woken = false;
        while short
            .set
            .next_events(&mut short.events, Some(QUIET_PERIOD))
            .expect("the wait succeeds")
            > 0
        {
            woken |= short.events.woken();
            while short.set.take(&mut short.events).is_some() {}
        }
        woken | short.events.woken()
    });
}

#[test]
fn signals_of_a_withdrawn_source_are_dropped_after_its_descriptor_is_reused() {
    let stale = match Queued::once_for() {
        Queued::Event => 5,
        Queued::Descriptor => 1,
    };
    for mechanism in unfiltered() {
        let mut set = InterestSet::open(mechanism).expect("the set opens");
        let mut events = Events::with_capacity(16);
        let (ours, theirs) = stream_pair();
        let key = set
            .declare(theirs, Interest::READABLE, Trigger::Edge)
            .expect("a socket can be watched");
        for _ in 0..5 {
            write(&ours, b"x");
        }
        let mut slot = set.withdraw(key).expect("the key is current");
        let (quiet, fresh) = stream_pair();
        rustix::io::dup2(&fresh, &mut slot).expect("dup2");
        drop(fresh);
        let key = set
            .declare(slot, Interest::READABLE, Trigger::Edge)
            .expect("a socket can be watched");
        set.next_events(&mut events, Some(QUIET_PERIOD))
            .expect("the wait succeeds");
        assert_eq!(set.take(&mut events), None);
        let counters = set.counters();
        assert_eq!(
            (counters.signals, counters.stale_events),
            (stale, stale),
            "{counters:?}"
        );
        write(&quiet, b"y");
        set.next_events(&mut events, Some(HANG_TIMEOUT))
            .expect("the wait succeeds");
        assert_eq!(set.take(&mut events).map(|event| event.key), Some(key));
        let polls = set.counters().syscall("ppoll");
        write(&quiet, b"z");
        set.next_events(&mut events, Some(HANG_TIMEOUT))
            .expect("the wait succeeds");
        assert_eq!(set.take(&mut events).map(|event| event.key), Some(key));
        assert_eq!(
            set.counters().syscall("ppoll"),
            polls,
            "the queue was empty in between, so no signal is suspect"
        );
    }
}

#[test]
fn a_duplicate_of_a_declared_open_file_is_refused() {
    let mechanism = unfiltered().next().expect("there is such a mechanism");
    let mut set = InterestSet::open(mechanism).expect("the set opens");
    let (_ours, theirs) = stream_pair();
    let duplicate = rustix::io::dup(&theirs).expect("a duplicate");
    let key = set
        .declare(theirs, Interest::READABLE, Trigger::Edge)
        .expect("a socket can be watched");
    let declined = set
        .declare(duplicate, Interest::READABLE, Trigger::Edge)
        .expect_err("its signals already go to another source");
    let what = c10k_event::Unsupported::SignalsInUse;
    assert_eq!(
        declined.error,
        DeclareError::Unsupported {
            mechanism: mechanism.name(),
            what
        }
    );
    drop(set.withdraw(key).expect("the key is current"));
    assert!(set.declare(declined.source, Interest::READABLE, Trigger::Edge).is_ok());
}

#[test]
fn dropping_the_set_stops_the_signals_of_a_source_that_stays_open() {
    let (ours, theirs) = stream_pair();
    let mechanism = unfiltered().next().expect("there is such a mechanism");
    let mut set = InterestSet::open(mechanism).expect("the set opens");
    set.declare(&theirs, Interest::READABLE, Trigger::Edge)
        .expect("a socket can be watched");
    drop(set);
    assert_eq!(signal::async_of(theirs.as_fd()).map(|(state, _)| state), Ok(Async::Off));
    write(&ours, b"x");
}

/// The signal that the sources of a new set send.
fn signal_of_a_set(mechanism: Mechanism, named: Option<Signal>) -> Result<(InterestSet<OwnedFd>, Signal), OpenError> {
    let mut options = Options::default();
    options.signal = named.map(Signal::number);
    let mut set = InterestSet::open_with(mechanism, &options)?;
    let (_ours, theirs) = stream_pair();
    let key = set
        .declare(theirs, Interest::READABLE, Trigger::Edge)
        .expect("a socket can be watched");
    let signal = signal::signal_of(set[key].as_fd()).expect("F_GETSIG");
    Ok((set, signal.expect("a real-time signal")))
}

fn conflict(opened: &Result<(InterestSet<OwnedFd>, Signal), OpenError>) -> Option<SignalConflict> {
    match opened {
        Err(OpenError::Unavailable {
            reason: Unavailable::Signal(conflict),
            ..
        }) => Some(*conflict),
        _ => None,
    }
}

#[test]
fn a_set_takes_no_signal_that_has_a_handler_or_is_blocked() {
    holds_on_each(|mechanism| {
        let signals: Vec<Signal> = Signal::real_time().take(3).collect();
        signal::interrupt_with(signals[0]);
        signal::block(&SignalSet::of(&[signals[1]])).expect("the mask");
        let (set, used) = signal_of_a_set(mechanism, None).expect("a signal is free");
        let while_open = signal::blocked().expect("the mask");
        drop(set);
        let after = signal::blocked().expect("the mask");
        let blocks = |mask: SignalSet| signals.iter().map(|&signal| mask.contains(signal)).collect::<Vec<_>>();
        used == signals[2] && blocks(while_open) == [false, true, true] && blocks(after) == [false, true, false]
    });
}

#[test]
fn a_set_does_not_open_if_the_program_handles_sigio() {
    holds_on_each(|mechanism| {
        signal::interrupt_with(Signal::IO);
        let probed = mechanism.probe() == Err(Unavailable::Signal(SignalConflict::HandlerOfSigio));
        probed && conflict(&signal_of_a_set(mechanism, None)) == Some(SignalConflict::HandlerOfSigio)
    });
}

#[test]
fn a_set_takes_the_signal_that_an_option_names() {
    holds_on_each(|mechanism| {
        let last = Signal::real_time().last().expect("there are real-time signals");
        signal::block(&SignalSet::of(&[last])).expect("the mask");
        let (set, used) = signal_of_a_set(mechanism, Some(last)).expect("it is free");
        let twice = conflict(&signal_of_a_set(mechanism, Some(last)));
        let wrong = conflict(&signal_of_a_set(mechanism, Some(Signal::USR1)));
        drop(set);
        let still_blocked = signal::blocked().expect("the mask").contains(last);
        used == last
            && twice == Some(SignalConflict::InUse(last.number()))
            && wrong == Some(SignalConflict::NotRealTime(Signal::USR1.number()))
            && still_blocked
    });
}

#[test]
fn a_set_does_not_open_without_a_free_signal() {
    holds_on_each(|mechanism| {
        let all: Vec<Signal> = Signal::real_time().collect();
        signal::block(&SignalSet::of(&all)).expect("the mask");
        conflict(&signal_of_a_set(mechanism, None)) == Some(SignalConflict::NoneFree)
    });
}
