//! What is told: closings, errors, connections, out-of-band data.

use crate::{
    About::EachTrigger,
    Outcome,
    Place::Beside,
    Setup,
    rig::{Rig, drain, tcp_pair, unblock, write},
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
    a_half_close_is_readable_and_told_apart_where_known: EachTrigger, Beside;
    a_full_close_is_readable_and_told_apart_where_known: EachTrigger, Beside;
    a_reset_is_readable_and_told_apart_where_known: EachTrigger, Beside;
    a_half_close_before_the_declaration_is_told: EachTrigger, Beside;
    a_connection_made_is_writable: EachTrigger, Beside;
    a_connection_refused_is_told: EachTrigger, Beside;
    out_of_band_data_is_priority_where_known: EachTrigger, Beside;
    a_pipe_whose_writer_is_gone_is_readable: EachTrigger, Beside;
    a_pipe_whose_reader_is_gone_is_writable: EachTrigger, Beside;
}

/// Waits until `wanted` and `plain` are reported, or only `plain` if the mechanism does not report the detail.
fn expect_detail(rig: &mut Rig, key: Key, detail: ReadinessDetail, wanted: Readiness, plain: Readiness) -> Readiness {
    if rig.reports(detail) {
        rig.expect(key, wanted | plain)
    } else {
        rig.expect(key, plain)
    }
}

fn a_half_close_is_readable_and_told_apart_where_known(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    write(&ours, b"last");
    rustix::net::shutdown(&ours, Shutdown::Write).expect("a half close");
    let mut told = expect_detail(
        &mut rig,
        key,
        ReadinessDetail::HalfClose,
        Readiness::READ_CLOSED,
        Readiness::READABLE,
    );
    let (mut bytes, mut ended) = rig.drain(key);
    while !ended {
        told |= rig.expect(key, Readiness::READABLE);
        let (more, end) = rig.drain(key);
        bytes.extend(more);
        ended = end;
    }
    assert_eq!(bytes, b"last");
    assert!(!told.is_write_closed() && !told.is_error(), "{told:?}");
    write(&rig.set[key], b"the other half is open");
    Outcome::Pass
}

fn a_full_close_is_readable_and_told_apart_where_known(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = crate::rig::stream_pair();
    let key = rig.declare(theirs, Interest::READABLE);
    drop(ours);
    let both = Readiness::READ_CLOSED | Readiness::WRITE_CLOSED;
    let told = expect_detail(&mut rig, key, ReadinessDetail::FullClose, both, Readiness::READABLE);
    assert!(!told.is_error(), "{told:?}");
    assert_eq!(rig.drain(key), (Vec::new(), true));
    Outcome::Pass
}

fn a_reset_is_readable_and_told_apart_where_known(setup: Setup) -> Outcome {
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

fn a_half_close_before_the_declaration_is_told(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    rustix::net::shutdown(&ours, Shutdown::Write).expect("a half close");
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

fn a_connection_made_is_writable(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let key = rig.declare(
        connecting(listener.local_addr().expect("its address")),
        Interest::WRITABLE,
    );
    rig.expect(key, Readiness::WRITABLE);
    assert_eq!(rustix::net::sockopt::socket_error(&rig.set[key]), Ok(Ok(())));
    let (other, _) = listener.accept().expect("its other end");
    write(&rig.set[key], b"x");
    let other = unblock(other);
    while drain(&other).0.is_empty() {}
    Outcome::Pass
}

fn a_connection_refused_is_told(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let key = rig.declare(connecting(address), Interest::WRITABLE | Interest::READABLE);
    let plain = Readiness::READABLE | Readiness::WRITABLE;
    expect_detail(&mut rig, key, ReadinessDetail::Error, Readiness::ERROR, plain);
    // No program listens there. If connect(2) has already returned the error, it is cleared.
    assert!(rustix::net::getpeername(&rig.set[key]).is_err());
    Outcome::Pass
}

fn out_of_band_data_is_priority_where_known(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (ours, theirs) = tcp_pair();
    let key = rig.declare(theirs, Interest::READABLE | Interest::PRIORITY);
    assert_eq!(rustix::net::send(&ours, b"!", SendFlags::OOB), Ok(1));
    assert!(rig.reports(ReadinessDetail::Priority), "every mechanism reports it");
    rig.expect(key, Readiness::PRIORITY);
    Outcome::Pass
}

fn a_pipe_whose_writer_is_gone_is_readable(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let key = rig.declare(unblock(reader), Interest::READABLE);
    drop(writer);
    rig.expect(key, Readiness::READABLE);
    assert_eq!(rig.drain(key), (Vec::new(), true));
    Outcome::Pass
}

fn a_pipe_whose_reader_is_gone_is_writable(setup: Setup) -> Outcome {
    let mut rig = Rig::new(setup);
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let writer = unblock(writer);
    crate::rig::fill(&writer);
    let key = rig.declare(writer, Interest::WRITABLE);
    rig.assert_silent();
    drop(reader);
    rig.expect(key, Readiness::WRITABLE);
    Outcome::Pass
}
