//! When readiness is told.

use crate::{
    About::{EachTrigger, Only},
    Outcome,
    Place::Beside,
    Setup,
    rig::{PATIENCE, Rig, drain, fill, read_one, stream_pair, tcp_pair, unblock, write},
};
use c10k_event::{Interest, Readiness, Trigger};
use std::{
    net::{TcpListener, TcpStream},
    time::Duration,
};

super::cases! {
    data_before_the_declaration_is_told: EachTrigger, Beside;
    room_before_the_declaration_is_told: EachTrigger, Beside;
    data_after_the_declaration_is_told: EachTrigger, Beside;
    an_event_whose_data_another_reader_took_is_survived: EachTrigger, Beside;
    edge_is_told_once_a_change: Only(Trigger::Edge), Beside;
    edge_is_told_again_after_a_partial_read_and_new_data: Only(Trigger::Edge), Beside;
    edge_tells_every_segment_that_comes_apart: Only(Trigger::Edge), Beside;
    level_is_told_until_drained: Only(Trigger::Level), Beside;
    level_is_told_once_a_wait_however_often_it_is_declared: Only(Trigger::Level), Beside;
    oneshot_is_silent_until_armed_again: Only(Trigger::Oneshot), Beside;
    room_after_a_full_buffer_is_told: EachTrigger, Beside;
    room_after_a_full_buffer_is_one_edge: Only(Trigger::Edge), Beside;
    interest_added_later_tells_what_holds_already: EachTrigger, Beside;
    an_interest_given_up_is_silent: EachTrigger, Beside;
    no_interest_is_silence_even_about_a_hang_up: EachTrigger, Beside;
    a_listener_tells_many_pending_connections: EachTrigger, Beside;
    both_directions_are_told: EachTrigger, Beside;
}

fn data_before_the_declaration_is_told(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    write(&ours, b"early");
    let key = rig.declare(theirs, Interest::READABLE);
    assert!(rig.next(key).is_readable());
    assert_eq!(rig.drain(key).0, b"early");
    Outcome::Pass
}

fn room_before_the_declaration_is_told(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (_ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::WRITABLE);
    assert!(rig.next(key).is_writable());
    Outcome::Pass
}

fn data_after_the_declaration_is_told(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    rig.assert_silent();
    write(&ours, b"late");
    rig.expect(key, Readiness::READABLE);
    assert_eq!(rig.drain(key).0, b"late");
    Outcome::Pass
}

fn an_event_whose_data_another_reader_took_is_survived(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let thief = rustix::io::dup(&theirs).expect("a duplicate");
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"stolen");
    rig.next(key);
    assert_eq!(drain(&thief).0, b"stolen");
    assert_eq!(rig.drain(key), (Vec::new(), false), "an event is a hint");
    rig.rearm(key);
    write(&ours, b"mine");
    rig.expect(key, Readiness::READABLE);
    assert_eq!(rig.drain(key).0, b"mine");
    Outcome::Pass
}

fn edge_is_told_once_a_change(setup: Setup) -> Outcome {
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

fn edge_is_told_again_after_a_partial_read_and_new_data(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"ab");
    rig.next(key);
    rig.settle();
    assert_eq!(read_one(&rig.set[key]), b'a');
    rig.assert_silent();
    write(&ours, b"c");
    assert!(rig.next(key).is_readable());
    assert_eq!(rig.drain(key).0, b"bc");
    Outcome::Pass
}

fn edge_tells_every_segment_that_comes_apart(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    for segment in [b"1", b"2", b"3"] {
        write(&ours, segment);
        assert!(rig.next(key).is_readable(), "segment {segment:?}");
        rig.settle();
    }
    assert_eq!(rig.drain(key).0, b"123");
    Outcome::Pass
}

fn level_is_told_until_drained(setup: Setup) -> Outcome {
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
    // What was found before the drain may still be told; it is told no more than once.
    rig.batch(Duration::ZERO);
    rig.assert_silent();
    Outcome::Pass
}

fn level_is_told_once_a_wait_however_often_it_is_declared(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"x");
    rig.expect(key, Readiness::READABLE);
    for _ in 0..5 {
        for _ in 0..2 {
            assert_eq!(rig.set.modify(key, Interest::READABLE, setup.trigger), Ok(()));
        }
        let batch = rig.batch(PATIENCE);
        assert_eq!(batch.iter().map(|event| event.key).collect::<Vec<_>>(), [key]);
    }
    rig.drain(key);
    // A wait may bring what was on its way.
    rig.batch(Duration::ZERO);
    rig.assert_silent();
    Outcome::Pass
}

fn oneshot_is_silent_until_armed_again(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"a");
    assert!(rig.next(key).is_readable());
    rig.assert_silent();
    write(&ours, b"b");
    rig.assert_silent();
    rig.rearm(key);
    assert!(rig.next(key).is_readable(), "what holds when it is armed again is told");
    rig.drain(key);
    rig.rearm(key);
    rig.assert_silent();
    write(&ours, b"c");
    assert!(rig.next(key).is_readable());
    Outcome::Pass
}

fn room_after_a_full_buffer_is_told(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    fill(&theirs);
    rig.declare(theirs, Interest::WRITABLE);
    rig.assert_silent();
    // TCP has to move all that is on its way before there is room again.
    while rig.batch(Duration::ZERO).is_empty() {
        drain(&ours);
    }
    Outcome::Pass
}

fn room_after_a_full_buffer_is_one_edge(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::WRITABLE);
    rig.next(key);
    fill(&rig.set[key]);
    rig.settle();
    rig.assert_silent();
    drain(&ours);
    assert!(rig.next(key).is_writable());
    rig.settle();
    rig.assert_silent();
    Outcome::Pass
}

fn interest_added_later_tells_what_holds_already(setup: Setup) -> Outcome {
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
        "room is not asked for any more"
    );
    Outcome::Pass
}

fn an_interest_given_up_is_silent(setup: Setup) -> Outcome {
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
        "the batch holds what is not asked for any more"
    );
    assert!(rig.set.counters().stale_events > 0);
    rig.assert_silent();
    Outcome::Pass
}

fn no_interest_is_silence_even_about_a_hang_up(setup: Setup) -> Outcome {
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

fn a_listener_tells_many_pending_connections(setup: Setup) -> Outcome {
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

fn both_directions_are_told(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE | Interest::WRITABLE);
    write(&ours, b"x");
    rig.expect(key, Readiness::READABLE | Readiness::WRITABLE);
    Outcome::Pass
}
