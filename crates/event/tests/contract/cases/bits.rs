//! What an event reports: closed connections, errors, new connections, out-of-band data.

use crate::{
    About::EachTrigger,
    Isolation::SharedProcess,
    Outcome, Setup,
    rig::{Rig, drain, fill, tcp_pair, unblock, write},
};
use c10k_event::{Interest, Key, Readiness, ReadinessDetail};
use rustix::{
    io::Errno,
    net::{AddressFamily, SendFlags, Shutdown, SocketFlags, SocketType},
};
use std::{
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
};

super::cases! {
    a_half_close_is_readable_with_its_detail_if_supported: EachTrigger, SharedProcess;
    a_full_close_is_readable_with_its_detail_if_supported: EachTrigger, SharedProcess;
    a_reset_is_readable_with_its_detail_if_supported: EachTrigger, SharedProcess;
    a_half_close_before_the_declaration_is_reported: EachTrigger, SharedProcess;
    a_half_close_does_not_disturb_a_source_that_waits_for_room: EachTrigger, SharedProcess;
    an_established_connection_is_writable: EachTrigger, SharedProcess;
    a_refused_connection_is_reported: EachTrigger, SharedProcess;
    out_of_band_data_is_reported_as_priority: EachTrigger, SharedProcess;
    a_pipe_without_a_writer_is_readable: EachTrigger, SharedProcess;
    a_pipe_without_a_reader_is_writable: EachTrigger, SharedProcess;
}

/// Waits until `wanted` and `plain` are reported, or only `plain` if the mechanism does not report the detail.
fn expect_detail(rig: &mut Rig, key: Key, detail: ReadinessDetail, wanted: Readiness, plain: Readiness) -> Readiness {
    if rig.reports(detail) {
        rig.expect(key, wanted | plain)
    } else {
        rig.expect(key, plain)
    }
}

fn a_half_close_is_readable_with_its_detail_if_supported(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"last");
    rustix::net::shutdown(&ours, Shutdown::Write).expect("shutdown succeeds");
    let mut reported = expect_detail(
        &mut rig,
        key,
        ReadinessDetail::HalfClose,
        Readiness::READ_CLOSED,
        Readiness::READABLE,
    );
    let (mut bytes, mut ended) = rig.drain(key);
    while !ended {
        reported |= rig.expect(key, Readiness::READABLE);
        let (more, end) = rig.drain(key);
        bytes.extend(more);
        ended = end;
    }
    assert_eq!(bytes, b"last");
    assert!(!reported.is_write_closed() && !reported.is_error(), "{reported:?}");
    write(&rig.set[key], b"the other half is open");
    Outcome::Pass
}

fn a_full_close_is_readable_with_its_detail_if_supported(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = crate::rig::stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    drop(ours);
    let both = Readiness::READ_CLOSED | Readiness::WRITE_CLOSED;
    let reported = expect_detail(&mut rig, key, ReadinessDetail::FullClose, both, Readiness::READABLE);
    assert!(!reported.is_error(), "{reported:?}");
    assert_eq!(rig.drain(key), (Vec::new(), true));
    Outcome::Pass
}

fn a_reset_is_readable_with_its_detail_if_supported(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    rustix::net::sockopt::set_socket_linger(&ours, Some(std::time::Duration::ZERO)).expect("SO_LINGER");
    drop(ours);
    expect_detail(
        &mut rig,
        key,
        ReadinessDetail::Error,
        Readiness::ERROR,
        Readiness::READABLE,
    );
    assert_eq!(rustix::io::read(&rig.set[key], &mut [0; 8]), Err(Errno::CONNRESET));
    Outcome::Pass
}

fn a_half_close_before_the_declaration_is_reported(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    rustix::net::shutdown(&ours, Shutdown::Write).expect("shutdown succeeds");
    let key = rig.declare(theirs, Interest::READABLE);
    rig.expect(key, Readiness::READABLE);
    assert_eq!(rig.drain(key), (Vec::new(), true));
    Outcome::Pass
}

/// A TCP socket that is connecting.
fn connecting(address: SocketAddr) -> OwnedFd {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).map_or_else(
        |errno| panic!("a socket: {errno}"),
        |socket| {
            let started = rustix::net::connect(&socket, &address);
            assert!(
                matches!(started, Ok(()) | Err(Errno::INPROGRESS | Errno::CONNREFUSED)),
                "{started:?}"
            );
            socket
        },
    )
}

fn a_half_close_does_not_disturb_a_source_that_waits_for_room(setup: Setup) -> Outcome {
    /// One wait, and what some mechanisms do once for a change that turns out to be none.
    const CALLS_MAX: u64 = 16;
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    fill(&theirs);
    let key = rig.declare(theirs, Interest::WRITABLE);
    rustix::net::shutdown(&ours, Shutdown::Write).expect("shutdown succeeds");
    let calls = |rig: &Rig| -> u64 { rig.set.counters().syscalls().map(|(_, count)| count).sum() };
    let before = calls(&rig);
    rig.assert_silent();
    let made = calls(&rig) - before;
    assert!(made <= CALLS_MAX, "{made} system calls in one wait without an event");
    drain(&ours);
    rig.expect(key, Readiness::WRITABLE);
    Outcome::Pass
}

fn an_established_connection_is_writable(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let key = rig.declare(
        connecting(listener.local_addr().expect("its address")),
        Interest::WRITABLE,
    );
    rig.expect(key, Readiness::WRITABLE);
    assert_eq!(rustix::net::sockopt::socket_error(&rig.set[key]), Ok(Ok(())));
    let (other, _) = listener.accept().expect("the other end");
    write(&rig.set[key], b"x");
    let other = unblock(other);
    while drain(&other).0.is_empty() {}
    Outcome::Pass
}

fn a_refused_connection_is_reported(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let key = rig.declare(connecting(address), Interest::WRITABLE | Interest::READABLE);
    let plain = Readiness::READABLE | Readiness::WRITABLE;
    expect_detail(&mut rig, key, ReadinessDetail::Error, Readiness::ERROR, plain);
    // If connect(2) has already returned the error, SO_ERROR is clear; but the socket has no peer in either case.
    assert!(rustix::net::getpeername(&rig.set[key]).is_err());
    Outcome::Pass
}

fn out_of_band_data_is_reported_as_priority(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE | Interest::PRIORITY);
    assert_eq!(rustix::net::send(&ours, b"!", SendFlags::OOB), Ok(1));
    assert!(rig.reports(ReadinessDetail::Priority), "every mechanism reports it");
    rig.expect(key, Readiness::PRIORITY);
    Outcome::Pass
}

fn a_pipe_without_a_writer_is_readable(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let key = rig.declare(unblock(reader), Interest::READABLE);
    drop(writer);
    rig.expect(key, Readiness::READABLE);
    assert_eq!(rig.drain(key), (Vec::new(), true));
    Outcome::Pass
}

fn a_pipe_without_a_reader_is_writable(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let writer = unblock(writer);
    fill(&writer);
    let key = rig.declare(writer, Interest::WRITABLE);
    rig.assert_silent();
    drop(reader);
    rig.expect(key, Readiness::WRITABLE);
    Outcome::Pass
}
