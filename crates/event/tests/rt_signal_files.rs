//! Which changes of which files Linux signals, next to what `poll(2)` finds: the table in the crate's documentation.
//!
//! The tests call the kernel through `c10k-sys`, without the library. Each test runs in its own thread, which alone receives
//! the signals of its files.
#![forbid(unsafe_code)]

#[path = "support/sockets.rs"]
mod sockets;
#[path = "support/terminal.rs"]
mod terminal;

use c10k_sys::{
    poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, PollEntry, poll},
    signal::{self, Async, Reason, Receiver, Signal, SignalSet},
};
use rustix::{
    fs::OFlags,
    io::Errno,
    net::{AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType},
    pipe::PipeFlags,
};
use sockets::{HANG_TIMEOUT, QUIET_PERIOD, stream_pair, tcp_pair, write};
use std::{
    net::TcpListener,
    os::fd::AsFd,
    time::{Duration, Instant},
};
use terminal::terminal_pair;

fn signal() -> Signal {
    Signal::real_time().last().expect("there are real-time signals")
}

fn mask() -> SignalSet {
    SignalSet::of(&[signal(), Signal::IO])
}

/// Makes an open file send its signals to this thread. Returns whether the kernel keeps `O_ASYNC`.
fn arm(fd: impl AsFd) -> bool {
    signal::block(&mask()).expect("rt_sigprocmask");
    let fd = fd.as_fd();
    signal::set_receiver(fd, Receiver::this_thread().expect("gettid")).expect("F_SETOWN_EX");
    signal::set_signal(fd, signal()).expect("F_SETSIG");
    let (_, flags) = signal::async_of(fd).expect("F_GETFL");
    signal::set_async(fd, Async::On, flags).expect("F_SETFL");
    signal::async_of(fd).expect("F_GETFL").0 == Async::On
}

/// The reasons of all pending signals.
fn pending() -> Vec<Reason> {
    std::iter::from_fn(|| signal::wait(&mask(), Some(Duration::ZERO)).ok())
        .map(|taken| taken.reason)
        .collect()
}

fn next() -> Reason {
    signal::wait(&mask(), Some(HANG_TIMEOUT)).expect("a signal").reason
}

fn assert_no_signal() {
    let taken = signal::wait(&mask(), Some(QUIET_PERIOD));
    assert!(taken == Err(Errno::AGAIN), "{taken:?}");
}

/// What `poll(2)` finds.
fn state(fd: impl AsFd) -> u16 {
    let mut entry = [PollEntry::new(fd.as_fd(), POLLIN | POLLOUT | POLLRDHUP)];
    poll(&mut entry, Some(Duration::ZERO)).expect("poll");
    entry[0].found()
}

fn fill(fd: impl AsFd, size: usize) {
    while rustix::io::write(&fd, &vec![0; size]).is_ok() {}
}

fn drain(fd: impl AsFd) {
    let mut buffer = vec![0; 1 << 20];
    while rustix::io::read(&fd, &mut buffer).is_ok_and(|count| count > 0) {}
}

#[test]
fn a_local_shutdown_sends_no_signal_although_the_socket_becomes_readable() {
    for pair in [stream_pair, tcp_pair] {
        for (how, found) in [(Shutdown::Read, POLLIN | POLLRDHUP), (Shutdown::Both, POLLIN | POLLHUP)] {
            let (_peer, own) = pair();
            let duplicate = rustix::io::dup(&own).expect("a duplicate");
            arm(&own);
            pending();
            rustix::net::shutdown(&duplicate, how).expect("shutdown succeeds");
            assert_no_signal();
            assert_eq!(state(&own) & found, found, "{how:?}");
        }
    }
}

#[test]
fn a_local_stream_socket_signals_its_close_as_poll_hup_and_a_reset_not_as_an_error() {
    let (ours, theirs) = stream_pair();
    arm(&theirs);
    write(&theirs, b"never read");
    drop(ours);
    assert_eq!(pending(), [Reason::HangUp]);
    assert_ne!(state(&theirs) & POLLERR, 0);
}

#[test]
fn a_local_stream_socket_signals_the_second_half_of_a_close_not_as_poll_hup() {
    let (ours, theirs) = stream_pair();
    rustix::net::shutdown(&theirs, Shutdown::Write).expect("shutdown succeeds");
    arm(&theirs);
    rustix::net::shutdown(&ours, Shutdown::Write).expect("shutdown succeeds");
    assert_eq!(pending(), [Reason::In]);
    assert_ne!(state(&theirs) & POLLHUP, 0);
    let (ours, theirs) = stream_pair();
    arm(&theirs);
    rustix::net::shutdown(&ours, Shutdown::Write).expect("shutdown succeeds");
    assert_eq!(pending(), [Reason::In]);
    rustix::net::shutdown(&ours, Shutdown::Read).expect("shutdown succeeds");
    assert_no_signal();
    assert_ne!(state(&theirs) & POLLHUP, 0);
}

#[test]
fn a_local_stream_socket_that_is_half_full_sends_no_poll_out_before_a_send_found_it_full() {
    let (ours, theirs) = stream_pair();
    arm(&theirs);
    while state(&theirs) & POLLOUT != 0 {
        write(&theirs, &[0; 1_000]);
    }
    drain(&ours);
    assert_no_signal();
    assert_ne!(state(&theirs) & POLLOUT, 0);
}

#[test]
fn a_local_datagram_socket_signals_room_when_its_own_datagrams_were_read() {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None).expect("a pair");
    arm(&theirs);
    fill(&theirs, 1);
    assert_eq!(pending(), []);
    drain(&ours);
    assert_eq!(next(), Reason::Out);
    fill(&theirs, 1);
    arm(&theirs);
    assert_eq!(
        state(&theirs) & POLLOUT,
        0,
        "a poll that finds no room asks for the signal"
    );
    drain(&ours);
    assert_eq!(next(), Reason::Out);
}

#[test]
fn a_local_datagram_socket_signals_no_room_when_the_datagrams_of_others_were_read() {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = || rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).expect("a socket");
    let name = format!("c10k-facts-{}", std::process::id());
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).expect("a short name");
    let (receiver, sender, other) = (socket(), socket(), socket());
    rustix::net::bind(&receiver, &address).expect("the name is free");
    for socket in [&sender, &other] {
        rustix::net::connect(socket, &address).expect("connected");
    }
    fill(&other, 1);
    arm(&sender);
    assert_eq!(state(&sender) & POLLOUT, 0, "the receiver's queue is full");
    pending();
    drain(&receiver);
    assert_no_signal();
    assert_ne!(state(&sender) & POLLOUT, 0);
}

#[test]
fn a_pipe_that_is_enlarged_sends_no_signal() {
    let (_reader, writer) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).expect("a pipe");
    arm(&writer);
    fill(&writer, 4_096);
    pending();
    let size = rustix::pipe::fcntl_getpipe_size(&writer).expect("its size");
    rustix::pipe::fcntl_setpipe_size(&writer, 2 * size).expect("a larger size");
    assert_no_signal();
    assert_ne!(state(&writer) & POLLOUT, 0);
}

#[test]
fn a_pipe_that_was_full_before_arming_signals_room() {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).expect("a pipe");
    fill(&writer, 4_096);
    arm(&writer);
    drain(&reader);
    assert_eq!(next(), Reason::Out);
}

#[test]
fn the_ends_of_a_pipe_signal_each_others_close_as_data_and_room() {
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    arm(&reader);
    drop(writer);
    assert_eq!((pending(), state(&reader) & POLLHUP), (vec![Reason::In], POLLHUP));
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    arm(&writer);
    drop(reader);
    assert_eq!((pending(), state(&writer) & POLLERR), (vec![Reason::Out], POLLERR));
}

#[test]
fn a_terminal_whose_other_side_closes_sends_no_signal() {
    for closes_controller in [false, true] {
        let Ok((controller, terminal)) = terminal_pair() else {
            return eprintln!("no pseudo-terminal can be opened here");
        };
        let (kept, closed) = if closes_controller {
            (terminal, controller)
        } else {
            (controller, terminal)
        };
        assert!(arm(&kept));
        pending();
        drop(closed);
        assert_no_signal();
        assert_ne!(
            state(&kept) & POLLHUP,
            0,
            "the controlling side was closed: {closes_controller}"
        );
    }
}

#[test]
fn a_terminal_that_was_full_before_arming_sends_no_poll_out() {
    let Ok((controller, terminal)) = terminal_pair() else {
        return eprintln!("no pseudo-terminal can be opened here");
    };
    // The kernel moves the bytes in a thread of its own, so there may be room once more.
    let until = Instant::now() + Duration::from_millis(20);
    while Instant::now() < until || state(&controller) & POLLOUT != 0 {
        fill(&controller, 4_096);
    }
    assert!(arm(&controller));
    pending();
    let until = Instant::now() + HANG_TIMEOUT;
    while state(&controller) & POLLOUT == 0 {
        assert!(Instant::now() < until, "no room within {HANG_TIMEOUT:?}");
        drain(&terminal);
    }
    assert_no_signal();
}

#[test]
fn a_multipath_connection_that_is_established_sends_no_poll_out() {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let multipath = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        flags,
        Some(rustix::net::ipproto::MPTCP),
    );
    let Ok(socket) = multipath else {
        return eprintln!("this kernel has no MPTCP");
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    assert!(arm(&socket));
    pending();
    let address = listener.local_addr().expect("its address");
    assert!(matches!(
        rustix::net::connect(&socket, &address),
        Ok(()) | Err(Errno::INPROGRESS)
    ));
    let until = Instant::now() + HANG_TIMEOUT;
    while state(&socket) & POLLOUT == 0 {
        assert!(Instant::now() < until, "not connected within {HANG_TIMEOUT:?}");
    }
    assert_no_signal();
}

#[test]
fn a_random_device_accepts_o_async_and_sends_no_signal() {
    for path in ["/dev/random", "/dev/urandom"] {
        let device = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK, rustix::fs::Mode::empty());
        let device = device.expect("the device opens");
        assert!(arm(&device), "{path}");
        assert_eq!(rustix::io::read(&device, &mut [0; 8]), Ok(8));
        assert_no_signal();
    }
}
