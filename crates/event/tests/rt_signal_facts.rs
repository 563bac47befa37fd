//! How Linux sends real-time signals for descriptors: the kernel behaviour that the signal mechanisms rely on.
//!
//! The tests call the kernel through `c10k-sys`, without the library. Those that change a limit or may end the process
//! run in a child process.
#![forbid(unsafe_code)]

#[path = "support/queued.rs"]
mod queued;
#[path = "support/sockets.rs"]
mod sockets;

use c10k_sys::{
    fork::in_child,
    signal::{self, Async, Disposition, Reason, Receiver, Signal, SignalSet, Taken},
};
use queued::Queued;
use rustix::{
    io::Errno,
    net::{AddressFamily, SendFlags, Shutdown, SocketFlags, SocketType},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use sockets::{HANG_TIMEOUT, QUIET_PERIOD, stream_pair, tcp_pair, write};
use std::{
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

/// The signal that all tests use. Each test runs in its own thread, so they do not interfere.
fn signal() -> Signal {
    Signal::real_time().last().expect("there are real-time signals")
}

fn mask() -> SignalSet {
    SignalSet::of(&[signal(), Signal::IO])
}

/// Blocks the signals in this thread and makes an open file send them here.
fn arm(fd: impl AsFd) {
    signal::block(&mask()).expect("the mask");
    let fd = fd.as_fd();
    signal::set_receiver(fd, Receiver::this_thread().expect("gettid")).expect("F_SETOWN_EX");
    signal::set_signal(fd, signal()).expect("F_SETSIG");
    let (_, flags) = signal::async_of(fd).expect("F_GETFL");
    signal::set_async(fd, Async::On, flags).expect("F_SETFL");
}

/// Takes the next signal. It must arrive.
fn next() -> Taken {
    signal::wait(&mask(), Some(HANG_TIMEOUT)).expect("a signal")
}

/// Takes all pending signals.
fn pending() -> Vec<Taken> {
    std::iter::from_fn(|| signal::wait(&mask(), Some(Duration::ZERO)).ok()).collect()
}

fn assert_no_signal() {
    assert_eq!(signal::wait(&mask(), Some(QUIET_PERIOD)), Err(Errno::AGAIN));
}

fn limit_queue(signals: u64) {
    let maximum = getrlimit(Resource::Sigpending).maximum;
    setrlimit(
        Resource::Sigpending,
        Rlimit {
            current: Some(signals),
            maximum,
        },
    )
    .expect("lowering the limit");
}

#[test]
fn data_received_before_arming_sends_no_signal() {
    let (ours, theirs) = tcp_pair();
    write(&ours, b"early");
    while rustix::io::ioctl_fionread(&theirs) == Ok(0) {}
    arm(&theirs);
    assert_no_signal();
}

#[test]
fn each_separate_segment_sends_its_own_signal_and_with_signal_per_fd_those_before_it_is_taken_send_one() {
    let signals = match Queued::once_for() {
        Queued::Event => 3,
        Queued::Descriptor => 1,
    };
    let (ours, theirs) = tcp_pair();
    arm(&theirs);
    for count in 1..=3 {
        write(&ours, b"x");
        while rustix::io::ioctl_fionread(&theirs) != Ok(count) {}
    }
    let taken = pending();
    assert_eq!(taken.len(), signals, "{taken:?}");
    assert!(
        taken
            .iter()
            .all(|taken| taken.reason == Reason::In && taken.fd == theirs.as_raw_fd()),
        "{taken:?}"
    );
}

#[test]
fn an_event_after_a_signal_was_taken_is_signalled_again() {
    let (ours, theirs) = stream_pair();
    arm(&theirs);
    for _ in 0..3 {
        write(&ours, b"x");
        assert_eq!(pending().len(), 1);
    }
}

#[test]
fn a_signal_has_one_reason_and_with_signal_per_fd_it_says_if_it_stands_for_several() {
    let (ours, theirs) = stream_pair();
    arm(&theirs);
    while rustix::io::write(&theirs, &[0; 65_536]).is_ok() {}
    write(&ours, b"x");
    while rustix::io::read(&ours, &mut vec![0; 1 << 20]).is_ok() {}
    let taken: Vec<(Reason, bool)> = pending().iter().map(|taken| (taken.reason, taken.is_mixed)).collect();
    match Queued::once_for() {
        Queued::Event => assert_eq!(
            (taken.first(), taken.last()),
            (Some(&(Reason::In, false)), Some(&(Reason::Out, false)))
        ),
        Queued::Descriptor => assert_eq!(taken, [(Reason::In, true)]),
    }
}

#[test]
fn a_file_that_is_given_another_signal_while_one_is_queued_sends_it() {
    let (ours, theirs) = stream_pair();
    arm(&theirs);
    write(&ours, b"x");
    let other = Signal::real_time().nth(3).expect("there are real-time signals");
    signal::block(&SignalSet::of(&[other])).expect("the mask");
    signal::set_signal(theirs.as_fd(), other).expect("F_SETSIG");
    write(&ours, b"x");
    let taken = signal::wait(&SignalSet::of(&[other]), Some(Duration::ZERO)).expect("it is queued");
    assert_eq!((taken.fd, taken.is_mixed), (theirs.as_raw_fd(), false));
    assert_eq!(pending().len(), 1, "the first signal is still queued");
    signal::set_signal(theirs.as_fd(), signal()).expect("F_SETSIG");
    write(&ours, b"x");
    assert_eq!(pending().len(), 1);
}

#[test]
fn a_file_that_is_given_to_another_thread_while_a_signal_is_queued_sends_it_one() {
    let (ours, theirs) = stream_pair();
    arm(&theirs);
    write(&ours, b"x");
    let signals = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            arm(&theirs);
            write(&ours, b"x");
            pending().len()
        });
        other.join()
    });
    assert_eq!(signals.ok(), Some(1));
    assert_eq!(pending().len(), 1);
}

#[test]
fn a_file_with_a_reused_number_sends_its_own_signal_and_with_signal_per_fd_the_queued_one_stands_for_it() {
    let signals = match Queued::once_for() {
        Queued::Event => 2,
        Queued::Descriptor => 1,
    };
    let (ours, mut theirs) = stream_pair();
    arm(&theirs);
    write(&ours, b"x");
    let (new_ours, new_theirs) = stream_pair();
    rustix::io::dup2(&new_theirs, &mut theirs).expect("dup2");
    drop(new_theirs);
    // The file that could signal the close of the first pair is closed itself.
    arm(&theirs);
    write(&new_ours, b"y");
    let taken = pending();
    assert_eq!(taken.len(), signals, "{taken:?}");
    write(&new_ours, b"z");
    assert_eq!(pending().len(), 1);
}

#[test]
fn a_half_close_is_poll_in_and_both_halves_are_poll_hup() {
    let (ours, theirs) = tcp_pair();
    arm(&theirs);
    rustix::net::shutdown(&ours, Shutdown::Write).expect("shutdown succeeds");
    assert_eq!(next().reason, Reason::In);
    let (ours, theirs) = tcp_pair();
    rustix::net::shutdown(&theirs, Shutdown::Write).expect("shutdown succeeds");
    arm(&theirs);
    pending();
    rustix::net::shutdown(&ours, Shutdown::Write).expect("shutdown succeeds");
    assert_eq!(next().reason, Reason::HangUp);
}

#[test]
fn a_reset_is_poll_err() {
    let (ours, theirs) = tcp_pair();
    arm(&theirs);
    rustix::net::sockopt::set_socket_linger(&ours, Some(Duration::ZERO)).expect("SO_LINGER");
    drop(ours);
    assert_eq!(next().reason, Reason::Error);
}

#[test]
fn out_of_band_data_is_poll_pri() {
    let (ours, theirs) = tcp_pair();
    arm(&theirs);
    assert_eq!(rustix::net::send(&ours, b"!", SendFlags::OOB), Ok(1));
    let reasons = [next().reason, next().reason];
    assert!(reasons.contains(&Reason::Priority), "{reasons:?}");
}

#[test]
fn poll_out_is_sent_only_after_a_send_found_a_full_buffer() {
    let (ours, theirs) = tcp_pair();
    arm(&theirs);
    write(&theirs, b"there is room");
    assert_no_signal();
    while rustix::io::write(&theirs, &[0; 65_536]).is_ok() {}
    let mut buffer = vec![0; 1 << 20];
    loop {
        match signal::wait(&mask(), Some(Duration::ZERO)) {
            Ok(taken) => {
                assert_eq!(taken.reason, Reason::Out);
                return;
            }
            Err(_) => drop(rustix::io::read(&ours, &mut buffer)),
        }
    }
}

#[test]
fn a_unix_socket_that_is_full_before_arming_sends_no_poll_out_until_a_send_finds_it_full() {
    let (ours, theirs) = stream_pair();
    let mut buffer = vec![0; 1 << 20];
    while rustix::io::write(&theirs, &[0; 65_536]).is_ok() {}
    arm(&theirs);
    while rustix::io::read(&ours, &mut buffer).is_ok() {}
    assert_no_signal();
    while rustix::io::write(&theirs, &[0; 65_536]).is_ok() {}
    while rustix::io::read(&ours, &mut buffer).is_ok() {}
    assert_eq!(next().reason, Reason::Out);
}

#[test]
fn an_established_connection_is_poll_out_and_a_refused_one_poll_err() {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = || rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("a socket");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let made = socket();
    arm(&made);
    pending();
    assert!(matches!(
        rustix::net::connect(&made, &address),
        Ok(()) | Err(Errno::INPROGRESS)
    ));
    assert_eq!(next().reason, Reason::Out);
    drop(listener);
    let refused = socket();
    arm(&refused);
    pending();
    assert!(matches!(
        rustix::net::connect(&refused, &address),
        Err(Errno::INPROGRESS | Errno::CONNREFUSED)
    ));
    let taken = next();
    assert_eq!((taken.reason, taken.fd), (Reason::Error, refused.as_raw_fd()));
}

#[test]
fn an_open_duplicate_keeps_sending_signals_with_the_armed_number() {
    let (ours, theirs) = stream_pair();
    let armed = theirs.as_raw_fd();
    let duplicate = rustix::io::dup(&theirs).expect("a duplicate");
    arm(&theirs);
    drop(theirs);
    write(&ours, b"x");
    let taken = next();
    assert_eq!(
        (taken.reason, taken.fd),
        (Reason::In, armed),
        "the number is closed, the open file is not"
    );
    drop(duplicate);
}

#[test]
fn signals_stay_queued_after_the_close() {
    let (ours, theirs) = stream_pair();
    let number = theirs.as_raw_fd();
    arm(&theirs);
    write(&ours, b"x");
    drop(theirs);
    let taken = pending();
    assert_eq!(
        taken.first().map(|taken| (taken.reason, taken.fd)),
        Some((Reason::In, number)),
        "{taken:?}"
    );
}

#[test]
fn accept_does_not_inherit_o_async() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    arm(&listener);
    let _client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    assert_eq!(next().reason, Reason::In);
    let (accepted, _) = listener.accept().expect("a connection");
    assert_eq!(
        signal::async_of(accepted.as_fd()).map(|(state, _)| state),
        Ok(Async::Off)
    );
}

#[test]
fn f_setfl_succeeds_silently_on_a_file_that_sends_no_signals() {
    let eventfd = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).expect("an eventfd");
    arm(&eventfd);
    assert_eq!(
        signal::async_of(eventfd.as_fd()).map(|(state, _)| state),
        Ok(Async::Off)
    );
}

#[test]
fn a_queue_of_8_holds_8_signals_then_sigio_arrives_without_a_descriptor() {
    let status = in_child(|| {
        let pairs: Vec<_> = std::iter::repeat_with(stream_pair).take(20).collect();
        pairs.iter().for_each(|(_, theirs)| arm(theirs));
        limit_queue(8);
        pairs.iter().for_each(|(ours, _)| write(ours, b"x"));
        let taken = pending();
        let overflowed = taken.first().is_some_and(|first| first.signal == Signal::IO);
        let queued = taken.iter().filter(|taken| taken.signal == signal()).count();
        // Other tests of the same user may occupy a part of the queue.
        u8::from(!overflowed) | u8::from(queued > 8) << 1 | u8::from(taken.len() != queued + 1) << 2
    });
    assert_eq!(status, Ok(Some(0)), "SIGIO first, then the signals queued before it");
}

#[test]
fn the_queue_is_shared_by_all_processes_of_a_user() {
    const LIMIT: u64 = 60;
    let status = in_child(|| {
        limit_queue(LIMIT);
        let (ours, theirs) = stream_pair();
        arm(&theirs);
        let (full, filled) = rustix::pipe::pipe().expect("a pipe");
        let (until_stopped, stop) = rustix::pipe::pipe().expect("a pipe");
        let overflowed = std::thread::scope(|scope| {
            let filler = scope.spawn(|| {
                in_child(|| {
                    signal::block(&mask()).expect("the mask");
                    while signal::queue_to_this_thread(signal()).is_ok() {}
                    write(&filled, b"f");
                    u8::from(rustix::io::read(&until_stopped, &mut [0]) != Ok(1))
                })
            });
            assert_eq!(rustix::io::read(&full, &mut [0]), Ok(1));
            // In an otherwise empty queue all of these events would be queued: they are fewer than the limit.
            for _ in 0..LIMIT / 2 {
                write(&ours, b"x");
            }
            let overflowed = pending().first().is_some_and(|first| first.signal == Signal::IO);
            write(&stop, b"s");
            filler.join().is_ok_and(|status| status == Ok(Some(0))) && overflowed
        });
        u8::from(!overflowed)
    });
    assert_eq!(status, Ok(Some(0)));
}

#[test]
fn with_signal_per_fd_a_busy_descriptor_cannot_fill_the_queue() {
    let status = in_child(|| {
        let (ours, theirs) = stream_pair();
        arm(&theirs);
        limit_queue(8);
        for _ in 0..20 {
            write(&ours, b"x");
        }
        let overflowed = pending().first().is_some_and(|first| first.signal == Signal::IO);
        u8::from(overflowed != (Queued::once_for() == Queued::Event))
    });
    assert_eq!(status, Ok(Some(0)));
}

#[test]
fn ignoring_the_signal_empties_the_queue_and_a_blocked_signal_is_still_queued() {
    let status = in_child(|| {
        let (ours, theirs) = stream_pair();
        arm(&theirs);
        write(&ours, b"x");
        signal::dispose(signal(), Disposition::Ignore);
        let flushed = pending().is_empty();
        write(&ours, b"y");
        let queued = pending().len() == 1;
        signal::unblock(&mask()).expect("the mask");
        write(&ours, b"z");
        signal::block(&mask()).expect("the mask");
        let dropped = pending().is_empty();
        u8::from(!flushed) | u8::from(!queued) << 1 | u8::from(!dropped) << 2
    });
    assert_eq!(status, Ok(Some(0)));
}

#[test]
fn an_unblocked_sigio_kills_the_process() {
    let status = in_child(|| {
        let pairs = [(); 3].map(|()| stream_pair());
        pairs.iter().for_each(|(_, theirs)| arm(theirs));
        signal::unblock(&SignalSet::of(&[Signal::IO])).expect("the mask");
        limit_queue(1);
        pairs.iter().for_each(|(ours, _)| write(ours, b"x"));
        0
    });
    assert_eq!(status, Ok(None), "ended by a signal");
}

#[test]
fn an_unblocked_real_time_signal_kills_the_process() {
    let status = in_child(|| {
        let (ours, theirs) = stream_pair();
        arm(&theirs);
        signal::unblock(&SignalSet::of(&[signal()])).expect("the mask");
        write(&ours, b"x");
        0
    });
    assert_eq!(status, Ok(None), "ended by a signal");
}
