//! Which source an event belongs to: keys, batches, reused descriptors.

use crate::{
    About::EachTrigger,
    Isolation::SharedProcess,
    Outcome, Setup,
    rig::{HANG_TIMEOUT, Rig, stream_pair, tcp_pair, write},
};
use c10k_event::{DeclareError, Interest, Nested, Readiness, Unsupported, WaitError, Watch, WithdrawError};
use std::{
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

super::cases! {
    a_source_withdrawn_during_a_batch_reports_no_further_events: EachTrigger, SharedProcess;
    a_reused_descriptor_gets_no_pending_event_of_its_predecessor: EachTrigger, SharedProcess;
    a_reused_descriptor_gets_no_batched_event_of_its_predecessor: EachTrigger, SharedProcess;
    a_descriptor_reused_many_times_reports_only_its_own_events: EachTrigger, SharedProcess;
    an_open_duplicate_of_a_withdrawn_source_reports_nothing: EachTrigger, SharedProcess;
    a_source_declared_twice_is_refused: EachTrigger, SharedProcess;
    an_unknown_key_is_refused: EachTrigger, SharedProcess;
    a_withdrawn_source_works_and_can_be_declared_again: EachTrigger, SharedProcess;
    a_replaced_descriptor_is_detected: EachTrigger, SharedProcess;
    a_replaced_descriptor_reports_nothing_after_its_withdrawal: EachTrigger, SharedProcess;
    a_source_modified_at_each_event_does_not_starve_others: EachTrigger, SharedProcess;
    events_not_taken_from_a_batch_are_kept: EachTrigger, SharedProcess;
    events_of_another_set_are_neither_taken_nor_lost: EachTrigger, SharedProcess;
    a_source_made_with_its_own_key_has_it: EachTrigger, SharedProcess;
    two_sources_are_reached_at_once: EachTrigger, SharedProcess;
    a_rearmed_source_reports_what_holds_again: EachTrigger, SharedProcess;
    a_set_on_one_descriptor_nests_in_any_other: EachTrigger, SharedProcess;
    no_events_are_reported_after_all_sources_are_withdrawn: EachTrigger, SharedProcess;
    the_state_at_declaration_is_returned_if_requested: EachTrigger, SharedProcess;
    exclusive_wakeup_works_and_refuses_illegal_combinations: EachTrigger, SharedProcess;
    counters_add_up: EachTrigger, SharedProcess;
}

fn a_source_withdrawn_during_a_batch_reports_no_further_events(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let mut peers = Vec::new();
    let keys: Vec<_> = (0..8)
        .map(|_| {
            let (ours, theirs) = stream_pair();
            peers.push(ours);
            rig.declare(theirs, Interest::READABLE)
        })
        .collect();
    peers.iter().for_each(|peer| write(peer, b"x"));
    // Whichever source comes first: withdraw all others.
    rig.set.next_events(&mut rig.events, None).expect("the wait succeeds");
    let first = rig.set.take(&mut rig.events).expect("an event").key;
    for &key in keys.iter().filter(|&&key| key != first) {
        assert!(rig.set.withdraw(key).is_ok());
    }
    let stale_before = rig.set.counters().stale_events;
    let left = rig.events.len() as u64;
    while let Some(event) = rig.set.take(&mut rig.events) {
        assert_eq!(event.key, first);
    }
    assert!(rig.set.counters().stale_events <= stale_before + left);
    rig.drain(first);
    for event in rig.batch(Duration::ZERO) {
        assert_eq!(event.key, first);
    }
    Outcome::Pass
}

/// Replaces a withdrawn source by a new one with the same descriptor number. Returns the peer of the new source, and
/// the new source. The number is never free in between: another test in this process could otherwise take it.
fn reuse(mut old: OwnedFd) -> (OwnedFd, OwnedFd) {
    let number = old.as_raw_fd();
    let (ours, fresh) = stream_pair();
    rustix::io::dup2(&fresh, &mut old).expect("dup2");
    assert_eq!(old.as_raw_fd(), number);
    (ours, old)
}

fn a_reused_descriptor_gets_no_pending_event_of_its_predecessor(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    for _ in 0..5 {
        write(&ours, b"x");
    }
    let old = rig.set.withdraw(key).expect("the key is current");
    drop(ours);
    let (quiet, slot) = reuse(old);
    let next = rig.declare(slot, Interest::READABLE);
    assert_ne!(next, key);
    for _ in 0..10 {
        let batch = rig.batch(Duration::ZERO);
        assert!(batch.is_empty(), "{batch:?} belongs to the previous source");
    }
    write(&quiet, b"y");
    rig.expect(next, Readiness::READABLE);
    assert_eq!(rig.drain(next).0, b"y");
    Outcome::Pass
}

fn a_reused_descriptor_gets_no_batched_event_of_its_predecessor(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"x");
    rig.set.next_events(&mut rig.events, None).expect("the wait succeeds");
    let old = rig.set.withdraw(key).expect("the key is current");
    let (quiet, slot) = reuse(old);
    let next = rig.declare(slot, Interest::READABLE);
    assert_eq!(
        rig.set.take(&mut rig.events),
        None,
        "the event belongs to the previous source"
    );
    assert_eq!(rig.set.counters().stale_events, 1);
    write(&quiet, b"y");
    rig.expect(next, Readiness::READABLE);
    Outcome::Pass
}

fn a_descriptor_reused_many_times_reports_only_its_own_events(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (mut peer, first) = stream_pair();
    let mut key = rig.declare(first, Interest::READABLE);
    for round in 0..200_u32 {
        let byte = round.to_ne_bytes()[0];
        write(&peer, &[byte]);
        if round % 3 != 0 {
            rig.expect(key, Readiness::READABLE);
            assert_eq!(rig.drain(key).0, [byte]);
            if round % 2 == 0 {
                write(&peer, b"late");
            }
        }
        let old = rig.set.withdraw(key).expect("the key is current");
        let (ours, next) = reuse(old);
        peer = ours;
        key = rig.declare(next, Interest::READABLE);
        let batch = rig.batch(Duration::ZERO);
        assert!(batch.is_empty(), "{batch:?} in round {round}");
    }
    Outcome::Pass
}

fn an_open_duplicate_of_a_withdrawn_source_reports_nothing(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let duplicate = rustix::io::dup(&theirs).expect("a duplicate");
    let key = rig.declare(theirs, Interest::READABLE);
    drop(rig.set.withdraw(key).expect("the key is current"));
    write(&ours, b"x");
    rig.assert_silent();
    assert_eq!(
        rig.set.counters().events,
        0,
        "the kernel reports nothing about it either"
    );
    drop(duplicate);
    Outcome::Pass
}

fn a_source_declared_twice_is_refused(setup: Setup) -> Outcome {
    let (ours, theirs) = stream_pair();
    let mut set =
        c10k_event::InterestSet::open_with(setup.mechanism, &setup.options()).expect("the mechanism was probed");
    let key = set
        .declare(&theirs, Interest::READABLE, setup.trigger)
        .expect("the source can be watched");
    let declined = set
        .declare(&theirs, Interest::WRITABLE, setup.trigger)
        .expect_err("the same descriptor is declared twice");
    assert_eq!(declined.error, DeclareError::AlreadyDeclared { fd: theirs.as_raw_fd() });
    write(&ours, b"x");
    let mut events = c10k_event::Events::with_capacity(4);
    set.next_events(&mut events, None).expect("the wait succeeds");
    assert_eq!(
        set.take(&mut events).map(|event| event.key),
        Some(key),
        "the first declaration still holds"
    );
    assert!(set.withdraw(key).is_ok());
    assert!(
        set.declare(&theirs, Interest::READABLE, setup.trigger).is_ok(),
        "it can be declared again after its withdrawal"
    );
    Outcome::Pass
}

fn an_unknown_key_is_refused(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (_ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    assert!(rig.set.withdraw(key).is_ok());
    assert!(matches!(rig.set.withdraw(key), Err(WithdrawError::UnknownKey(unknown)) if unknown == key));
    let modified = rig.set.modify(key, Interest::READABLE, setup.trigger);
    assert_eq!(modified, Err(DeclareError::UnknownKey(key)));
    assert!(rig.set.get(key).is_none() && rig.set.get_mut(key).is_none() && rig.set.watch(key).is_none());
    Outcome::Pass
}

fn a_withdrawn_source_works_and_can_be_declared_again(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let mut source = theirs;
    for round in 0..5_u8 {
        let key = rig.declare(source, Interest::READABLE);
        write(&ours, &[round]);
        rig.expect(key, Readiness::READABLE);
        assert_eq!(rig.drain(key).0, [round]);
        source = rig.set.withdraw(key).expect("the key is current");
        assert_eq!(rig.set.len(), 0);
    }
    write(&source, b"still open");
    assert_eq!(crate::rig::drain(&ours).0, b"still open");
    Outcome::Pass
}

fn a_replaced_descriptor_is_detected(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (_ours, theirs) = stream_pair();
    let (_others, other) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    let (declared, now) = (rig.set[key].as_raw_fd(), other.as_raw_fd());
    let kept = std::mem::replace(&mut rig.set[key], other);
    let modified = rig.set.modify(key, Interest::WRITABLE, setup.trigger);
    assert_eq!(modified, Err(DeclareError::DescriptorReplaced { declared, now }));
    rig.set[key] = kept;
    assert_eq!(rig.set.modify(key, Interest::WRITABLE, setup.trigger), Ok(()));
    Outcome::Pass
}

fn a_replaced_descriptor_reports_nothing_after_its_withdrawal(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (_ours, theirs) = stream_pair();
    let (_others, other) = stream_pair();
    let (peer, next) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    let kept = std::mem::replace(&mut rig.set[key], other);
    let withdrawn = rig.set.withdraw(key);
    assert!(
        matches!(withdrawn, Err(WithdrawError::StillWatched { .. })),
        "{withdrawn:?}"
    );
    // This frees the declared number.
    drop(kept);
    let key = rig.declare(next, Interest::READABLE);
    rig.assert_silent();
    write(&peer, b"x");
    rig.expect(key, Readiness::READABLE);
    Outcome::Pass
}

fn a_source_modified_at_each_event_does_not_starve_others(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (_there, always) = stream_pair();
    let (peer, seldom) = stream_pair();
    let waker = rig.set.waker().expect("a waker");
    let always = rig.declare(always, Interest::WRITABLE);
    let seldom = rig.declare(seldom, Interest::READABLE);
    let (mut reported, mut woken) = (false, false);
    for turn in 0..50 {
        if turn == 5 {
            write(&peer, b"x");
            waker.wake().expect("the wakeup succeeds");
        }
        rig.set
            .next_events(&mut rig.events, Some(HANG_TIMEOUT))
            .expect("the wait succeeds");
        woken |= rig.events.woken();
        while let Some(event) = rig.set.take(&mut rig.events) {
            reported |= event.key == seldom;
            if event.key == always {
                rig.set
                    .modify(always, Interest::WRITABLE, setup.trigger)
                    .expect("modifying");
            }
        }
    }
    assert!(reported && woken, "reported {reported}, woken {woken}");
    Outcome::Pass
}

fn events_not_taken_from_a_batch_are_kept(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    write(&ours, b"x");
    let key = rig.declare(theirs, Interest::READABLE);
    let count = rig.set.next_events(&mut rig.events, None);
    let waits = rig.set.counters().waits;
    assert_eq!(
        rig.set.next_events(&mut rig.events, None),
        count,
        "the remaining events are returned without a system call"
    );
    assert_eq!(rig.set.counters().waits, waits);
    assert_eq!(rig.set.take(&mut rig.events).map(|event| event.key), Some(key));
    Outcome::Pass
}

fn no_events_are_reported_after_all_sources_are_withdrawn(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let mut peers = Vec::new();
    for _ in 0..20 {
        let (ours, theirs) = stream_pair();
        peers.push(ours);
        rig.declare(theirs, Interest::READABLE | Interest::WRITABLE);
    }
    let keys: Vec<_> = rig.set.iter().map(|(key, _)| key).collect();
    assert_eq!((keys.len(), rig.set.len()), (20, 20));
    let mut sources = Vec::new();
    for key in keys {
        sources.push(rig.set.withdraw(key).expect("the key is current"));
    }
    assert!(rig.set.is_empty());
    peers.iter().for_each(|peer| write(peer, b"x"));
    rig.assert_silent();
    Outcome::Pass
}

fn the_state_at_declaration_is_returned_if_requested(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let (_idle, quiet) = stream_pair();
    write(&ours, b"x");
    // TCP delivers the byte with a delay.
    while rustix::io::ioctl_fionread(&theirs) == Ok(0) {}
    let watch = Watch::new(Interest::READABLE, setup.trigger).returning_state();
    let declared = rig.set.declare_with(theirs, watch).expect("the source can be watched");
    assert_eq!(declared.state, Some(Readiness::READABLE));
    assert!(rig.next(declared.key).is_readable(), "it is reported as an event too");
    assert_eq!(
        rig.set
            .declare_with(quiet, watch)
            .expect("the source can be watched")
            .state,
        Some(Readiness::NONE)
    );
    Outcome::Pass
}

fn exclusive_wakeup_works_and_refuses_illegal_combinations(setup: Setup) -> Outcome {
    let watch = Watch::new(Interest::READABLE, setup.trigger).exclusive();
    let (mut first, mut second) = (Rig::new(setup), Rig::new(setup));
    let (ours, theirs) = stream_pair();
    let duplicate = rustix::io::dup(&theirs).expect("a duplicate");
    let refusal = |what| DeclareError::Unsupported {
        mechanism: setup.mechanism.name(),
        what,
    };
    let key = match first.set.declare_with(theirs, watch) {
        Ok(declared) => declared.key,
        Err(declined) => {
            assert_eq!(declined.error, refusal(Unsupported::ExclusiveWakeup));
            return Outcome::Unsupported("exclusive wake-up");
        }
    };
    let modified = first.set.modify(key, Interest::WRITABLE, setup.trigger);
    assert_eq!(modified, Err(refusal(Unsupported::ModifyExclusive)));
    let (_others, mut other) = stream_pair();
    for (interest, name) in [
        (Interest::READABLE | Interest::PRIORITY, "PRIORITY"),
        (Interest::NONE, "NONE"),
    ] {
        let illegal = Watch::new(interest, setup.trigger).exclusive();
        let declined = first
            .set
            .declare_with(other, illegal)
            .expect_err("an illegal combination");
        assert_eq!(declined.error, refusal(Unsupported::ExclusiveWith(name)));
        other = declined.source;
    }
    let nested = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).expect("a descriptor");
    let declined = first
        .set
        .declare_with(nested, watch)
        .expect_err("an illegal combination");
    assert_eq!(declined.error, refusal(Unsupported::ExclusiveNested));
    second
        .set
        .declare_with(duplicate, watch)
        .expect("the source can be watched");
    write(&ours, b"x");
    // No thread is waiting when the event occurs, so the kernel may report it to one set or to both, but not to none.
    let reported = first.batch(Duration::ZERO).len() + second.batch(Duration::ZERO).len();
    assert!((1..=2).contains(&reported), "{reported}");
    assert!(first.set.withdraw(key).is_ok());
    Outcome::Pass
}

fn events_of_another_set_are_neither_taken_nor_lost(setup: Setup) -> Outcome {
    let (mut first, mut second) = (Rig::new(setup), Rig::new(setup));
    let (ours, theirs) = stream_pair();
    let (_others, other) = stream_pair();
    // Both sets give out the same key.
    let key = first.declare(theirs, Interest::READABLE);
    assert_eq!(second.declare(other, Interest::READABLE), key);
    write(&ours, b"x");
    let found = first.set.next_events(&mut first.events, Some(HANG_TIMEOUT));
    assert_eq!(found, Ok(1));
    assert_eq!(second.set.take(&mut first.events), None);
    assert_eq!(
        second.set.next_events(&mut first.events, Some(Duration::ZERO)),
        Err(WaitError::OtherSet { left: 1 })
    );
    assert_eq!(first.set.take(&mut first.events).map(|event| event.key), Some(key));
    let found = second.set.next_events(&mut first.events, Some(Duration::ZERO));
    assert_eq!(found, Ok(0), "an empty batch is free for any set");
    first.rearm(key);
    write(&ours, b"y");
    let found = first.set.next_events(&mut first.events, Some(HANG_TIMEOUT));
    assert_eq!(found, Ok(1));
    first.events.clear();
    let found = second.set.next_events(&mut first.events, Some(Duration::ZERO));
    assert_eq!(found, Ok(0), "the events were given up");
    Outcome::Pass
}

fn a_source_made_with_its_own_key_has_it(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let watch = Watch::new(Interest::READABLE, setup.trigger);
    let (mut peers, mut announced) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let declared = rig.set.declare_by(watch, |key| {
            let (ours, theirs) = stream_pair();
            peers.push(ours);
            announced.push(key);
            theirs
        });
        let key = declared.expect("the source can be watched").key;
        assert_eq!(announced.last(), Some(&key));
    }
    // In reverse, so that the next key is that of a slot in the middle.
    drop(rig.set.withdraw(announced[1]).expect("the key is current"));
    let number = rig.set[announced[0]].as_raw_fd();
    let declined = rig
        .set
        .declare_by(watch, |key| {
            announced.push(key);
            rustix::io::fcntl_dupfd_cloexec(&peers[0], 0).expect("a duplicate")
        })
        .map(|declared| assert_eq!(announced.last(), Some(&declared.key)));
    assert!(declined.is_ok());
    assert_eq!(rig.set[announced[0]].as_raw_fd(), number);
    write(&peers[2], b"x");
    rig.expect(announced[2], Readiness::READABLE);
    Outcome::Pass
}

fn two_sources_are_reached_at_once(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let [(ours, theirs), (far, near)] = [stream_pair(), stream_pair()];
    let (from, to) = (
        rig.declare(theirs, Interest::READABLE),
        rig.declare(near, Interest::READABLE),
    );
    write(&ours, b"x");
    rig.expect(from, Readiness::READABLE);
    let (source, target) = rig.set.get_two_mut(from, to).expect("both are current");
    let mut byte = [0];
    assert_eq!(rustix::io::read(source, &mut byte), Ok(1));
    write(target, &byte);
    assert_eq!(crate::rig::drain(&far).0, b"x");
    assert!(rig.set.get_two_mut(from, from).is_none());
    drop(rig.set.withdraw(to).expect("the key is current"));
    assert!(rig.set.get_two_mut(from, to).is_none());
    Outcome::Pass
}

fn a_rearmed_source_reports_what_holds_again(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"x");
    for _ in 0..3 {
        assert!(rig.next(key).is_readable());
        rig.set.rearm(key).expect("a watched source can be armed again");
    }
    let watch = rig.set.watch(key).expect("the key is current");
    assert_eq!((watch.interest(), watch.trigger()), (Interest::READABLE, setup.trigger));
    drop(rig.set.withdraw(key).expect("the key is current"));
    assert_eq!(rig.set.rearm(key), Err(DeclareError::UnknownKey(key)));
    Outcome::Pass
}

/// Every mechanism is the outer set of one that has a descriptor, or the inner set if it has one itself.
fn a_set_on_one_descriptor_nests_in_any_other(setup: Setup) -> Outcome {
    let (mut outer, mut inner) = (Rig::new(setup), Rig::new(setup));
    let (ours, theirs) = stream_pair();
    let key = inner.declare(theirs, Interest::READABLE);
    let Some(fd) = inner.set.descriptor() else {
        let declined = Nested::new(inner.set).expect_err("the mechanism is not one descriptor");
        assert!(declined.to_string().contains(setup.mechanism.name()), "{declined}");
        return Outcome::Unsupported("one descriptor for the set");
    };
    let itself = rustix::io::fcntl_dupfd_cloexec(fd, 0).expect("a duplicate");
    let declined = inner
        .set
        .declare(itself, Interest::READABLE, setup.trigger)
        .expect_err("a set cannot watch itself");
    let what = Unsupported::OwnDescriptor;
    let mechanism = setup.mechanism.name();
    assert_eq!(declined.error, DeclareError::Unsupported { mechanism, what });
    drop(declined);
    let descriptor = rustix::io::fcntl_dupfd_cloexec(inner.set.descriptor().expect("as above"), 0);
    let nested = outer.declare(descriptor.expect("a duplicate"), Interest::READABLE);
    outer.assert_silent();
    write(&ours, b"x");
    outer.expect(nested, Readiness::READABLE);
    inner.expect(key, Readiness::READABLE);
    Outcome::Pass
}

fn counters_add_up(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let mut handled = 0;
    for round in 0..50 {
        let (ours, theirs) = stream_pair();
        write(&ours, b"x");
        let key = rig.declare(theirs, Interest::READABLE);
        if round % 2 == 0 {
            rig.set
                .next_events(&mut rig.events, Some(Duration::ZERO))
                .expect("the wait succeeds");
        }
        if round % 4 != 0 {
            handled += rig.batch(Duration::ZERO).len() as u64;
        }
        assert!(rig.set.withdraw(key).is_ok());
    }
    let left = rig.events.len() as u64;
    let counters = rig.set.counters();
    assert_eq!(counters.events, handled + counters.stale_events + left, "{counters:?}");
    assert!(counters.waits > 0 && counters.syscalls().count() > 0);
    Outcome::Pass
}
