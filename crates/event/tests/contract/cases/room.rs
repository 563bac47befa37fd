//! Changes that the kernel does not signal: room in local sockets, and what the program does to a source itself.

use crate::{
    About::EachTrigger,
    Isolation::SharedProcess,
    Outcome, Setup,
    rig::{Rig, drain, fill, stream_pair, tcp_pair},
};
use c10k_event::{DeclareError, Interest, Readiness, Unsupported};
use rustix::{
    net::{AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType},
    pipe::PipeFlags,
};
use std::{os::fd::OwnedFd, time::Duration};

super::cases! {
    room_in_a_local_socket_that_was_full_at_its_declaration_is_reported_or_refused: EachTrigger, SharedProcess;
    an_interest_in_room_added_while_a_local_socket_is_full_is_reported_or_refused: EachTrigger, SharedProcess;
    room_in_a_local_datagram_socket_is_reported_or_refused: EachTrigger, SharedProcess;
    a_local_shutdown_is_reported_when_the_source_is_armed_again: EachTrigger, SharedProcess;
    room_in_an_enlarged_pipe_is_reported_when_the_source_is_armed_again: EachTrigger, SharedProcess;
}

const NO_ROOM: Outcome = Outcome::Unsupported("room that is not signalled");

fn assert_refusal(setup: Setup, error: &DeclareError) {
    let what = Unsupported::RoomWithoutSignals;
    let mechanism = setup.mechanism.name();
    assert_eq!(*error, DeclareError::Unsupported { mechanism, what });
    assert!(setup.mechanism.signal_queue().is_some(), "{mechanism}");
}

fn room_in_a_local_socket_that_was_full_at_its_declaration_is_reported_or_refused(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = stream_pair();
    fill(&theirs);
    match rig.set.declare(theirs, Interest::WRITABLE, setup.trigger) {
        Ok(key) => {
            assert!(
                setup.mechanism.signal_queue().is_none(),
                "the kernel will not signal room"
            );
            rig.assert_silent();
            drain(&ours);
            rig.expect(key, Readiness::WRITABLE);
            Outcome::Pass
        }
        Err(declined) => {
            assert_refusal(setup, &declined.error);
            drain(&ours);
            // With room it can be declared, and filled from then on.
            let key = rig.declare(declined.source, Interest::WRITABLE);
            rig.expect(key, Readiness::WRITABLE);
            fill(&rig.set[key]);
            rig.drain_events();
            drain(&ours);
            rig.expect(key, Readiness::WRITABLE);
            NO_ROOM
        }
    }
}

fn an_interest_in_room_added_while_a_local_socket_is_full_is_reported_or_refused(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let both = Interest::READABLE | Interest::WRITABLE;
    // Filled while it is in the set: the usual case of a slow peer.
    let (ours, theirs) = stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    fill(&rig.set[key]);
    assert_eq!(rig.set.modify(key, both, setup.trigger), Ok(()));
    rig.batch(Duration::ZERO);
    drain(&ours);
    rig.expect(key, Readiness::WRITABLE);
    drop(rig.set.withdraw(key).expect("the key is current"));
    // Filled before.
    let (ours, theirs) = stream_pair();
    fill(&theirs);
    let key = rig.declare(theirs, Interest::READABLE);
    let modified = rig.set.modify(key, both, setup.trigger);
    if let Err(error) = &modified {
        assert_refusal(setup, error);
        let kept = rig.set.watch(key).map(|watch| watch.interest());
        assert_eq!(kept, Some(Interest::READABLE), "the former declaration is unchanged");
        drain(&ours);
        assert_eq!(rig.set.modify(key, both, setup.trigger), Ok(()));
    }
    drain(&ours);
    rig.expect(key, Readiness::WRITABLE);
    if modified.is_ok() { Outcome::Pass } else { NO_ROOM }
}

fn fill_with_datagrams(fd: &OwnedFd) {
    while rustix::io::write(fd, b"x").is_ok() {}
}

fn room_in_a_local_datagram_socket_is_reported_or_refused(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    for kind in [SocketType::DGRAM, SocketType::SEQPACKET] {
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, kind, flags, None).expect("a socket pair");
        fill_with_datagrams(&theirs);
        let key = rig.declare(theirs, Interest::WRITABLE);
        drain(&ours);
        rig.expect(key, Readiness::WRITABLE);
        drop(rig.set.withdraw(key).expect("the key is current"));
    }
    let socket = || rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).expect("a socket");
    let name = format!("c10k-room-{}-{}-{}", std::process::id(), setup.mechanism, setup.trigger);
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("a short name");
    let (receiver, sender, other) = (socket(), socket(), socket());
    rustix::net::bind(&receiver, &address).expect("the name is free");
    for socket in [&sender, &other] {
        rustix::net::connect(socket, &address).expect("connected");
    }
    fill_with_datagrams(&other);
    let sender = match rig.set.declare(sender, Interest::WRITABLE, setup.trigger) {
        Ok(key) => {
            assert!(
                setup.mechanism.signal_queue().is_none(),
                "the kernel may not signal room"
            );
            rig.assert_silent();
            drain(&receiver);
            rig.expect(key, Readiness::WRITABLE);
            return Outcome::Pass;
        }
        Err(declined) => {
            assert_refusal(setup, &declined.error);
            declined.source
        }
    };
    rig.declare(sender, Interest::READABLE);
    NO_ROOM
}

fn a_local_shutdown_is_reported_when_the_source_is_armed_again(setup: Setup) -> Outcome {
    for pair in [stream_pair, tcp_pair] {
        let mut rig = Rig::new(setup);
        let (_ours, theirs) = pair();
        let key = rig.declare(theirs, Interest::READABLE);
        rig.assert_silent();
        rustix::net::shutdown(&rig.set[key], Shutdown::Both).expect("shutdown succeeds");
        rig.set.rearm(key).expect("a watched source can be armed again");
        rig.expect(key, Readiness::READABLE);
        assert_eq!(rig.drain(key), (Vec::new(), true));
    }
    Outcome::Pass
}

fn room_in_an_enlarged_pipe_is_reported_when_the_source_is_armed_again(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (_reader, writer) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).expect("a pipe");
    fill(&writer);
    let size = rustix::pipe::fcntl_getpipe_size(&writer).expect("its size");
    let key = rig.declare(writer, Interest::WRITABLE);
    rig.assert_silent();
    rustix::pipe::fcntl_setpipe_size(&rig.set[key], 2 * size).expect("a larger size");
    rig.set.rearm(key).expect("a watched source can be armed again");
    rig.expect(key, Readiness::WRITABLE);
    Outcome::Pass
}
