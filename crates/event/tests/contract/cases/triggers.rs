//! When readiness is reported.

use crate::{
    About::{EachTrigger, Only},
    Isolation::SharedProcess,
    Outcome, Setup,
    rig::{HANG_TIMEOUT, Rig, drain, fill, read_one, stream_pair, tcp_pair, unblock, write},
};
use c10k_event::{Interest, Readiness, Trigger};
use std::{
    net::{TcpListener, TcpStream},
    time::Duration,
};

super::cases! {
    a_source_readable_before_its_declaration_is_reported: EachTrigger, SharedProcess;
    a_source_writable_before_its_declaration_is_reported: EachTrigger, SharedProcess;
    a_source_readable_after_its_declaration_is_reported: EachTrigger, SharedProcess;
    data_taken_by_another_reader_does_not_break_later_events: EachTrigger, SharedProcess;
    an_edge_is_reported_once_per_change: Only(Trigger::Edge), SharedProcess;
    an_edge_is_reported_again_for_new_data_after_a_partial_read: Only(Trigger::Edge), SharedProcess;
    an_edge_is_reported_for_each_separate_segment: Only(Trigger::Edge), SharedProcess;
    a_level_is_reported_until_the_source_is_drained: Only(Trigger::Level), SharedProcess;
    a_level_is_reported_once_per_wait_after_repeated_modification: Only(Trigger::Level), SharedProcess;
    a_oneshot_source_reports_nothing_until_rearmed: Only(Trigger::Oneshot), SharedProcess;
    space_in_a_full_buffer_is_reported: EachTrigger, SharedProcess;
    space_in_a_full_buffer_is_reported_as_one_edge: Only(Trigger::Edge), SharedProcess;
    an_added_interest_reports_existing_readiness: EachTrigger, SharedProcess;
    a_removed_interest_reports_nothing: EachTrigger, SharedProcess;
    an_empty_interest_reports_nothing_not_even_a_hang_up: EachTrigger, SharedProcess;
    a_listener_reports_all_pending_connections: EachTrigger, SharedProcess;
    readable_and_writable_are_both_reported: EachTrigger, SharedProcess;
}

fn a_source_readable_before_its_declaration_is_reported(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    write(&ours, b"early");
    let key = rig.declare(theirs, Interest::READABLE);
    assert!(rig.next(key).is_readable());
    assert_eq!(rig.drain(key).0, b"early");
    Outcome::Pass
}

fn a_source_writable_before_its_declaration_is_reported(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (_ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::WRITABLE);
    assert!(rig.next(key).is_writable());
    Outcome::Pass
}

fn a_source_readable_after_its_declaration_is_reported(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    rig.assert_silent();
    write(&ours, b"late");
    rig.expect(key, Readiness::READABLE);
    assert_eq!(rig.drain(key).0, b"late");
    Outcome::Pass
}

fn data_taken_by_another_reader_does_not_break_later_events(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let other_reader = rustix::io::dup(&theirs).expect("a duplicate");
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"taken");
    rig.next(key);
    assert_eq!(drain(&other_reader).0, b"taken");
    assert_eq!(rig.drain(key), (Vec::new(), false), "an event is a hint only");
    rig.rearm(key);
    write(&ours, b"later");
    rig.expect(key, Readiness::READABLE);
    assert_eq!(rig.drain(key).0, b"later");
    Outcome::Pass
}

fn an_edge_is_reported_once_per_change(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"a");
    assert!(rig.next(key).is_readable());
    rig.assert_silent();
    assert_eq!(rig.drain(key).0, b"a");
    rig.assert_silent();
    write(&ours, b"b");
    assert!(rig.next(key).is_readable());
    Outcome::Pass
}

fn an_edge_is_reported_again_for_new_data_after_a_partial_read(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"ab");
    rig.next(key);
    rig.drain_events();
    assert_eq!(read_one(&rig.set[key]), b'a');
    rig.assert_silent();
    write(&ours, b"c");
    assert!(rig.next(key).is_readable());
    assert_eq!(rig.drain(key).0, b"bc");
    Outcome::Pass
}

fn an_edge_is_reported_for_each_separate_segment(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    for segment in [b"1", b"2", b"3"] {
        write(&ours, segment);
        assert!(rig.next(key).is_readable(), "segment {segment:?}");
        rig.drain_events();
    }
    assert_eq!(rig.drain(key).0, b"123");
    Outcome::Pass
}

fn a_level_is_reported_until_the_source_is_drained(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"abc");
    for _ in 0..3 {
        assert!(rig.next(key).is_readable());
    }
    read_one(&rig.set[key]);
    assert!(rig.next(key).is_readable(), "two bytes are left");
    rig.drain(key);
    // A state found before the drain may still be reported, but once at most.
    rig.batch(Duration::ZERO);
    rig.assert_silent();
    Outcome::Pass
}

fn a_level_is_reported_once_per_wait_after_repeated_modification(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"x");
    rig.expect(key, Readiness::READABLE);
    for _ in 0..5 {
        for _ in 0..2 {
            assert_eq!(rig.set.modify(key, Interest::READABLE, setup.trigger), Ok(()));
        }
        let batch = rig.batch(HANG_TIMEOUT);
        assert_eq!(batch.iter().map(|event| event.key).collect::<Vec<_>>(), [key]);
    }
    rig.drain(key);
    // The next wait may still report the state from before the drain.
    rig.batch(Duration::ZERO);
    rig.assert_silent();
    Outcome::Pass
}

fn a_oneshot_source_reports_nothing_until_rearmed(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"a");
    assert!(rig.next(key).is_readable());
    rig.assert_silent();
    write(&ours, b"b");
    rig.assert_silent();
    rig.rearm(key);
    assert!(
        rig.next(key).is_readable(),
        "a source that is ready when it is rearmed is reported"
    );
    rig.drain(key);
    rig.rearm(key);
    rig.assert_silent();
    write(&ours, b"c");
    assert!(rig.next(key).is_readable());
    Outcome::Pass
}

fn space_in_a_full_buffer_is_reported(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    fill(&theirs);
    rig.declare(theirs, Interest::WRITABLE);
    rig.assert_silent();
    // There is no space again before TCP has delivered all bytes in flight.
    while rig.batch(Duration::ZERO).is_empty() {
        drain(&ours);
    }
    Outcome::Pass
}

fn space_in_a_full_buffer_is_reported_as_one_edge(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::WRITABLE);
    rig.next(key);
    fill(&rig.set[key]);
    rig.drain_events();
    rig.assert_silent();
    drain(&ours);
    assert!(rig.next(key).is_writable());
    rig.drain_events();
    rig.assert_silent();
    Outcome::Pass
}

fn an_added_interest_reports_existing_readiness(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    rig.set
        .modify(key, Interest::READABLE | Interest::WRITABLE, setup.trigger)
        .expect("modifying");
    assert!(rig.next(key).is_writable());
    write(&ours, b"x");
    rig.set
        .modify(key, Interest::READABLE, setup.trigger)
        .expect("modifying");
    assert_eq!(
        rig.expect(key, Readiness::READABLE),
        Readiness::READABLE,
        "the set no longer asks for writability"
    );
    Outcome::Pass
}

fn a_removed_interest_reports_nothing(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"x");
    rig.set.next_events(&mut rig.events, None).expect("the wait succeeds");
    assert!(!rig.events.is_empty());
    rig.set
        .modify(key, Interest::PRIORITY, setup.trigger)
        .expect("modifying");
    assert_eq!(
        rig.set.take(&mut rig.events),
        None,
        "the event in the batch is no longer asked for"
    );
    assert!(rig.set.counters().stale_events > 0);
    rig.assert_silent();
    Outcome::Pass
}

fn an_empty_interest_reports_nothing_not_even_a_hang_up(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    rig.set.modify(key, Interest::NONE, setup.trigger).expect("modifying");
    write(&ours, b"x");
    drop(ours);
    rig.assert_silent();
    rig.set
        .modify(key, Interest::READABLE, setup.trigger)
        .expect("modifying");
    rig.expect(key, Readiness::READABLE);
    assert_eq!(rig.drain(key), (b"x".to_vec(), true));
    let silent = rig.set.withdraw(key).expect("the key is current");
    let key = rig.declare(silent, Interest::NONE);
    rig.assert_silent();
    assert!(rig.set.withdraw(key).is_ok());
    Outcome::Pass
}

fn a_listener_reports_all_pending_connections(setup: Setup) -> Outcome {
    const CONNECTIONS: usize = 50;
    let mut rig = Rig::new(setup);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let key = rig.declare(unblock(listener), Interest::READABLE);
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| TcpStream::connect(address).expect("a connection"))
        .collect();
    let mut accepted = Vec::new();
    while accepted.len() < CONNECTIONS {
        assert!(rig.next(key).is_readable());
        while let Ok(connection) = rustix::net::accept(&rig.set[key]) {
            accepted.push(connection);
        }
        rig.rearm(key);
    }
    drop(clients);
    Outcome::Pass
}

fn readable_and_writable_are_both_reported(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE | Interest::WRITABLE);
    write(&ours, b"x");
    rig.expect(key, Readiness::READABLE | Readiness::WRITABLE);
    Outcome::Pass
}
